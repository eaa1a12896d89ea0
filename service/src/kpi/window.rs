//! The sliding window: a running total to which each second is added, and off which it is taken when it has expired.
//!
//! Seconds are kept sparse. One of a busy service has some hundred buckets for each route and stage in use, 1 KiB each: about 12 KiB, so
//! 4 MiB for 5 minutes. No second can have more than 18 KiB for one of them, or 320 bytes for each declared group (S5).

use std::collections::VecDeque;
use std::time::Duration;

use super::interval::{Extent, Interval, SparseInterval};
use super::percentiles::Times;

/// What was recorded over the last while.
pub struct Window {
    length: Duration,
    total: Interval,
    seconds: VecDeque<(Duration, SparseInterval)>,
    covered: Duration,
    scratch: Times,
}

impl Window {
    /// An empty one of this length.
    pub fn new(length: Duration, extent: Extent) -> Self {
        Self {
            length,
            total: Interval::new(Extent { rows: 0, ..extent }),
            seconds: VecDeque::new(),
            covered: Duration::ZERO,
            scratch: Times::default(),
        }
    }

    /// Adds what was recorded over the time since the last was added; what is older than the window goes.
    pub fn push(&mut self, second: &Interval, lasted: Duration) {
        self.total.add(second);
        self.seconds.push_back((lasted, second.sparse()));
        self.covered += lasted;
        // As nearly as whole seconds allow: half a second of the oldest may be older.
        while let Some((lasted, _)) = self.seconds.front()
            && self.covered.saturating_sub(*lasted / 2) > self.length
            && let Some((lasted, expired)) = self.seconds.pop_front()
        {
            self.total.subtract(&expired, &mut self.scratch);
            self.covered -= lasted;
        }
    }

    /// The sum of all that is in it.
    pub fn total(&self) -> &Interval {
        &self.total
    }

    /// How much time that is of: less than its length at first.
    pub fn covered(&self) -> Duration {
        self.covered
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kpi::snapshot::Percentiles;

    const EXTENT: Extent = Extent { routes: 3, groups: 2, rows: 0, width: 0 };
    const LENGTH: Duration = Duration::from_secs(10);

    /// What a second had: how long it lasted, times by route in nanoseconds, times by stage, late answers, errors.
    type Second = (u64, Vec<(usize, u64)>, Vec<(usize, u64)>, u64, u64);

    fn interval(second: &Second) -> Interval {
        let (_, routes, stages, late, errors) = second;
        let mut interval = Interval::new(EXTENT);
        for &(route, ns) in routes {
            interval.route(route).times.record(Duration::from_nanos(ns));
            interval.route(route).over_budget += late;
            interval.counts.requests += 1;
            interval.counts.codes[route] += errors;
            interval.groups[route % 2].count(None, 0);
        }
        for &(stage, ns) in stages {
            interval.stages[stage].get_or_insert_default().record(Duration::from_nanos(ns));
        }
        interval
    }

    fn seconds() -> impl Strategy<Value = Vec<Second>> {
        // As in a service: much of about the same, and a tail.
        let time = prop_oneof![50_000_u64..90_000, 1_u64..4_000_000_000_000];
        let routes = prop::collection::vec((0_usize..3, time.clone()), 0..12);
        let stages = prop::collection::vec((0_usize..8, time), 0..12);
        prop::collection::vec((900_u64..3_000, routes, stages, 0_u64..3, 0_u64..3), 1..40)
    }

    fn told(of: &Interval) -> Vec<Percentiles> {
        let asked = of.routes.iter().flatten().filter(|route| route.times.count() > 0);
        asked.map(|route| route.times.percentiles()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_running_total_is_that_of_the_seconds_that_are_in_it(seconds in seconds()) {
            let mut window = Window::new(LENGTH, EXTENT);
            let seconds: Vec<_> = seconds.iter().map(|of| (Duration::from_millis(of.0), interval(of))).collect();
            for last in 0..seconds.len() {
                let (lasted, second) = &seconds[last];
                window.push(second, *lasted);
                let mut covered = Duration::ZERO;
                let mut expected = Interval::new(EXTENT);
                for (lasted, second) in seconds[..=last].iter().rev() {
                    if covered + *lasted / 2 > LENGTH {
                        break;
                    }
                    covered += *lasted;
                    expected.add(second);
                }
                prop_assert_eq!(window.covered(), covered);
                prop_assert_eq!(window.total().sparse(), expected.sparse());
                if last + 1 == seconds.len() {
                    prop_assert_eq!(told(window.total()), told(&expected));
                }
            }
        }
    }
}
