//! What was acknowledged stays: through SIGKILL, damage, a full disk and a failing one, to the same bit.

/// SIGKILL at random moments under concurrent writers.
mod crash;
/// Damaged files: named at the start, never silently dropped.
mod damage;
/// Erased people, who stay erased.
mod erasure;
/// A full disk and a failing one.
mod faults;
/// The same events in any order, number and batching: the same digest and the same vectors.
mod same_digest;

use crate::support::history::{BUNDLE, NOW};

/// The arguments of a server whose clock stands still, with these settings; the last of one name holds.
fn settings(settings: &[&str]) -> Vec<String> {
    let fixed = [format!("model.bundle={BUNDLE}"), format!("server.clock={NOW}"), "server.workers=2".to_owned()];
    let settings = fixed.into_iter().chain(settings.iter().map(|setting| (*setting).to_owned()));
    settings.flat_map(|setting| ["--set".to_owned(), setting]).collect()
}
