//! Where a thread records what it did, and where the collector finds it once a second.
//!
//! A [`Lane`] is written by one thread alone, so its lock is free but for the moment in which the collector swaps what was recorded against
//! an empty interval: a pointer. A request locks it three times, for its stages, its score and its answer. Sketch: 10 ns a lock, 5 ns a
//! time, 50 ns a score, so some 150 ns a scored request, which takes 100 µs or more; nothing is allocated but the times of a route or stage
//! on its first request. Measured: see below.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cauce_model::bundle::Bundle;
use parking_lot::Mutex;

use super::decisions::Bands;
use super::interval::{Extent, Interval};
use crate::degrade::{Mode, Reasons};
use crate::error::Code;
use crate::metrics::STAGES;
use crate::scoring::Decision;

/// The lanes of all threads that record.
pub struct Lanes {
    extent: Extent,
    /// By route, whether its answers count as requests.
    counted: Arc<[bool]>,
    bands: Arc<Bands>,
    open: Mutex<Vec<Arc<Lane>>>,
}

/// Where one thread records.
pub struct Lane {
    counted: Arc<[bool]>,
    bands: Arc<Bands>,
    recording: Mutex<Recording>,
    /// Empty but while the collector reads it.
    spare: Mutex<Box<Interval>>,
    in_flight: AtomicUsize,
    delay_ns: AtomicU64,
}

struct Recording {
    interval: Box<Interval>,
    /// Names of bands that this thread has met, by their numbers.
    bands: Vec<(Arc<str>, usize)>,
}

/// An answer that has been made.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// An index into the table of routes, or the one behind it.
    pub route: usize,
    pub status: u16,
    /// What went wrong.
    pub code: Option<Code>,
    /// None of one that was refused before it was begun: its time would say nothing of the route.
    pub took: Option<Duration>,
    pub budget: Option<Duration>,
}

/// How the threads stand now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    pub in_flight: usize,
    /// The longest delay since it was last asked for.
    pub delay: Duration,
}

impl Lanes {
    /// None is open. `counted` says of each route whether its answers count as requests; `bands` are told in their order.
    pub fn new(extent: Extent, counted: Vec<bool>, bands: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let known = Bands::default();
        for band in bands {
            known.number(band.as_ref());
        }
        Self { extent, counted: counted.into(), bands: Arc::new(known), open: Mutex::default() }
    }

    /// A lane for one more thread, for as long as it keeps it.
    pub fn open(&self) -> Arc<Lane> {
        let interval = || Box::new(Interval::new(self.extent));
        let lane = Arc::new(Lane {
            counted: self.counted.clone(),
            bands: self.bands.clone(),
            recording: Mutex::new(Recording { interval: interval(), bands: Vec::new() }),
            spare: Mutex::new(interval()),
            in_flight: AtomicUsize::new(0),
            delay_ns: AtomicU64::new(0),
        });
        self.open.lock().push(lane.clone());
        lane
    }

    /// Moves everything that was recorded into an interval; how the threads stand. Lanes whose threads have ended are let go.
    pub fn take(&self, into: &mut Interval) -> Load {
        let mut open = self.open.lock();
        let mut load = Load::default();
        open.retain(|lane| {
            // Before its last records are taken: its thread adds none later.
            let is_kept = Arc::strong_count(lane) > 1;
            let one = lane.take(into);
            load.in_flight += one.in_flight;
            load.delay = load.delay.max(one.delay);
            is_kept
        });
        load
    }

    /// How much is told apart.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The bands that occurred.
    pub fn bands(&self) -> &Bands {
        &self.bands
    }
}

impl Answered {
    /// Whether it left after its budget was used up.
    pub fn is_late(&self) -> bool {
        self.budget.zip(self.took).is_some_and(|(budget, took)| took > budget)
    }
}

impl Lane {
    /// Counts an answer.
    pub fn answered(&self, answered: &Answered) {
        let Answered { route, status, code, took, budget } = *answered;
        let interval = &mut *self.recording.lock().interval;
        let counts = &mut interval.counts;
        let is_late = answered.is_late();
        if self.counted[route] {
            counts.requests += 1;
            counts.errors += u64::from(status >= 500);
            counts.client_errors += u64::from((400..500).contains(&status));
            counts.timeouts += u64::from(is_late || matches!(code, Some(Code::BodyTimeout | Code::LogSlow)));
            if let Some(code) = code {
                counts.codes[code as usize] += 1;
            }
        }
        counts.budgeted += u64::from(budget.is_some() && took.is_some());
        counts.over_budget += u64::from(is_late);
        if let Some(took) = took {
            let route = interval.route(route);
            route.times.record(took);
            route.over_budget += u64::from(is_late);
        }
    }

    /// Counts how long each stage of a request took, those that it had.
    pub fn stages(&self, took: &[Option<Duration>; STAGES.len()]) {
        let stages = &mut self.recording.lock().interval.stages;
        for (times, took) in stages.iter_mut().zip(took) {
            if let Some(took) = took {
                times.get_or_insert_default().record(*took);
            }
        }
    }

    /// Counts a scored application, as one of these groups beside all.
    pub fn scored(&self, decision: &Decision<'_>, bundle: &Arc<Bundle>, groups: impl Iterator<Item = usize>) {
        let Recording { interval, bands } = &mut *self.recording.lock();
        let (score, made) = (decision.score.as_ref(), decision.made);
        interval.counts.modes[made.mode as usize] += 1;
        interval.counts.degraded += u64::from(made.is_degraded());
        made.reasons.places().for_each(|place| interval.counts.reasons[place] += 1);
        let band = score.map_or(0, |score| self.band(bands, score.band));
        for group in std::iter::once(0).chain(groups) {
            interval.groups[group].count(score, band);
        }
        // Of the other rungs training knows nothing.
        if let (Mode::Full, Some(score)) = (made.mode, score) {
            interval.rows.push(bundle, decision.vector, score.probability_of_default);
        }
    }

    /// Counts reasons that were found after scores were counted, so many of which were not degraded before.
    pub fn degraded(&self, reasons: Reasons, anew: u64) {
        let counts = &mut self.recording.lock().interval.counts;
        counts.degraded += anew;
        reasons.places().for_each(|place| counts.reasons[place] += 1);
    }

    /// Counts events by what became of them, an index into the table of outcomes.
    pub fn events(&self, outcome: usize, count: u64) {
        self.recording.lock().interval.counts.events[outcome] += count;
    }

    /// Says how the thread stands.
    pub fn load(&self, delay: Duration, in_flight: usize) {
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.delay_ns.fetch_max(delay.as_nanos() as u64, Ordering::Relaxed);
    }

    fn take(&self, into: &mut Interval) -> Load {
        let mut spare = self.spare.lock();
        std::mem::swap(&mut self.recording.lock().interval, &mut *spare);
        into.add(&spare);
        into.rows.add(&spare.rows);
        spare.clear();
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            delay: Duration::from_nanos(self.delay_ns.swap(0, Ordering::Relaxed)),
        }
    }

    fn band(&self, known: &mut Vec<(Arc<str>, usize)>, name: &str) -> usize {
        if let Some((_, number)) = known.iter().find(|(known, _)| **known == *name) {
            return *number;
        }
        let number = self.bands.number(name);
        if known.len() < super::decisions::BANDS {
            known.push((name.into(), number));
        }
        number
    }
}
