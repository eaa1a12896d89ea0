//! When an alert fires and when it is over: a state machine of plain values, to which time is passed in.
//!
//! A signal has to be above its threshold without a break for `for` before its alert fires, and at or below the lower clear level for
//! `clear_for` before it is resolved; in between nothing changes. So an episode has one firing notice and one that resolves it, however
//! the signal wavers, and more only where they are asked for (`repeat`). A signal that is not there counts as clear.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cauce_features::time::Timestamp;

use super::rules::Reading;
use crate::config;
use crate::kpi::snapshot::{Alert, AlertState};

/// All alerts, pending, firing and past.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    /// Those that are not clear. There are as many as rules have subjects, each there for what is configured or trained (S5).
    tracks: BTreeMap<Arc<str>, Track>,
    /// Those that were resolved, the newest first.
    past: VecDeque<Alert>,
}

/// How patient it is.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a signal is above its threshold before its alert fires.
    pub hold: Duration,
    /// How long it is clear before the alert is resolved.
    pub clear_hold: Duration,
    /// The clear level as a share of the threshold.
    pub clear_share: f64,
    /// After how long a firing alert is told again; zero is never.
    pub repeat: Duration,
    /// Past alerts that are kept.
    pub history: usize,
}

#[derive(Debug)]
enum Track {
    /// Above its threshold, not yet for long enough.
    Pending {
        since: Duration,
    },
    Firing {
        alert: Alert,
        told: Duration,
        clear_since: Option<Duration>,
    },
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Clear,
    Between,
    Above,
}

impl From<&config::Alerts> for Settings {
    fn from(settings: &config::Alerts) -> Self {
        Self {
            hold: settings.hold.get(),
            clear_hold: settings.clear_for.get(),
            clear_share: f64::from(settings.clear_percent) / 100.0,
            repeat: settings.repeat.get(),
            history: settings.history,
        }
    }
}

impl Engine {
    /// One that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self { settings, tracks: BTreeMap::new(), past: VecDeque::new() }
    }

    /// Takes up an alert that fired before the start, and was told.
    pub fn restore(&mut self, alert: Alert) {
        self.tracks.insert(alert.id.clone(), Track::Firing { alert, told: Duration::ZERO, clear_since: None });
    }

    /// Takes all readings of an instant; `now` is counted from the start, `at` is what alerts show. What is to be told comes back.
    pub fn step(&mut self, now: Duration, at: Timestamp, readings: Vec<Reading>) -> Vec<Alert> {
        let mut readings: BTreeMap<Arc<str>, Reading> =
            readings.into_iter().map(|reading| (reading.id(), reading)).collect();
        let mut notices = Vec::new();
        let settings = self.settings;
        let mut over = Vec::new();
        self.tracks.retain(|id, track| {
            let reading = readings.remove(id);
            let level = reading.as_ref().map_or(Level::Clear, |reading| settings.level(reading));
            match track.step(&settings, now, at, level, reading.as_ref()) {
                Step::Nothing => true,
                Step::Tell(alert) => {
                    notices.push(alert);
                    true
                }
                Step::Forget => false,
                Step::Resolve(alert) => {
                    over.push(alert);
                    false
                }
            }
        });
        for (id, reading) in readings {
            if settings.level(&reading) == Level::Above {
                let mut track = Track::Pending { since: now };
                if let Step::Tell(alert) = track.step(&settings, now, at, Level::Above, Some(&reading)) {
                    notices.push(alert);
                }
                self.tracks.insert(id, track);
            }
        }
        for alert in over {
            self.past.push_front(alert.clone());
            notices.push(alert);
        }
        self.past.truncate(settings.history);
        notices
    }

    /// Those that are firing, the newest first.
    pub fn active(&self) -> Vec<Alert> {
        let firing = self.tracks.values().filter_map(|track| match track {
            Track::Firing { alert, .. } => Some(alert.clone()),
            Track::Pending { .. } => None,
        });
        let mut active: Vec<_> = firing.collect();
        active.sort_by_key(|alert| std::cmp::Reverse(alert.since));
        active
    }

    /// Those that were resolved, the newest first.
    pub fn past(&self) -> impl Iterator<Item = &Alert> {
        self.past.iter()
    }
}

/// What comes of a track in an instant.
enum Step {
    Nothing,
    Tell(Alert),
    Forget,
    Resolve(Alert),
}

impl Track {
    fn step(
        &mut self,
        settings: &Settings,
        now: Duration,
        at: Timestamp,
        level: Level,
        reading: Option<&Reading>,
    ) -> Step {
        match (self, reading) {
            (track @ Self::Pending { .. }, Some(reading)) if level == Level::Above => {
                let Self::Pending { since } = *track else { return Step::Nothing };
                if now.saturating_sub(since) < settings.hold {
                    return Step::Nothing;
                }
                let alert = fired(reading, at);
                *track = Self::Firing { alert: alert.clone(), told: now, clear_since: None };
                Step::Tell(alert)
            }
            (Self::Pending { .. }, _) => Step::Forget,
            (Self::Firing { alert, told, clear_since }, reading) => {
                if let Some(reading) = reading {
                    update(alert, level, reading);
                }
                *clear_since = (level == Level::Clear).then(|| clear_since.unwrap_or(now));
                if clear_since.is_some_and(|since| now.saturating_sub(since) >= settings.clear_hold) {
                    (alert.state, alert.resolved) = (AlertState::Resolved, Some(at));
                    return Step::Resolve(alert.clone());
                }
                if settings.repeat.is_zero() || now.saturating_sub(*told) < settings.repeat {
                    return Step::Nothing;
                }
                *told = now;
                Step::Tell(alert.clone())
            }
        }
    }
}

impl Settings {
    fn level(&self, reading: &Reading) -> Level {
        if reading.value > reading.threshold {
            Level::Above
        } else if reading.value > reading.threshold * self.clear_share {
            Level::Between
        } else {
            Level::Clear
        }
    }
}

/// The summary says how bad it is, or how bad it last was: a value that is below the threshold again is no longer above it.
fn update(alert: &mut Alert, level: Level, reading: &Reading) {
    (alert.value, alert.threshold) = (reading.value, reading.threshold);
    if level == Level::Above {
        (alert.summary, alert.subject) = (reading.summary(), reading.subject.clone());
    }
}

fn fired(reading: &Reading, at: Timestamp) -> Alert {
    Alert {
        id: reading.id(),
        rule: reading.rule.name,
        subject: reading.subject.clone(),
        severity: reading.rule.severity,
        state: AlertState::Firing,
        summary: reading.summary(),
        advice: reading.rule.advice,
        value: reading.value,
        threshold: reading.threshold,
        since: at,
        resolved: None,
    }
}

#[cfg(test)]
mod tests;
