//! `cauce check`: loads a bundle as the service would before it puts it in place of another, and says what was found.
//!
//! It is the very same trial, in a child process under the same limits ([`crate::reload::trial`]), so the verdict is the same.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use cauce_model::bundle::Bundle;
use cauce_model::reference::GOLDEN_TOLERANCE;
use clap::Args;

use crate::config::Config;
use crate::reload::same_histories;
use crate::reload::trial::{self, Sound, Verdict};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Check {
    /// The bundle directory.
    #[arg(value_name = "BUNDLE")]
    directory: PathBuf,
    /// The bundle in service: whether this one can take its place without a restart.
    #[arg(long, value_name = "BUNDLE")]
    in_place_of: Option<PathBuf>,
}

/// Load a bundle under limits and print the verdict as JSON: what `check` and a service that reloads run as a child.
#[derive(Debug, Args)]
pub(crate) struct TryBundle {
    /// Bytes of data at most.
    #[arg(long)]
    memory: u64,
    /// Seconds of CPU at most.
    #[arg(long)]
    cpu: u64,
    directory: PathBuf,
}

impl Check {
    /// Has it loaded, and describes it.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let tried = try_out(&self.directory, config)?;
        if let Some(in_service) = &self.in_place_of {
            let served = try_out(in_service, config)?;
            same_histories(&tried, &served.specification).map_err(|reason| cannot(&self.directory, &reason))?;
        }
        print!("{}", tried.description);
        Ok(ExitCode::SUCCESS)
    }
}

impl TryBundle {
    /// Loads it here.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let verdict = trial::in_child(&self.directory, self.memory, self.cpu, describe);
        println!("{}", serde_json::to_string(&verdict)?);
        Ok(if matches!(verdict, Verdict::Sound(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn try_out(directory: &Path, config: &Config) -> Result<Sound, String> {
    trial::hold(directory, &config.model, &AtomicBool::new(false)).map_err(|reason| cannot(directory, &reason))
}

fn cannot(directory: &Path, reason: &str) -> String {
    format!("`{}` is not a bundle that can serve:\n{reason}", directory.display())
}

fn describe(bundle: &Bundle) -> String {
    let (plan, policy) = (bundle.plan(), bundle.policy());
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<14}{value}").expect("a String takes all text");
    line("bundle", format!("{} {}", bundle.name(), bundle.version()));
    line("hash", bundle.hash().to_owned());
    line("files", "sizes and sha256 agree with `bundle.json`".to_owned());
    line(
        "model",
        "only allowed operators, no external data, shapes and metadata agree with `features.toml`".to_owned(),
    );
    line(
        "golden rows",
        format!(
            "{} give the model's and the scorecard's values within {GOLDEN_TOLERANCE:e}",
            bundle.reference().golden.len()
        ),
    );
    line("decision", format!("approve below {}, decline from {}", policy.approve_below(), policy.decline_from()));
    line("bands", policy.bands().collect::<Vec<_>>().join(" "));
    for (key, value) in bundle.metadata().iter().filter(|(key, _)| key.as_str() != "cauce.features") {
        line("metadata", format!("{key} = {value}"));
    }
    line("features", plan.width().to_string());
    for (feature, name) in plan.names().enumerate() {
        let missing = if plan.may_be_missing(feature) { "  (may be missing)" } else { "" };
        line("", format!("{name}  {}{missing}", bundle.reasons().of(feature).code));
    }
    text
}
