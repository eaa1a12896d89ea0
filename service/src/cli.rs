//! The command line: one subcommand per thing the binary does. Flags are the last layer of the configuration.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::config::{Config, Override};
use crate::logging;
use crate::offline::{Backfill, Check, Health, Score};

#[derive(Debug, Parser)]
#[command(name = "cauce", version, about = "Real-time default-risk scoring on live history")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve scores over HTTP.
    Serve(ServeArgs),
    /// Print the effective configuration: defaults, file, environment and flags merged.
    Config(ServeArgs),
    Backfill(Backfill),
    Score(Score),
    Check(Check),
    Health(Health),
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
        Command::Serve(args) => {
            let config = args.load()?;
            logging::start(&config.logging);
            // On standard output, so that whoever started the process on port 0 can read the port.
            App::build(config)?.run(|address| println!("listening on http://{address}"))?;
        }
        Command::Config(args) => print!("{}", args.load()?.to_toml()),
        Command::Backfill(command) => return command.run(),
        Command::Score(command) => return command.run(),
        Command::Check(command) => return command.run(),
        Command::Health(command) => return command.run(),
    }
    Ok(ExitCode::SUCCESS)
}

impl ServeArgs {
    fn load(self) -> Result<Config, Box<dyn Error>> {
        let workers = self.workers.map(|count| count.to_string());
        let named = [
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
