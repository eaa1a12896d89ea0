//! Whether the brokers can be reached, as the records that are sent to them tell.
//!
//! A lost connection is known at once, and so is, within a second, that there is one again. A broker that is connected and
//! acknowledges nothing shows by a record that waited in vain: then one record now and then goes through as a probe, and the others
//! are refused without waiting as long: their clients have better uses for the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long after a probe, or its failure, the next one goes through.
const PROBE_AFTER: Duration = Duration::from_secs(2);

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

/// Why records are refused.
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

    /// No broker is connected any more. The next connection is worth a try, whatever went before.
    pub fn lost(&self, reason: &str) {
        self.fail(Down { cause: Cause::Connection, reason: reason.to_owned() });
    }

    /// A record was not acknowledged.
    pub fn unacknowledged(&self, reason: &str) {
        self.fail(Down { cause: Cause::Acknowledgement, reason: reason.to_owned() });
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

    /// Whether a record may be sent, as a probe at least. Else why not.
    pub fn admit(&self, now: Instant) -> Result<(), String> {
        if !self.is_down() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let due = now.saturating_duration_since(state.probed) >= PROBE_AFTER;
        match &state.down {
            Some(down) if down.cause == Cause::Connection || !due => Err(down.reason.clone()),
            Some(_) => {
                state.probed = now;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fail(&self, down: Down) {
        let mut state = self.state.lock();
        state.probed = Instant::now();
        if state.down.is_none() {
            tracing::warn!(reason = down.reason, "no broker takes records");
        }
        if state.down.is_none() || down.cause == Cause::Connection {
            state.down = Some(down);
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
    fn while_nothing_is_acknowledged_one_record_now_and_then_goes_through() {
        let reach = Reach::new();
        let now = Instant::now();
        assert_eq!(reach.admit(now), Ok(()));
        reach.unacknowledged("too few replicas");
        let later = Instant::now() + PROBE_AFTER;
        let admitted = [now, later, later, later + PROBE_AFTER].map(|at| reach.admit(at));
        let refused = Err("too few replicas".to_owned());
        assert_eq!(admitted, [refused.clone(), Ok(()), refused, Ok(())]);
        // Only a record that is acknowledged proves the contrary.
        reach.connected();
        assert!(reach.is_down());
        reach.delivered();
        assert_eq!((reach.admit(now), reach.reason()), (Ok(()), None));
    }

    #[test]
    fn while_no_broker_is_connected_nothing_goes_through_and_a_connection_is_enough() {
        let reach = Reach::new();
        reach.unacknowledged("hangs");
        reach.lost("gone");
        assert_eq!(reach.admit(Instant::now() + PROBE_AFTER * 9), Err("gone".into()));
        reach.connected();
        assert!(!reach.is_down());
    }
}
