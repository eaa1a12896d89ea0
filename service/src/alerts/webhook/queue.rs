//! What waits for one receiver, and when it is tried again: a state machine of plain values, to which time is passed in.
//!
//! Notices of one alert leave in their order, and only as many wait as the receiver still needs: a notice that an alert is over takes the
//! place of those before it, and nothing is said of an episode that began and ended while nobody could be told. So what a receiver hears
//! last is how things are, however long it was away: a notice waits until it is delivered, refused or replaced. More than `alerts.queue` do not
//! wait beside the one under way: the oldest goes (S5). While a receiver fails nothing else is sent to it: pauses double up to a bound and are
//! spread by chance, and `Retry-After` is heeded within [`ASKED_MOST`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delivery::Outcome;
use crate::config;
use crate::kpi::snapshot::{Alert, AlertState};
use crate::metrics::alerts::Told;

/// How long a pause that a receiver asks for may be, or `alerts.retry_most` where that is longer: it must not silence its hook for good.
const ASKED_MOST: Duration = Duration::from_secs(300);

/// What waits.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    waiting: VecDeque<Waiting>,
    /// Alerts of which the receiver may have heard that they fire, and not that they are over.
    heard: BTreeSet<Arc<str>>,
    numbers: u64,
    /// What is being sent.
    under_way: Option<u64>,
    /// Attempts in a row that failed, and the end of the pause after them.
    failures: u32,
    not_before: Option<Instant>,
    stand: Stand,
}

/// Its bounds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub bound: usize,
    /// The pause after the first failure, and the longest.
    pub retry: (Duration, Duration),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Next {
    Nothing,
    /// Nothing before this instant.
    Later(Instant),
    Send {
        number: u64,
        alert: Alert,
    },
    End,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    alert: Alert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Open,
    /// What can be delivered at once is, then it ends.
    Closed,
    Ended,
}

impl From<&config::Alerts> for Settings {
    fn from(settings: &config::Alerts) -> Self {
        let retry = (settings.retry.get(), settings.retry_most.get());
        Self { bound: settings.queue, retry }
    }
}

impl Queue {
    /// An empty one.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            waiting: VecDeque::new(),
            heard: BTreeSet::new(),
            numbers: 0,
            under_way: None,
            failures: 0,
            not_before: None,
            stand: Stand::Open,
        }
    }

    /// Takes it that the receiver has heard of an alert, before this queue was.
    pub fn remember(&mut self, id: Arc<str>) {
        self.heard.insert(id);
    }

    /// Takes a notice. `count` is told of each that will not be delivered for it; what becomes of one under way is known when it is
    /// [`done`](Self::done).
    pub fn push(&mut self, alert: Alert, mut count: impl FnMut(Told)) {
        let is_over = alert.state == AlertState::Resolved;
        // A notice that it was over stays before one that it fires again: the receiver has to hear both.
        let is_needless =
            |one: &Waiting| one.alert.id == alert.id && (is_over || one.alert.state == AlertState::Firing);
        let under_way = self.under_way;
        self.waiting.retain(|one| {
            let goes = is_needless(one);
            if goes && under_way != Some(one.number) {
                count(Told::Cancelled);
            }
            !goes
        });
        if is_over && !self.heard.contains(&alert.id) {
            count(Told::Cancelled);
            return;
        }
        let waits = |one: &Waiting| under_way != Some(one.number);
        if self.waiting.iter().filter(|one| waits(one)).count() >= self.settings.bound {
            self.waiting.iter().position(waits).map(|oldest| self.waiting.remove(oldest));
            count(Told::Dropped);
        }
        self.numbers += 1;
        self.waiting.push_back(Waiting { number: self.numbers, alert });
    }

    /// What is to be done now. What is to be sent stays here until it is [`done`](Self::done).
    pub fn next(&mut self, now: Instant) -> Next {
        let (is_closed, pause) = (self.stand != Stand::Open, self.not_before.filter(|instant| *instant > now));
        let Some(first) = self.waiting.front() else {
            return if is_closed { Next::End } else { Next::Nothing };
        };
        match pause {
            Some(_) if is_closed => Next::End,
            Some(instant) => Next::Later(instant),
            None => {
                // From here on it may have arrived, whatever is heard of it.
                if first.alert.state == AlertState::Firing {
                    self.heard.insert(first.alert.id.clone());
                }
                self.under_way = Some(first.number);
                Next::Send { number: first.number, alert: first.alert.clone() }
            }
        }
    }

    /// What became of a notice that was sent; `random` spreads the pause.
    pub fn done(&mut self, number: u64, outcome: &Outcome, now: Instant, random: u64) -> Told {
        self.under_way = None;
        let place = self.waiting.iter().position(|one| one.number == number);
        let Outcome::Retry { after, .. } = outcome else {
            (self.failures, self.not_before) = (0, None);
            let sent = place.and_then(|place| self.waiting.remove(place));
            if let Some(over) = sent.filter(|one| one.alert.state == AlertState::Resolved) {
                self.heard.remove(&over.alert.id);
            }
            return if outcome.is_delivered() { Told::Delivered } else { Told::Refused };
        };
        let pause = match after {
            Some(asked) => (*asked).min(self.settings.retry.1.max(ASKED_MOST)),
            None => self.settings.pause(self.failures, random),
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
        // A newer one of the same alert may have taken its place meanwhile.
        if place.is_some() { Told::Retried } else { Told::Cancelled }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Those that wait.
    pub fn undelivered(&self) -> impl Iterator<Item = &Alert> {
        self.waiting.iter().map(|one| &one.alert)
    }

    /// It is to end.
    pub fn close(&mut self) {
        if self.stand == Stand::Open {
            self.stand = Stand::Closed;
        }
    }

    /// Nobody delivers any more.
    pub fn end(&mut self) {
        self.stand = Stand::Ended;
    }

    pub fn has_ended(&self) -> bool {
        self.stand == Stand::Ended
    }
}

impl Settings {
    /// The pause after so many failures in a row before this one: from half of the doubled one to all of it.
    fn pause(&self, failures: u32, random: u64) -> Duration {
        let (first, most) = self.retry;
        let whole = first.saturating_mul(2_u32.saturating_pow(failures)).min(most);
        whole.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
    }
}

#[cfg(test)]
mod tests;
