//! What was made, counted for the sentence at the end.

use std::ops::AddAssign;
use std::time::Duration;

use super::faults::Behind;
use super::{Content, Record};

/// What was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) applications: u64,
    pub(super) defaulted: u64,
    pub(super) duplicates: u64,
    pub(super) invalid: u64,
}

impl Counts {
    pub(super) fn add(&mut self, record: &Record, behind: Behind) {
        match record.content {
            Content::Application { defaulted, .. } => {
                self.applications += 1;
                self.defaulted += u64::from(defaulted);
            }
            _ => self.events += 1,
        }
        self.duplicates += u64::from(behind.duplicate);
        self.invalid += u64::from(behind.spoilt.is_some());
    }

    /// In a sentence.
    pub(super) fn told(&self, people: u64, time: Duration) -> String {
        let Self { events, applications, defaulted, duplicates, invalid } = *self;
        let mut text = format!("{events} events");
        if applications > 0 {
            let share = defaulted as f64 / applications as f64 * 100.0;
            text += &format!(" and {applications} applications ({share:.1} % default)");
        }
        text += &format!(" of {people} people");
        if duplicates + invalid > 0 {
            text += &format!(", and beside them {duplicates} repeated and {invalid} invalid records");
        }
        let seconds = time.as_secs_f64();
        text + &format!(", in {seconds:.2} s: {:.0} events/s", events as f64 / seconds)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.applications += other.applications;
        self.defaulted += other.defaulted;
        self.duplicates += other.duplicates;
        self.invalid += other.invalid;
    }
}
