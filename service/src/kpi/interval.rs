//! What was recorded over some time, by one thread or all: a second on its way, or the running total of the window.
//!
//! Everything is a count, so intervals add up, and a total is what is left when expired ones are taken off again.

use std::sync::Arc;

use cauce_model::bundle::Bundle;

use super::decisions::Sums;
use super::percentiles::{SparseTimes, Times};
use crate::cache;
use crate::degrade::{MODES, REASONS};
use crate::error::CODES;
use crate::metrics::{OUTCOMES, STAGES};

/// How much an interval can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub routes: usize,
    /// All decisions, then those by product and by segment.
    pub groups: usize,
    /// Rows of the model that are kept, and the floats of one.
    pub rows: usize,
    pub width: usize,
}

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Interval {
    pub counts: Counts,
    /// By route, those that were asked.
    pub routes: Box<[Option<Box<RouteTimes>>]>,
    pub stages: [Option<Box<Times>>; STAGES.len()],
    pub groups: Box<[Sums]>,
    pub rows: Rows,
}

/// Answers of one route.
#[derive(Debug, Clone, Default)]
pub struct RouteTimes {
    pub times: Times,
    pub over_budget: u64,
}

/// What is counted by nothing but its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Of answers of the routes that count.
    pub requests: u64,
    pub errors: u64,
    pub client_errors: u64,
    /// Late, or ended by a timeout.
    pub timeouts: u64,
    /// Of answers that had a budget: all, and the late ones.
    pub budgeted: u64,
    pub over_budget: u64,
    pub degraded: u64,
    pub modes: [u64; MODES.len()],
    pub reasons: [u64; REASONS.len()],
    pub codes: [u64; CODES.len()],
    pub events: [u64; OUTCOMES.len()],
    pub hits: [u64; cache::LEVELS.len()],
    pub misses: [u64; cache::LEVELS.len()],
}

/// Vectors that the model was given, with what it made of them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Whose rows they are: of a bundle that is served no more, they say nothing.
    pub bundle: Option<Arc<Bundle>>,
    pub vectors: Vec<f32>,
    pub probabilities: Vec<Option<f32>>,
}

/// An interval to be kept: what is not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseInterval {
    counts: Counts,
    routes: Box<[(usize, u64, SparseTimes)]>,
    stages: Box<[(usize, SparseTimes)]>,
    groups: Box<[(usize, Sums)]>,
}

impl Interval {
    /// Nothing was recorded. Times take memory once there are any.
    pub fn new(extent: Extent) -> Self {
        Self {
            counts: Counts::ZERO,
            routes: (0..extent.routes).map(|_| None).collect(),
            stages: Default::default(),
            groups: vec![Sums::default(); extent.groups].into(),
            rows: Rows {
                bundle: None,
                vectors: Vec::with_capacity(extent.rows * extent.width),
                probabilities: Vec::with_capacity(extent.rows),
            },
        }
    }

    /// Begins anew, in the same memory.
    pub fn clear(&mut self) {
        self.counts = Counts::ZERO;
        for route in self.routes.iter_mut().flatten() {
            route.times.clear();
            route.over_budget = 0;
        }
        self.stages.iter_mut().flatten().for_each(|times| times.clear());
        self.groups.fill(Sums::default());
        self.rows.clear();
    }

    /// Adds what another has, but for its rows.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (route, other) in self.routes.iter_mut().zip(&other.routes) {
            if let Some(other) = other {
                let route = route.get_or_insert_default();
                route.times.add(&other.times);
                route.over_budget += other.over_budget;
            }
        }
        for (times, other) in self.stages.iter_mut().zip(&other.stages) {
            if let Some(other) = other {
                times.get_or_insert_default().add(other);
            }
        }
        self.groups.iter_mut().zip(&other.groups).for_each(|(sums, other)| sums.add(other));
    }

    /// To be kept, without its rows.
    pub fn sparse(&self) -> SparseInterval {
        let routes = self.routes.iter().enumerate().filter_map(|(place, route)| {
            let route = route.as_ref().filter(|route| route.times.count() > 0)?;
            Some((place, route.over_budget, route.times.sparse()))
        });
        let stages = self.stages.iter().enumerate().filter_map(|(place, times)| {
            let times = times.as_ref().filter(|times| times.count() > 0)?;
            Some((place, times.sparse()))
        });
        let groups = self.groups.iter().copied().enumerate().filter(|(_, sums)| sums.decisions > 0);
        SparseInterval {
            counts: self.counts,
            routes: routes.collect(),
            stages: stages.collect(),
            groups: groups.collect(),
        }
    }

    /// Takes off what was added before. `scratch` is working memory.
    pub fn subtract(&mut self, expired: &SparseInterval, scratch: &mut Times) {
        self.counts.subtract(&expired.counts);
        for (place, over_budget, times) in &expired.routes {
            if let Some(route) = &mut self.routes[*place] {
                scratch.restore(times);
                route.times.subtract(scratch);
                route.over_budget -= over_budget;
            }
        }
        for (place, times) in &expired.stages {
            if let Some(total) = &mut self.stages[*place] {
                scratch.restore(times);
                total.subtract(scratch);
            }
        }
        for (place, sums) in &expired.groups {
            self.groups[*place].subtract(sums);
        }
    }

    /// The route's times.
    pub fn route(&mut self, route: usize) -> &mut RouteTimes {
        self.routes[route].get_or_insert_default()
    }

    /// Applications that were scored.
    pub fn scores(&self) -> u64 {
        self.counts.modes.iter().sum()
    }
}

impl Counts {
    /// Nothing.
    pub const ZERO: Self = Self {
        requests: 0,
        errors: 0,
        client_errors: 0,
        timeouts: 0,
        budgeted: 0,
        over_budget: 0,
        degraded: 0,
        modes: [0; _],
        reasons: [0; _],
        codes: [0; _],
        events: [0; _],
        hits: [0; _],
        misses: [0; _],
    };

    /// The share of applications whose score was found in a cache. Each is looked for on the first level first, so what was missed is what
    /// the second did not make good; it may do so in the next second.
    pub fn cache_hit_rate(&self) -> Option<f64> {
        let found = self.hits.iter().sum::<u64>();
        let looked_for = found + self.misses[0].saturating_sub(self.hits[1]);
        (looked_for > 0).then(|| found as f64 / looked_for as f64)
    }

    fn add(&mut self, other: &Self) {
        self.each(other, |sum, other| *sum += other);
    }

    fn subtract(&mut self, other: &Self) {
        self.each(other, |sum, other| *sum -= other);
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        // Written out, so that no count can be forgotten.
        let Self { requests, errors, client_errors, timeouts, budgeted, over_budget, degraded, .. } = self;
        for (sum, other) in [
            (requests, other.requests),
            (errors, other.errors),
            (client_errors, other.client_errors),
            (timeouts, other.timeouts),
            (budgeted, other.budgeted),
            (over_budget, other.over_budget),
            (degraded, other.degraded),
        ] {
            change(sum, other);
        }
        let Self { modes, reasons, codes, events, hits, misses, .. } = self;
        for (sums, others) in [
            (&mut modes[..], &other.modes[..]),
            (&mut reasons[..], &other.reasons[..]),
            (&mut codes[..], &other.codes[..]),
            (&mut events[..], &other.events[..]),
            (&mut hits[..], &other.hits[..]),
            (&mut misses[..], &other.misses[..]),
        ] {
            sums.iter_mut().zip(others).for_each(|(sum, other)| change(sum, *other));
        }
    }
}

impl Rows {
    /// The rows, if they are of this bundle.
    pub fn of(&self, bundle: &Bundle) -> impl Iterator<Item = (&[f32], Option<f32>)> {
        let is_of = self.bundle.as_ref().is_some_and(|of| of.hash() == bundle.hash());
        let vectors = self.vectors.chunks_exact(bundle.width());
        vectors.zip(self.probabilities.iter().copied()).take_while(move |_| is_of)
    }

    /// Adds a row, as long as there is room.
    pub fn push(&mut self, bundle: &Arc<Bundle>, vector: &[f32], probability: Option<f32>) {
        if self.bundle.as_ref().is_none_or(|of| !Arc::ptr_eq(of, bundle)) {
            self.clear();
            self.bundle = Some(bundle.clone());
        }
        // Never more than was set aside, whatever the bundle: a thread that scores waits for no memory.
        let has_room = self.vectors.len() + vector.len() <= self.vectors.capacity();
        if has_room && self.probabilities.len() < self.probabilities.capacity() {
            self.vectors.extend_from_slice(vector);
            self.probabilities.push(probability);
        }
    }

    fn clear(&mut self) {
        self.bundle = None;
        self.vectors.clear();
        self.probabilities.clear();
    }

    /// Adds those of another thread, if they are of the same bundle: a second in which another was put in service says little of either.
    pub fn add(&mut self, other: &Self) {
        let Some(bundle) = &other.bundle else { return };
        let of = self.bundle.get_or_insert_with(|| bundle.clone());
        if Arc::ptr_eq(of, bundle) {
            self.vectors.extend_from_slice(&other.vectors);
            self.probabilities.extend_from_slice(&other.probabilities);
        }
    }
}
