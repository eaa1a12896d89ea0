//! A run by its seconds: what was due in each, and what became of it.
//!
//! A second keeps a histogram until its last answer can have come, twice the patience later, and figures from then on. So an answer
//! counts in the second in which its request was due, however late it comes, and a run of any length keeps few histograms.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::outcome::Second;
use crate::traffic::Verdict;

/// A second that answers may still belong to.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    pub(super) figures: Second,
    pub(super) times: Coarse,
    pub(super) lag: Coarse,
}

/// Times by buckets as those of a whole run, to a hundredth instead of a thousandth: an eighth of the memory.
#[derive(Debug, Clone)]
pub(super) struct Coarse(Histogram<u32>);

/// The seconds of all threads.
pub(super) struct Seconds {
    threads: usize,
    /// Those that some threads have handed over and others not, and how many have.
    open: BTreeMap<usize, (usize, Open)>,
    done: Vec<Second>,
}

impl Seconds {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, open: BTreeMap::new(), done: Vec::new() }
    }

    /// What one of the threads has of a second; each hands over all of its seconds in order.
    pub(super) fn add(&mut self, number: usize, second: Open) {
        let (threads, all) = self.open.entry(number).or_default();
        *threads += 1;
        all.add(&second);
        if *threads == self.threads {
            let (_, all) = self.open.remove(&number).unwrap_or_default();
            self.done.push(all.settle());
        }
    }

    pub(super) fn end(mut self) -> Vec<Second> {
        // Where the threads were stopped, one may have gone on for a second longer than another.
        while let Some((_, (_, all))) = self.open.pop_first() {
            self.done.push(all.settle());
        }
        self.done
    }
}

impl Open {
    pub(super) fn answered(&mut self, verdict: Verdict, from_due: Duration) {
        match verdict {
            Verdict::Good => {
                self.figures.good += 1;
                self.times.record(from_due);
            }
            Verdict::Refused => self.figures.refused += 1,
            Verdict::Failed => self.figures.failed += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.figures.is_warm_up |= other.figures.is_warm_up;
        self.figures.due += other.figures.due;
        self.figures.good += other.figures.good;
        self.figures.refused += other.figures.refused;
        self.figures.failed += other.figures.failed;
        self.figures.came_in += other.figures.came_in;
        self.times.add(&other.times);
        self.lag.add(&other.lag);
    }

    fn settle(self) -> Second {
        let [p50, p99] = [50.0, 99.0].map(|percent| self.times.percentile(percent));
        let [lag_p50, lag_p99] = [50.0, 99.0].map(|percent| self.lag.percentile(percent));
        Second { p50, p99, max: self.times.max(), lag_p50, lag_p99, lag_max: self.lag.max(), ..self.figures }
    }
}

impl Default for Coarse {
    fn default() -> Self {
        // The bounds are constants that the histogram takes.
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("valid bounds"))
    }
}

impl Coarse {
    pub(super) fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros().max(1).try_into().unwrap_or(u64::MAX));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    pub(super) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_percentile(percent))
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of one thread, with good answers that took so many milliseconds each.
    fn second(due: u64, millis: impl IntoIterator<Item = u64>) -> Open {
        let mut open = Open::default();
        open.figures.due = due;
        millis.into_iter().for_each(|took| open.answered(Verdict::Good, Duration::from_millis(took)));
        open
    }

    #[test]
    fn second_is_settled_with_the_times_of_all_threads_once_each_has_handed_it_over() {
        let mut seconds = Seconds::new(2);
        seconds.add(0, second(60, 1..=50));
        seconds.add(1, second(7, []));
        assert!(seconds.done.is_empty() && seconds.open.len() == 2);
        seconds.add(0, second(50, 51..=100));
        assert!(seconds.done.len() == 1 && seconds.open.len() == 1, "one is figures, the other waits");
        let all = seconds.end();
        let near = |time: Duration, millis: f64| (time.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.01;
        assert_eq!((all.len(), all[0].due, all[0].good, all[1].due, all[1].p99), (2, 110, 100, 7, Duration::ZERO));
        assert!(near(all[0].p50, 50.0) && near(all[0].p99, 99.0) && near(all[0].max, 100.0), "{:?}", all[0]);
    }
}
