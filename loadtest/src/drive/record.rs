//! What a thread notes of its requests, and what all of them put together while they run.
//!
//! Counts and histograms are each thread's own until the end. What is told by the second and what is told meanwhile is handed over some
//! times a second, so that an hour's run keeps figures, and not histograms, of its seconds.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::answer::Answer;
use super::connection::Pending;
use super::seconds::{Coarse, Open, Seconds};
use super::{Drive, Progress};
use crate::outcome::Outcome;
use crate::schedule::{Arrival, Schedule};
use crate::traffic::Verdict;

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) is_warm_up: bool,
    /// Of the run, from 0 on.
    second: usize,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Unsent,
    Dropped,
    Unanswered,
    Unreadable,
    Skipped,
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) seconds: Mutex<Seconds>,
    pub(super) live: Mutex<Live>,
    /// A thread has: the others need not go on.
    pub(super) has_failed: AtomicBool,
}

/// What is told meanwhile: counts since the begin, times since they were last taken.
#[derive(Default)]
pub(super) struct Live {
    counts: Progress,
    times: Coarse,
}

pub(super) struct Record<'a> {
    schedule: &'a Schedule,
    begin: Instant,
    pub(super) outcome: Outcome,
    /// Seconds that answers may still belong to, from number `first` on.
    open: VecDeque<Open>,
    first: usize,
    /// After so long, no more is heard of a second's requests.
    settled_after: Duration,
    shared: &'a Shared,
    is_watched: bool,
    live: Live,
    /// The phase that was last asked for: time only goes on.
    phase: usize,
    phase_end: Duration,
    /// When the arrival is due that is looked at next; what is behind it is looked at later.
    pub(super) next_due: Duration,
    /// When no more was offered.
    offered_until: Option<Instant>,
}

impl<'a> Record<'a> {
    pub(super) fn new(drive: &Drive<'a>, shared: &'a Shared) -> Self {
        Self {
            schedule: drive.schedule,
            begin: Instant::now(),
            outcome: Outcome::new(drive.traffic.kinds(), drive.schedule.measured()),
            open: VecDeque::new(),
            first: 0,
            // To wait for a connection and then for an answer, and a little, since patience is looked after by turns.
            settled_after: drive.patience * 2 + Duration::from_millis(200),
            shared,
            is_watched: drive.progress.is_some(),
            live: Live::default(),
            phase: 0,
            phase_end: drive.schedule.phases.first().map_or(Duration::ZERO, |phase| phase.duration),
            next_due: Duration::ZERO,
            offered_until: None,
        }
    }

    /// Times count from here.
    pub(super) fn begin(&mut self, at: Instant) {
        self.begin = at;
    }

    /// An arrival that is looked at now.
    pub(super) fn due(&mut self, arrival: Arrival, now: Instant) -> Due {
        let is_warm_up = self.schedule.phases[arrival.phase].is_warm_up;
        let second = arrival.due.as_secs() as usize;
        let due = Due { number: arrival.number, at: self.begin + arrival.due, is_warm_up, second };
        let lag = now.saturating_duration_since(due.at);
        if !is_warm_up {
            self.outcome.due += 1;
            self.outcome.late += u64::from(!self.is_measured(now));
            self.outcome.lag.record(lag);
        }
        self.live.counts.due += 1;
        self.second(second, |open| {
            open.figures.due += 1;
            open.lag.record(lag);
        });
        due
    }

    pub(super) fn sent(&mut self, due: &Due) {
        self.outcome.sent += u64::from(!due.is_warm_up);
    }

    pub(super) fn lost(&mut self, loss: Loss, due: &Due) {
        if !due.is_warm_up {
            *match loss {
                Loss::Unsent => &mut self.outcome.unsent,
                Loss::Dropped => &mut self.outcome.dropped,
                Loss::Unanswered => &mut self.outcome.unanswered,
                Loss::Unreadable => &mut self.outcome.unreadable,
                Loss::Skipped => &mut self.outcome.skipped,
            } += 1;
        }
        self.live.counts.failed += 1;
        self.second(due.second, |open| open.figures.failed += 1);
    }

    pub(super) fn answered(&mut self, pending: &Pending, answer: &Answer<'_>, verdict: Verdict, now: Instant) {
        let Pending { sent, due, sent_at } = pending;
        let from_due = now.saturating_duration_since(due.at);
        let is_good = verdict == Verdict::Good;
        if !due.is_warm_up {
            let answers = self.outcome.answered.entry((sent.kind, verdict, answer.status)).or_default();
            answers.items += u64::from(sent.items);
            answers.without_retry_after += u64::from(matches!(answer.status, 429 | 503) && !answer.has_retry_after);
            answers.from_due.record(from_due);
            answers.from_sent.record(now.saturating_duration_since(*sent_at));
        }
        self.outcome.good_meanwhile += u64::from(is_good && self.is_measured(now));
        if is_good {
            // Beyond the last second that is told it is told of none.
            self.second(now.saturating_duration_since(self.begin).as_secs() as usize, |open| open.figures.came_in += 1);
        }
        let counts = &mut self.live.counts;
        *match verdict {
            Verdict::Good => &mut counts.good,
            Verdict::Refused => &mut counts.refused,
            Verdict::Failed => &mut counts.failed,
        } += 1;
        if is_good && self.is_watched {
            self.live.times.record(from_due);
        }
        self.second(due.second, |open| open.answered(verdict, from_due));
    }

    pub(super) fn closed(&mut self) {
        self.outcome.closed += 1;
    }

    /// No more is offered from now on.
    pub(super) fn stop(&mut self, now: Instant) {
        self.offered_until = Some(now);
        self.outcome.duration = self.schedule.measured_until(now.saturating_duration_since(self.begin));
    }

    /// Hands over what is settled: never the second of an arrival that has not been looked at, however late that is.
    pub(super) fn hand_over(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.begin).min(self.next_due);
        let settled = elapsed.saturating_sub(self.settled_after).as_secs() as usize;
        self.hand_over_until(settled);
        if self.is_watched {
            self.shared.live.lock().add(&mut self.live);
        }
    }

    pub(super) fn end(mut self) -> Outcome {
        let offered = self.offered_until.map_or(self.schedule.duration(), |until| until - self.begin);
        self.hand_over_until(offered.min(self.schedule.duration()).as_secs_f64().ceil() as usize);
        self.outcome
    }

    fn hand_over_until(&mut self, end: usize) {
        if self.first < end {
            let mut seconds = self.shared.seconds.lock();
            for second in self.first..end {
                let mut open = self.open.pop_front().unwrap_or_default();
                // A second in which warm-up ends is what most of it is.
                let middle = Duration::from_secs(second as u64) + Duration::from_millis(500);
                open.figures.is_warm_up = self.schedule.is_warm_up_at(middle);
                seconds.add(second, open);
            }
            self.first = end;
        }
    }

    fn second(&mut self, second: usize, note: impl FnOnce(&mut Open)) {
        // What comes after a second was settled is in the figures of the run alone.
        let Some(place) = second.checked_sub(self.first) else { return };
        if self.open.len() <= place {
            self.open.resize_with(place + 1, Open::default);
        }
        note(&mut self.open[place]);
    }

    /// Whether load is offered that is in the figures.
    fn is_measured(&mut self, now: Instant) -> bool {
        if self.offered_until.is_some_and(|until| now > until) {
            return false;
        }
        let elapsed = now.saturating_duration_since(self.begin);
        while elapsed >= self.phase_end {
            self.phase += 1;
            match self.schedule.phases.get(self.phase) {
                Some(phase) => self.phase_end += phase.duration,
                None => self.phase_end = Duration::MAX,
            }
        }
        self.schedule.phases.get(self.phase).is_some_and(|phase| !phase.is_warm_up)
    }
}

impl Shared {
    pub(super) fn new(threads: usize) -> Self {
        Self { seconds: Mutex::new(Seconds::new(threads)), live: Mutex::default(), has_failed: AtomicBool::new(false) }
    }
}

impl Live {
    /// The counts so far, and the times since this was last asked.
    pub(super) fn take(&mut self) -> (Progress, Coarse) {
        (self.counts, std::mem::take(&mut self.times))
    }

    /// Takes what another one has, and empties it.
    fn add(&mut self, other: &mut Self) {
        let (all, new) = (&mut self.counts, std::mem::take(&mut other.counts));
        all.due += new.due;
        all.good += new.good;
        all.refused += new.refused;
        all.failed += new.failed;
        self.times.add(&other.times);
        other.times.clear();
    }
}
