//! Time by stage: taken once, told in the answer, in `Server-Timing` and in metrics.

use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::call::{Call, microseconds};
use crate::metrics::STAGES;
use crate::scoring::Stage;

pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Takes the time of each stage, and counts them all when it is put away. The first stage begins with the request.
pub struct StopWatch<'a> {
    call: &'a Call,
    started: Instant,
    // Locked by one thread only, between two awaits: it lets an answer end its last stage while it is being written.
    taken: Mutex<Taken>,
}

struct Taken {
    last: Instant,
    /// Those that the request had.
    stages: [Option<Duration>; STAGES.len()],
}

impl<'a> StopWatch<'a> {
    /// Starts when the request began.
    pub fn start(call: &'a Call) -> Self {
        let started = call.started();
        Self { call, started, taken: Mutex::new(Taken { last: started, stages: Default::default() }) }
    }

    /// Ends a stage, the next begins; what time it is.
    pub fn lap(&self, stage: Stage) -> Instant {
        let now = Instant::now();
        let mut taken = self.taken.lock();
        let took = now.saturating_duration_since(taken.last);
        self.call.record(|recording| recording.stage(STAGES[stage as usize].1, taken.last, now));
        taken.last = now;
        *taken.stages[stage as usize].get_or_insert_default() += took;
        now
    }

    /// The stages so far for browsers and proxies, in milliseconds.
    pub fn header(&self) -> HeaderValue {
        let taken = self.taken.lock();
        let stages = taken.stages();
        let mut text = String::with_capacity(192);
        for (name, took) in stages.chain([("total", taken.last.saturating_duration_since(self.started))]) {
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(name);
            text.push_str(";dur=");
            push_milliseconds(&mut text, took.as_nanos() as u64 / 100);
        }
        HeaderValue::try_from(text).expect("digits and names are fit for a header")
    }
}

impl Taken {
    fn stages(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        STAGES.iter().zip(self.stages).map(|((_, name), took)| (*name, took.unwrap_or_default()))
    }
}

impl Drop for StopWatch<'_> {
    fn drop(&mut self) {
        self.call.tally().stages(&self.taken.lock().stages);
    }
}

/// Stands last in an answer, in microseconds: what was written before it is the stage `reply`.
impl Serialize for StopWatch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lap(Stage::Reply);
        let taken = self.taken.lock();
        let stages = taken.stages().map(|(name, took)| (name, microseconds(took)));
        let total = microseconds(taken.last.saturating_duration_since(self.started));
        serializer.collect_map(stages.chain([("total", total)]))
    }
}

/// Writes tenths of microseconds as milliseconds with four decimals. By hand, since `format!` costs more than a whole stage.
fn push_milliseconds(text: &mut String, tenths: u64) {
    let digits = (tenths / 10_000).checked_ilog10().unwrap_or(0) + 5;
    for position in (0..digits).rev() {
        text.push(char::from(b'0' + (tenths / 10_u64.pow(position) % 10) as u8));
        if position == 4 {
            text.push('.');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_four_decimals() {
        for (tenths, expected) in [(0, "0.0000"), (8, "0.0008"), (15, "0.0015"), (234, "0.0234"), (123_456, "12.3456")]
        {
            let mut text = String::new();
            push_milliseconds(&mut text, tenths);
            assert_eq!(text, expected);
        }
    }
}
