//! The past, point in time: for every application the vector that the service would have computed at its `as_of`.
//!
//! A person's events are applied in the order in which they became known, and each application reads what was known by
//! its `as_of`: what had happened *and* had arrived. A scored application is recorded as an event, as the service does,
//! and is seen by the person's later applications, never by itself.
//!
//! At one instant: an event that arrives exactly at `as_of` is known; of two applications of a person at one instant
//! the one that stands later in the file sees the earlier, as if they had been sent one after the other in that order.
//!
//! `withhold` delays everything: an event is known only once it is that old as well. It shows what stale history costs.
//!
//! The apply and the read are those of the request path (F2), over a set of events (F1): only *what* is known by an
//! instant is decided here. The bound on a person's events is not applied: an answer of the service that rests on
//! merged events says so.

use cauce_features::application::HistoricApplication;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::{Span, Timestamp};
use cauce_features::timeline::{Applied, Timeline};
use cauce_features::vector::{ReadFacts, Scratch};

use super::history::{Arrival, Counts, Person, Records};
use super::progress;
use crate::scoring::History;

/// Vectors in the order of the applications file: 4 bytes for each feature of each application.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) applications: Vec<HistoricApplication>,
    /// Row by row, as wide as the plan.
    pub(super) vectors: Vec<f32>,
    pub(super) histories: Vec<History>,
    pub(super) counts: Counts,
}

/// Before a person is replayed.
const NOTHING: History =
    History { known: false, facts: ReadFacts { newest_event: None, truncated: false, coarse: false } };

/// Replays every person.
pub(super) fn replay(plan: &FeaturePlan, records: Records, withhold: Option<Span>) -> Replayed {
    let withhold = withhold.unwrap_or(Span::from_millis(0));
    let Records { applications, people, counts } = records;
    let rows = applications.len();
    let bar = progress::items("replay", people.len() as u64);
    let mut replayed =
        Replayed { vectors: vec![f32::NAN; rows * plan.width()], histories: vec![NOTHING; rows], counts, applications };
    let mut scratch = plan.scratch();
    for person in people {
        replayed.person(plan, person, withhold, &mut scratch);
        bar.inc(1);
    }
    bar.finish_and_clear();
    replayed
}

impl Replayed {
    fn person(&mut self, plan: &FeaturePlan, mut person: Person, withhold: Span, scratch: &mut Scratch) {
        person.events.sort_by_key(|arrival| known_at(arrival, withhold));
        // Stable: applications of one instant stay in the order of the file.
        person.applications.sort_by_key(|&row| self.applications[row].as_of);

        let mut timeline = Timeline::default();
        let mut events = person.events.iter().peekable();
        let mut recorded = 0;
        for (position, &row) in person.applications.iter().enumerate() {
            let as_of = self.applications[row].as_of;
            while let Some(arrival) = events.next_if(|arrival| known_at(arrival, withhold) <= as_of) {
                self.apply(&mut timeline, plan, arrival);
            }
            while recorded < position && self.scored_at(person.applications[recorded], withhold) <= as_of {
                let HistoricApplication { application, as_of, .. } = &self.applications[person.applications[recorded]];
                timeline.apply(plan, &application.as_event(plan.specification(), *as_of));
                recorded += 1;
            }
            let vector = &mut self.vectors[row * plan.width()..][..plan.width()];
            let facts = plan.vector_into(&timeline, &self.applications[row].application, as_of, scratch, vector);
            self.histories[row] = History { known: !timeline.is_empty(), facts };
        }
    }

    /// When an application that was scored is known as an event.
    fn scored_at(&self, row: usize, withhold: Span) -> Timestamp {
        later(self.applications[row].as_of, withhold)
    }

    fn apply(&mut self, timeline: &mut Timeline, plan: &FeaturePlan, arrival: &Arrival) {
        match timeline.apply(plan, &arrival.event) {
            Applied::New => self.counts.applied += 1,
            Applied::Duplicate => self.counts.repeated += 1,
            Applied::Conflict { .. } => self.counts.in_conflict += 1,
            Applied::TooLate => unreachable!("nothing is evicted during a replay"),
        }
    }
}

fn known_at(arrival: &Arrival, withhold: Span) -> Timestamp {
    arrival.arrived_at.max(later(arrival.event.time(), withhold))
}

fn later(instant: Timestamp, span: Span) -> Timestamp {
    Timestamp::from_millis(instant.millis() + span.millis())
}
