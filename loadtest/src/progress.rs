//! How far a run is, for who waits for it: one line that is drawn again and again, and nothing where nobody looks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::drive::Progress;
use crate::report::format;

/// The rate now is that of so long, which is what p99 is of, too.
const RECENT: Duration = Duration::from_secs(1);

/// A line at the standard error, which is not there if that is no terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// What was told in the last second. Std mutex: told from one thread, a few times a second.
    recent: Mutex<Recent>,
}

impl Bar {
    /// Draws nothing if it is to be quiet.
    pub fn new(is_quiet: bool) -> Self {
        let target = if is_quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The template is a constant; were it wrong, the bar would have the style of the library.
        let style = ProgressStyle::with_template("{bar:20} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        Self { bar, recent: Mutex::default() }
    }

    /// Draws how far it is.
    pub fn show(&self, progress: &Progress) {
        let rate = self.recent.lock().unwrap_or_else(PoisonError::into_inner).rate(progress);
        self.bar.set_length(millis(progress.total));
        self.bar.set_position(millis(progress.elapsed.min(progress.total)));
        self.bar.set_message(line(progress, rate));
    }

    /// Takes the line away, for the report to stand there.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// When it was told, and how many had got an answer that was good by then.
#[derive(Debug, Default)]
struct Recent(VecDeque<(Duration, u64)>);

impl Recent {
    /// Good answers a second, of the last second.
    fn rate(&mut self, progress: &Progress) -> f64 {
        // The next step of a search begins anew.
        if self.0.back().is_some_and(|(elapsed, _)| *elapsed > progress.elapsed) {
            self.0.clear();
        }
        self.0.push_back((progress.elapsed, progress.good));
        while self.0.get(1).is_some_and(|(elapsed, _)| *elapsed + RECENT <= progress.elapsed) {
            self.0.pop_front();
        }
        let (since, before) = self.0.front().copied().unwrap_or_default();
        let time = (progress.elapsed - since).as_secs_f64();
        if time > 0.0 { progress.good.saturating_sub(before) as f64 / time } else { 0.0 }
    }
}

fn line(progress: &Progress, rate: f64) -> String {
    let whole = |time: Duration| format::span(Duration::from_secs(time.as_secs()));
    let mut line = format!("{} of {} · {}", whole(progress.elapsed), whole(progress.total), format::rate(rate));
    if !progress.latency_p99.is_zero() {
        line += &format!(" · p99 {}", format::time(progress.latency_p99));
    }
    for (count, word) in [(progress.refused, "refused"), (progress.failed, "failed")] {
        if count > 0 {
            line += &format!(" · {} {word}", format::count(count));
        }
    }
    if progress.is_warm_up { line + " · warm-up" } else { line }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(millis: u64, good: u64) -> Progress {
        Progress { elapsed: Duration::from_millis(millis), total: Duration::from_secs(30), good, ..Progress::default() }
    }

    #[test]
    fn line_says_how_far_how_fast_and_what_went_wrong() {
        let begin = Progress { is_warm_up: true, ..progress(200, 0) };
        assert_eq!(line(&begin, 0.0), "0 s of 30 s · 0/s · warm-up");
        let p99 = Duration::from_micros(1_234);
        let later = Progress { latency_p99: p99, refused: 3, failed: 1_200, ..progress(12_400, 9) };
        assert_eq!(line(&later, 1_990.0), "12 s of 30 s · 1,990/s · p99 1.23 ms · 3 refused · 1,200 failed");
    }

    #[test]
    fn rate_is_that_of_the_last_second() {
        let mut recent = Recent::default();
        let told = [(0, 0, 0.0), (500, 50, 100.0), (1_000, 100, 100.0), (1_500, 350, 300.0), (2_000, 600, 500.0)];
        for (millis, good, rate) in told {
            assert_eq!(recent.rate(&progress(millis, good)), rate, "{millis}");
        }
        // Another run.
        assert_eq!(recent.rate(&progress(100, 0)), 0.0);
        assert_eq!(recent.rate(&progress(200, 10)), 100.0);
    }

    #[test]
    fn nothing_is_drawn_where_nobody_looks() {
        let bar = Bar::new(true);
        bar.show(&progress(1_000, 10));
        assert!(bar.bar.is_hidden());
        bar.end();
    }
}
