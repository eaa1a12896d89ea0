//! An event's way into a person's history: refused by its time, or applied.
//!
//! What is refused depends on the event, the horizon and `now`, never on what has been evicted (F1); only where the bound on a
//! person's events has merged the past by the hour is a late event refused too. Neither HTTP
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

#[cfg(test)]
mod tests {
    use cauce_features::event::EventId;
    use cauce_features::spec::Specification;

    use super::*;
    use crate::store::Bounds;

    const NOW_MS: i64 = 1_000_000_000_000;
    const DAY_MS: i64 = 86_400_000;
    const MINUTE_MS: i64 = 60_000;

    fn plan() -> FeaturePlan {
        let text = r#"
            name = "small"
            horizon = "90d"
            clock_skew = "5m"
            [application.fields]
            amount = { type = "integer" }
            [events.payment.fields]
            amount = { type = "integer" }
            [[features]]
            name = "paid"
            from = "payment"
            aggregate = "sum"
            field = "amount"
            window = { sliding = "90d" }
        "#;
        FeaturePlan::compile(Specification::parse("features.toml", text).unwrap()).unwrap()
    }

    fn store() -> Store {
        Store::new(Bounds { people: 2, events_per_person: 1000 })
    }

    fn payment(person: &str, id: &str, time_ms: i64, amount: i64) -> Event {
        Event::new(person, EventId::parse(id).unwrap(), Timestamp::from_millis(time_ms), 0, vec![amount])
    }

    fn taken(store: &Store, event: &Event) -> Result<Taken, Refusal> {
        take(store, &plan(), event, Timestamp::from_millis(NOW_MS))
    }

    #[test]
    fn an_event_is_taken_between_the_horizon_and_the_clock_skew() {
        let cases = [
            (NOW_MS - 90 * DAY_MS, Err(Refusal::TooLate)),
            (NOW_MS - 90 * DAY_MS + 1, Ok(Taken::New)),
            (NOW_MS + 5 * MINUTE_MS, Ok(Taken::New)),
            (NOW_MS + 5 * MINUTE_MS + 1, Err(Refusal::InFuture)),
        ];
        let store = store();
        for (time_ms, expected) in cases {
            assert_eq!(taken(&store, &payment("c-1", "1", time_ms, 5)), expected, "{time_ms}");
        }
    }

    #[test]
    fn the_same_event_again_changes_nothing_and_another_under_its_identity_is_a_conflict() {
        let store = store();
        for (amount, expected) in [(5, Taken::New), (5, Taken::Duplicate), (6, Taken::Conflict), (5, Taken::Conflict)] {
            assert_eq!(taken(&store, &payment("c-1", "1", NOW_MS, amount)), Ok(expected), "{amount}");
        }
    }

    #[test]
    fn a_full_store_still_takes_events_of_people_it_knows() {
        let store = store();
        for (person, expected) in [("a", Ok(Taken::New)), ("b", Ok(Taken::New)), ("c", Err(Refusal::StoreFull))] {
            assert_eq!(taken(&store, &payment(person, "1", NOW_MS, 5)), expected, "{person}");
        }
        assert_eq!(taken(&store, &payment("a", "2", NOW_MS, 5)), Ok(Taken::New));
        assert_eq!(store.people(), 2);
    }

    #[test]
    fn a_sweep_frees_what_no_window_reaches_any_more() {
        let (store, plan) = (store(), plan());
        for (id, time_ms) in [("1", NOW_MS - 80 * DAY_MS), ("2", NOW_MS)] {
            assert_eq!(taken(&store, &payment("c-1", id, time_ms, 5)), Ok(Taken::New));
        }
        let through = Timestamp::from_millis(NOW_MS - 79 * DAY_MS);
        (0..store.shards()).for_each(|shard| store.sweep(&plan, shard, through));
        assert_eq!(store.read("c-1", |timeline| timeline.map(|timeline| timeline.len(&plan))), Some(1));
    }
}
