//! The command line: one subcommand per thing the binary does. Flags are the last layer of the configuration.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::alerts::command::Alerts;
use crate::app::{App, Recovery};
use crate::config::{Config, Override};
use crate::kafka::dead_letters::DeadLetters;
use crate::kafka::lag::Lag;
use crate::kafka::topics::Topics;
use crate::offline::{Backfill, Check, Health, Inspect, Replay, Score, TryBundle, Verify};
use crate::{grafana, logging, metrics};

#[derive(Debug, Parser)]
#[command(name = "cauce", version, about = "Real-time default-risk scoring on live history")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve scores over HTTP.
    Serve {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        recovery: RecoveryArgs,
    },
    /// Print the effective configuration: defaults, file, environment and flags merged.
    Config(ServeArgs),
    /// Apply the log again into a fresh state and print its digest; a running service is not disturbed.
    Replay {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        replay: Replay,
    },
    /// Look at what log and state hold.
    Inspect {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        inspect: Inspect,
    },
    /// Verify every checksum of log and state; ends with 1 and the damage if there is any.
    Verify(ServeArgs),
    /// Create the topics of Kafka that Cauce works with, or check them.
    Topics {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        topics: Topics,
    },
    /// How far the Kafka group is behind, how fast it catches up, and what the trouble is; ends with 1 if there is any.
    Lag {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        lag: Lag,
    },
    /// List what was refused and why, or send it again once the reason is mended.
    DeadLetters {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        dead_letters: DeadLetters,
    },
    /// Send a test to every webhook, or print the rules for Prometheus.
    Alerts {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        alerts: Alerts,
    },
    Backfill(Backfill),
    Score(Score),
    /// Check a bundle as the service does before it puts it in service; ends with 1 and the reasons if it would be refused.
    Check {
        #[command(flatten)]
        serve: ServeArgs,
        #[command(flatten)]
        check: Check,
    },
    /// Print what `/metrics` shows, as a table in Markdown.
    Metrics,
    /// Print the dashboard for Grafana that `deploy/` keeps.
    #[command(hide = true)]
    GrafanaDashboard,
    #[command(hide = true)]
    TryBundle(TryBundle),
    Health(Health),
}

/// What to do about data that is not as it should be.
#[derive(Debug, Args)]
struct RecoveryArgs {
    /// Go on without records that are damaged or missing, and say how many. Copy the data first.
    #[arg(long)]
    accept_data_loss: bool,
    /// Remove the state and make it anew from the log.
    #[arg(long)]
    rebuild_state: bool,
}

/// Where the configuration comes from, and the settings most often given by hand.
#[derive(Debug, Args)]
struct ServeArgs {
    /// A configuration file (TOML) over the defaults.
    #[arg(long, env = "CAUCE_CONFIG")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one and prints it.
    #[arg(long)]
    listen: Option<String>,
    /// The bundle directory to serve.
    #[arg(long)]
    bundle: Option<String>,
    /// Worker threads; 0 is one per available core.
    #[arg(long)]
    workers: Option<usize>,
    /// Where log and state are kept: sets `log.directory` to `DIR/log`, `store.directory` to `DIR/state`, `kafka.outbox` to
    /// `DIR/outbox`, `cache.directory` to `DIR/cache`, `ledger.directory` to `DIR/decisions` and `alerts.file` to `DIR/alerts.json`.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Freeze the clock at an instant (RFC 3339) to replay history: every application is scored as of then.
    #[arg(long)]
    clock: Option<String>,
    /// Any other setting, as `section.key=value`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

/// Does what the command line asks.
pub fn run() -> Result<ExitCode, Box<dyn Error>> {
    match Cli::parse().command {
        Command::Serve { serve, recovery: RecoveryArgs { accept_data_loss, rebuild_state } } => {
            let config = serve.load()?;
            logging::start(&config.logging);
            let recovery = Recovery { accept_data_loss, rebuild_state };
            // On standard output, so that whoever started the process on port 0 can read the port.
            App::build(config, recovery)?.run(|address| println!("listening on http://{address}"))?;
        }
        Command::Config(args) => print!("{}", args.load()?.to_toml()),
        Command::Replay { serve, replay } => return replay.run(&serve.load()?),
        Command::Inspect { serve, inspect } => return inspect.run(&serve.load()?),
        Command::Verify(serve) => return Verify::run(&serve.load()?),
        Command::Topics { serve, topics } => return topics.run(&serve.load()?),
        Command::Lag { serve, lag } => return lag.run(&serve.load()?),
        Command::DeadLetters { serve, dead_letters } => return dead_letters.run(&serve.load()?),
        Command::Alerts { serve, alerts } => return alerts.run(&serve.load()?),
        Command::Backfill(command) => return command.run(),
        Command::Score(command) => return command.run(),
        Command::Check { serve, check } => return check.run(&serve.load()?),
        Command::Metrics => print!("{}", metrics::family::markdown()),
        Command::GrafanaDashboard => println!("{:#}", grafana::dashboard()),
        Command::TryBundle(command) => return command.run(),
        Command::Health(command) => return command.run(),
    }
    Ok(ExitCode::SUCCESS)
}

impl ServeArgs {
    fn load(self) -> Result<Config, Box<dyn Error>> {
        let workers = self.workers.map(|count| count.to_string());
        let below = |name: &str| self.data.as_ref().map(|data| data.join(name).display().to_string());
        let named = [
            ("log.directory", below("log")),
            ("store.directory", below("state")),
            ("kafka.outbox", below("outbox")),
            ("cache.directory", below("cache")),
            ("ledger.directory", below("decisions")),
            ("alerts.file", below("alerts.json")),
            ("server.listen", self.listen),
            ("model.bundle", self.bundle),
            ("server.workers", workers),
            ("server.clock", self.clock),
        ];
        let mut overrides: Vec<Override> =
            self.set.iter().map(|text| Override::parse(text)).collect::<Result<_, _>>()?;
        overrides.extend(
            named.into_iter().filter_map(|(path, value)| Some(Override { path: path.to_owned(), value: value? })),
        );
        Ok(Config::load(self.config.as_deref(), std::env::vars(), overrides)?)
    }
}
