//! The pure read: a timeline, an application and an instant in, a feature vector out.
//!
//! Events are taken newest first. Where the scan crosses the lower edge of a window that ends at `as_of`, the tallies so far
//! *are* that window, and its features are finished from them; so every window costs its edge, not its events. What is
//! computed depends on the set of events, the application and `as_of` alone (F1), and training rows come from this
//! very function (F2).

use crate::aggregate::{Finish, Summary};
use crate::application::Application;
use crate::plan::{FeaturePlan, WindowPlan};
use crate::spec::Window;
use crate::streams::Streams;
use crate::time::Timestamp;
use crate::timeline::cursor::{Cursor, Taker};
use crate::timeline::rows::Key;
use crate::timeline::{Log, ORDINARY_EVENTS, Timeline};
use crate::window::{self, Bounds};

/// A vector, and what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureVector {
    /// In the order of the specification; NaN where a value is missing and has no default.
    pub values: Vec<f32>,
    /// What the values rest on.
    pub facts: ReadFacts,
}

/// What a read rested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFacts {
    /// When the newest event that the read saw happened.
    pub newest_event: Option<Timestamp>,
    /// Whether a window reaches back to before events were evicted, or the read itself lies there: the answer lacks events, or
    /// a lifetime counts later ones.
    pub truncated: bool,
    /// Whether the person's oldest events have been merged by the hour to bound memory.
    pub coarse: bool,
}

/// Working memory of reads, reused so that a read allocates nothing. Belongs to one plan and one thread.
#[derive(Debug)]
pub struct Scratch {
    summary: Summary,
    edges: Vec<(Bounds, usize)>,
    slots: Vec<f64>,
    seen: Vec<SeenValues>,
}

impl FeaturePlan {
    /// Working memory for reads under this plan.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            summary: Summary::empty(&self.streams),
            edges: Vec::with_capacity(self.suffixes.len()),
            slots: vec![f64::NAN; self.slots()],
            seen: self.streams.distinct.iter().map(|_| SeenValues::default()).collect(),
        }
    }

    /// The features of a person at an instant.
    pub fn vector(&self, timeline: &Timeline, application: &Application, as_of: Timestamp) -> FeatureVector {
        let mut values = vec![0.0; self.width()];
        let facts = self.vector_into(timeline, application, as_of, &mut self.scratch(), &mut values);
        FeatureVector { values, facts }
    }

    /// The same into memory of the caller's: `out` has [`FeaturePlan::width`] places.
    pub fn vector_into(
        &self,
        timeline: &Timeline,
        application: &Application,
        as_of: Timestamp,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> ReadFacts {
        self.fill_application(application.values(), &mut scratch.slots);
        let own = self.own_event(timeline, (as_of.millis(), application.id().bits()));
        let reach_ms = as_of.millis();
        let facts = Read { plan: self, timeline, as_of, own, scratch, reach_ms, newest_ms: None }.all();
        self.derive(&mut scratch.slots);
        for (value, &slot) in out.iter_mut().zip(&scratch.slots[self.first_feature_slot()..]) {
            *value = slot as f32;
        }
        facts
    }

    /// Where the application itself stands among the events. Another type of event may carry the same time and id, and is seen.
    fn own_event(&self, timeline: &Timeline, key: Key) -> Key {
        let is_application = timeline.kind_at(self, key) == Some(self.specification().application_event());
        if is_application { key } else { NOWHERE }
    }

    fn derive(&self, slots: &mut [f64]) {
        let first = self.first_feature_slot();
        for derived in &self.derived {
            slots[first + derived.feature] = or_default(derived.expression.evaluate(slots), derived.default);
        }
    }
}

/// Behind every event: what no cursor meets.
const NOWHERE: Key = (i64::MAX, u64::MAX);

/// Missing takes the default; so does what does not fit the vector's type.
fn or_default(value: f64, default: f64) -> f64 {
    if value.abs() <= f64::from(f32::MAX) { value } else { default }
}

/// One read under way.
struct Read<'a> {
    plan: &'a FeaturePlan,
    timeline: &'a Timeline,
    as_of: Timestamp,
    /// The application's own event, which it never sees, or [`NOWHERE`].
    own: Key,
    scratch: &'a mut Scratch,
    /// The lowest edge of any window over the horizon; `as_of` at the latest, before which no lifetime can be told either.
    reach_ms: i64,
    newest_ms: Option<i64>,
}

impl<'a> Read<'a> {
    fn all(mut self) -> ReadFacts {
        self.suffixes();
        self.plan.ranges.iter().for_each(|planned| self.range(planned));
        ReadFacts {
            newest_event: self.newest_ms.map(Timestamp::from_millis),
            truncated: self.reach_ms < self.timeline.frontier_ms(),
            coarse: self.timeline.coarsened() > 0,
        }
    }

    /// All windows that end at `as_of`, in one scan.
    fn suffixes(&mut self) {
        let plan = self.plan;
        self.scratch.edges.clear();
        for (index, planned) in plan.suffixes.iter().enumerate() {
            let bounds = self.bounds(planned);
            self.scratch.edges.push((bounds, index));
        }
        self.scratch.edges.sort_unstable_by_key(|(bounds, _)| std::cmp::Reverse(bounds.after_ms));
        let mut cursor = self.start(self.as_of.millis());
        for at in 0..self.scratch.edges.len() {
            let (bounds, index) = self.scratch.edges[at];
            cursor.take_after(bounds.after_ms, &mut self.taker());
            self.finish(&plan.suffixes[index], bounds);
        }
    }

    /// A window of its own: a whole calendar period that is over, or a session.
    fn range(&mut self, planned: &WindowPlan) {
        let mut bounds = self.bounds(planned);
        if let Window::Session { gap, .. } = planned.window {
            let cursor = Cursor::at(&self.plan.streams, self.timeline, bounds.through_ms);
            let start = cursor.session_start(planned.emissions[0].stream, gap, &bounds, self.own);
            bounds.after_ms = start.map_or(bounds.through_ms, |start| bounds.after_ms.max(start - 1));
        }
        let mut cursor = self.start(bounds.through_ms);
        if bounds.after_ms < bounds.through_ms {
            cursor.take_after(bounds.after_ms, &mut self.taker());
        } else {
            self.clear();
        }
        self.finish(planned, bounds);
    }

    fn bounds(&mut self, planned: &WindowPlan) -> Bounds {
        let bounds = window::bounds(&planned.window, self.as_of, self.plan.specification().utc_offset_ms);
        if planned.window != Window::Lifetime {
            self.reach_ms = self.reach_ms.min(bounds.after_ms);
        }
        bounds
    }

    /// A cursor at an instant and empty tallies; past the application's own event where that stands there.
    fn start(&mut self, through_ms: i64) -> Cursor<'a> {
        self.clear();
        let mut cursor = Cursor::at(&self.plan.streams, self.timeline, through_ms);
        let newest = cursor.next_key();
        if newest.is_some_and(|(time_ms, _)| time_ms == self.own.0) {
            let own = self.own;
            cursor.pass_over(own, &mut self.taker());
        }
        if through_ms == self.as_of.millis() {
            let visible = if newest == Some(self.own) { cursor.next_key() } else { newest };
            self.newest_ms = visible.map(|(time_ms, _)| time_ms);
        }
        cursor
    }

    fn clear(&mut self) {
        self.scratch.summary.clear();
        self.scratch.seen.iter_mut().for_each(SeenValues::clear);
    }

    fn taker(&mut self) -> TakeInto<'_> {
        let ordinary = matches!(self.timeline.log(), Log::Ordinary(_));
        let seen = if ordinary { &mut self.scratch.seen[..] } else { &mut [] };
        TakeInto { summary: &mut self.scratch.summary, seen }
    }

    /// Finishes the features of a window whose events have been taken.
    fn finish(&mut self, planned: &WindowPlan, bounds: Bounds) {
        let finish = Finish {
            summary: &self.scratch.summary,
            measures: &self.plan.streams.measures,
            as_of_ms: self.as_of.millis(),
            length_ms: bounds.length_ms,
        };
        let first = self.plan.first_feature_slot();
        for emission in &planned.emissions {
            let value = match emission.distinct {
                Some(index) => self.distinct(index, bounds),
                None => finish.value(emission),
            };
            self.scratch.slots[first + emission.feature] = or_default(value, emission.default);
        }
    }

    fn distinct(&self, index: usize, bounds: Bounds) -> f64 {
        match self.timeline.log() {
            Log::Ordinary(_) => self.scratch.seen[index].count as f64,
            Log::Busy(busy) => {
                // Rows may point back at evicted ones of their value, which no window holds any more.
                let after_ms = bounds.after_ms.max(self.timeline.frontier_ms());
                busy.distinct(&self.plan.streams, index, Bounds { after_ms, ..bounds }, self.own) as f64
            }
        }
    }
}

/// Adds what a cursor takes to the tallies.
struct TakeInto<'a> {
    summary: &'a mut Summary,
    /// Empty for busy people, whose distinct values are counted by [`crate::timeline::busy`].
    seen: &'a mut [SeenValues],
}

impl Taker for TakeInto<'_> {
    fn rows(&mut self, streams: &Streams, rows: &[u8]) {
        self.summary.push_older(streams, rows);
        for (index, seen) in self.seen.iter_mut().enumerate() {
            let values = rows.chunks_exact(streams.layout.stride).filter_map(|row| streams.distinct_value(index, row));
            values.for_each(|value| seen.insert(value));
        }
    }

    fn run(&mut self, streams: &Streams, summary: &Summary) {
        self.summary.join_older(streams, summary);
    }
}

/// A set of values that forgets in constant time. Holds an ordinary person's rows at most, half full then.
#[derive(Debug)]
struct SeenValues {
    /// Value, and the generation in which it was seen.
    places: Box<[(i64, u32)]>,
    generation: u32,
    count: usize,
}

impl Default for SeenValues {
    fn default() -> Self {
        Self { places: vec![(0, 0); 2 * ORDINARY_EVENTS].into(), generation: 1, count: 0 }
    }
}

impl SeenValues {
    fn clear(&mut self) {
        self.count = 0;
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.places.fill((0, 0));
            self.generation = 1;
        }
    }

    fn insert(&mut self, value: i64) {
        let mut at = (value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> (64 - PLACES_BITS);
        loop {
            match self.places[at] {
                (_, generation) if generation != self.generation => {
                    self.places[at] = (value, self.generation);
                    self.count += 1;
                    return;
                }
                (known, _) if known == value => return,
                _ => at = (at + 1) % self.places.len(),
            }
        }
    }
}

const PLACES_BITS: u32 = (2 * ORDINARY_EVENTS).ilog2();
