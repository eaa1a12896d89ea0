//! `cauce check`: loads a bundle as the service would, and says what was found.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cauce_model::bundle::{Bundle, Limits};
use cauce_model::reference::GOLDEN_TOLERANCE;
use clap::Args;

/// Check a bundle as the service does before it serves one; ends with 1 and the reasons if it would be refused.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The bundle directory.
    bundle: PathBuf,
}

impl Check {
    /// Loads and describes it.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        let bundle = Bundle::load(&self.bundle, &Limits::default())
            .map_err(|error| format!("`{}` is not a bundle that can serve:\n{error}", self.bundle.display()))?;
        print!("{}", describe(&bundle));
        Ok(ExitCode::SUCCESS)
    }
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
