//! Whether the brokers can be reached, as the records that are sent to them tell.
//!
//! Known from a lost connection at once, and from a record that nobody acknowledged in time. While it is so, one record now and
//! then goes through as a probe, and the others are refused without waiting as long: their clients have better uses for the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long after a probe the next one goes through.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What is known of the brokers.
pub struct Reach {
    /// The same as `state` says, without its lock: asked for each record.
    is_down: AtomicBool,
    state: Mutex<State>,
}

struct State {
    down: Option<Down>,
    probed: Instant,
}

/// Why no record is sent but as a probe.
struct Down {
    cause: Cause,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// No broker is connected.
    Connection,
    /// A record was not acknowledged; only one that is proves the contrary.
    Acknowledgement,
}

impl Reach {
    /// Nothing is known yet: hope.
    pub fn new() -> Self {
        let state = State { down: None, probed: Instant::now() };
        Self { is_down: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// No broker is connected any more.
    pub fn lost(&self, reason: &str) {
        self.fail(Cause::Connection, reason);
    }

    /// A record was not acknowledged.
    pub fn unacknowledged(&self, reason: &str) {
        self.fail(Cause::Acknowledgement, reason);
    }

    /// A broker is connected.
    pub fn connected(&self) {
        self.recover(|cause| cause == Cause::Connection);
    }

    /// A record was acknowledged.
    pub fn delivered(&self) {
        self.recover(|_| true);
    }

    /// Whether no broker can be reached, as far as is known.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Why no broker can be reached, if so.
    pub fn reason(&self) -> Option<String> {
        self.state.lock().down.as_ref().map(|down| down.reason.clone())
    }

    /// Whether a record may be sent; while no broker can be reached, one now and then. Else why not.
    pub fn admit(&self, now: Instant) -> Result<(), String> {
        if !self.is_down() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let due = now.saturating_duration_since(state.probed) >= PROBE_EVERY;
        match &state.down {
            Some(down) if !due => Err(down.reason.clone()),
            Some(_) => {
                state.probed = now;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fail(&self, cause: Cause, reason: &str) {
        let mut state = self.state.lock();
        if state.down.is_none() {
            tracing::warn!(reason, "no broker takes records");
            state.probed = Instant::now();
            state.down = Some(Down { cause, reason: reason.to_owned() });
        }
        self.is_down.store(true, Ordering::Relaxed);
    }

    fn recover(&self, is_over: impl FnOnce(Cause) -> bool) {
        if !self.is_down() {
            return;
        }
        let mut state = self.state.lock();
        if state.down.take_if(|down| is_over(down.cause)).is_some() {
            tracing::info!("brokers take records again");
            self.is_down.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_no_broker_is_connected_one_record_now_and_then_goes_through() {
        let reach = Reach::new();
        let now = Instant::now();
        assert_eq!(reach.admit(now), Ok(()));
        reach.lost("gone");
        let later = Instant::now() + PROBE_EVERY;
        let admitted = [now, later, later, later + PROBE_EVERY].map(|at| reach.admit(at));
        assert_eq!(admitted, [Err("gone".into()), Ok(()), Err("gone".into()), Ok(())]);
        reach.connected();
        assert_eq!((reach.admit(now), reach.reason()), (Ok(()), None));
    }

    #[test]
    fn only_an_acknowledged_record_ends_what_an_unacknowledged_one_began() {
        let reach = Reach::new();
        reach.unacknowledged("too few replicas");
        reach.connected();
        assert_eq!(reach.reason().as_deref(), Some("too few replicas"));
        reach.delivered();
        assert!(!reach.is_down());
    }
}
