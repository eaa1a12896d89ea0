//! The commands that work on files: what the service does online, done over a history.
//!
//! Reading order: [`history`] (files to valid records) → [`replay`] (every application's vector as it would have been
//! served) → [`backfill`] and [`score`] (what is made of the vectors) → [`check`], [`health`].
//!
//! Nothing here computes a feature or a score of its own: `Timeline::apply`, `FeaturePlan::vector_into` and the model
//! are those of the request path, so the training table and the served vector are the same bits (F2).

mod backfill;
mod check;
mod health;
mod history;
mod output;
mod problems;
mod progress;
mod replay;
mod score;
mod table;

pub(crate) use backfill::Backfill;
pub(crate) use check::Check;
pub(crate) use health::Health;
pub(crate) use score::Score;

/// The exit code when the input holds records that are not valid: nothing was written. Clap ends with the same on a
/// wrong command line.
const INVALID_INPUT: u8 = 2;
