//! The commands that work on files: what the service does online, done over a history.
//!
//! Reading order: [`history`] (files to valid records) → [`point_in_time`] (every application's vector as it would have been
//! served) → [`backfill`] and [`score`] (what is made of the vectors) → [`check`], [`health`]. And what is
//! done with a service's own log and state: [`replay`], [`inspect`], [`verify`].
//!
//! Nothing here computes a feature or a score of its own: `Timeline::apply`, `FeaturePlan::vector_into` and the model
//! are those of the request path, so the training table and the served vector are the same bits (F2).

mod backfill;
mod check;
mod health;
mod history;
mod inspect;
mod output;
mod point_in_time;
mod problems;
pub(crate) mod progress;
mod replay;
mod score;
mod table;
mod verify;

use std::error::Error;
use std::path::Path;

use cauce_features::plan::FeaturePlan;
use cauce_features::spec::Specification;

use crate::config::Config;

pub(crate) use backfill::Backfill;
pub(crate) use check::{Check, TryBundle};
pub(crate) use health::Health;
pub(crate) use inspect::Inspect;
pub(crate) use replay::Replay;
pub(crate) use score::Score;
pub(crate) use verify::Verify;

/// The exit code when the input holds records that are not valid: nothing was written. Clap ends with the same on a
/// wrong command line.
const INVALID_INPUT: u8 = 2;

/// The plan of a specification file. Needs no model: what works on histories alone runs where no model does.
fn plan_of(file: &Path) -> Result<FeaturePlan, Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
    Ok(FeaturePlan::compile(Specification::parse(&file.display().to_string(), &text)?)?)
}

/// The plan of the bundle that a service with this configuration serves.
pub(crate) fn plan_served(config: &Config) -> Result<FeaturePlan, Box<dyn Error>> {
    plan_of(&config.model.bundle.join("features.toml"))
}
