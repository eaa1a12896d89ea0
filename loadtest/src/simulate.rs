//! A made-up bank: people with a hidden propensity to default, and what they do.

use cauce_features::time::Timestamp;

/// The settings of a made-up bank; a person is made from the seed and their number alone.
#[derive(Debug, Clone)]
pub struct Bank {
    pub seed: u64,
    /// The first and the last instant of its history.
    pub start: Timestamp,
    pub end: Timestamp,
}

/// What nobody sees, and what follows from it.
#[derive(Debug, Clone)]
pub struct Person {
    pub number: u64,
}

impl Bank {
    pub fn person(&self, number: u64) -> Person {
        Person { number }
    }
}

impl Person {
    /// Their id: `av-17`.
    pub fn write_id(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        let _ = write!(out, "av-{}", self.number);
    }

    /// The fields of their application number `index` as a JSON object: always the same for the same index.
    pub fn write_application(&self, index: u64, out: &mut Vec<u8>) {
        use std::io::Write;
        let _ = write!(out, r#"{{"monthly_income":{}.5,"amount":5000}}"#, 900 + (self.number * 7 + index * 13) % 4000);
    }

    /// Something that they do, as a line that `/v1/events` takes, without its end: event `index` at that time.
    pub fn write_event(&self, index: u64, time: Timestamp, out: &mut Vec<u8>) {
        use std::io::Write;
        let _ = write!(
            out,
            r#"{{"person_id":"av-{}","event_id":"{index}","type":"payment","time":"{time}","data":{{"amount":120.5,"days_past_due":0}}}}"#,
            self.number
        );
    }
}
