//! An event's way into a person's history: refused by its time, or applied.
//!
//! What is refused depends on the event, the horizon and `now` alone, never on what has been evicted (F1). Neither HTTP
//! nor a clock is known here.

use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Applied;

use crate::store::Store;

/// What became of an event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is part of the history from now on.
    New,
    /// It was there already; nothing changed.
    Duplicate,
    /// Another event stood under its time and id; the greater of the two by content stands there now.
    Conflict,
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It happened before the horizon, or before what the bound on a person's events has merged.
    TooLate,
    /// It claims to happen later than clocks may differ.
    InFuture,
    /// Its person would be one too many.
    StoreFull,
}

impl Taken {
    /// As it stands in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
        }
    }
}

/// Takes an event in, as of `now`.
pub fn take(store: &Store, plan: &FeaturePlan, event: &Event, now: Timestamp) -> Result<Taken, Refusal> {
    admit(plan.specification(), event, now)?;
    match store.apply(plan, event) {
        Ok(Applied::New) => Ok(Taken::New),
        Ok(Applied::Duplicate) => Ok(Taken::Duplicate),
        Ok(Applied::Conflict) => Ok(Taken::Conflict),
        Ok(Applied::TooLate) => Err(Refusal::TooLate),
        Err(_full) => Err(Refusal::StoreFull),
    }
}

/// Whether an event that arrives `now` may enter a history at all. A replay asks the same of the events of a file (F2).
pub fn admit(specification: &Specification, event: &Event, now: Timestamp) -> Result<(), Refusal> {
    if event.time().millis() <= now.millis() - specification.horizon.millis() {
        return Err(Refusal::TooLate);
    }
    if event.time().millis() > now.millis() + specification.clock_skew.millis() {
        return Err(Refusal::InFuture);
    }
    Ok(())
}
