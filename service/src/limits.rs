//! How much one client may ask for: the generic cell rate algorithm, which is a token bucket that keeps one number for each client.
//!
//! That number is the instant at which the client has its whole burst again. Clients are remembered by a hash with a secret of this
//! process, so neither addresses nor keys lie in memory, and nobody can choose whom to displace. The table has a fixed size (S5): eight
//! places for each hash, and a newcomer takes the place of the client that is nearest to its whole burst, which loses the least by it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Clients that share a lock.
const PLACES: usize = 8;

/// What is remembered of all clients.
pub struct Limiter {
    /// Time that one request uses up, and time that a whole burst does, in nanoseconds.
    each: u64,
    whole: u64,
    burst: u32,
    began: Instant,
    hasher: RandomState,
    /// Of one byte each: held for some nanoseconds.
    sets: Box<[Mutex<[Place; PLACES]>]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    client: u64,
    /// Nanoseconds after the beginning at which the client has its whole burst again.
    whole_at: u64,
}

/// Where a client stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether this request is within the limit.
    pub within: bool,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// How long until the next one may be made, if none may be now.
    pub next_in: Duration,
    /// How long until it has its whole burst again.
    pub whole_in: Duration,
}

impl Limiter {
    /// No client is known yet. `per_second` is not 0.
    pub fn new(per_second: u32, burst: u32, clients: usize) -> Self {
        let each = 1_000_000_000 / u64::from(per_second);
        let sets = (0..clients.div_ceil(PLACES)).map(|_| Mutex::default()).collect();
        let whole = each * u64::from(burst);
        Self { each, whole, burst, began: Instant::now(), hasher: RandomState::new(), sets }
    }

    /// Requests that may be made at once after a silence, and the time in which that many are allowed on average.
    pub fn policy(&self) -> (u32, Duration) {
        (self.burst, Duration::from_nanos(self.whole))
    }

    /// Counts a request of this client.
    pub fn ask(&self, client: impl Hash, now: Instant) -> Standing {
        let client = self.hasher.hash_one(client);
        let now = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX / 2);
        let mut places = self.sets[(client % self.sets.len() as u64) as usize].lock();
        let known = places.iter().position(|place| place.client == client);
        let place = match known {
            Some(place) => &mut places[place],
            None => {
                let place = places.iter_mut().min_by_key(|place| place.whole_at).expect("a set has places");
                *place = Place { client, whole_at: 0 };
                place
            }
        };
        let whole_at = place.whole_at.max(now) + self.each;
        let within = whole_at - now <= self.whole;
        if within {
            place.whole_at = whole_at;
        }
        let used = place.whole_at.saturating_sub(now);
        Standing {
            within,
            remaining: u32::try_from(self.whole.saturating_sub(used) / self.each).unwrap_or(u32::MAX),
            next_in: Duration::from_nanos((used + self.each).saturating_sub(self.whole)),
            whole_in: Duration::from_nanos(used),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten a second, three at once.
    fn limiter(clients: usize) -> Limiter {
        Limiter::new(10, 3, clients)
    }

    #[test]
    fn a_burst_is_within_and_what_follows_has_to_wait_for_its_turn() {
        let limiter = limiter(100);
        let start = limiter.began;
        let table = [
            (0, true, 2, 0, 100),
            (0, true, 1, 0, 200),
            (0, true, 0, 100, 300),
            (0, false, 0, 100, 300),
            (50, false, 0, 50, 250),
            (100, true, 0, 100, 300),
            (250, true, 0, 50, 250),
            (260, false, 0, 40, 240),
            (2000, true, 2, 0, 100),
        ];
        for (at, within, remaining, next_in, whole_in) in table {
            let standing = limiter.ask("one", start + Duration::from_millis(at));
            let millis = |wait: Duration| wait.as_millis() as u64;
            let found = (standing.within, standing.remaining, millis(standing.next_in), millis(standing.whole_in));
            assert_eq!(found, (within, remaining, next_in, whole_in), "at {at} ms");
        }
    }

    #[test]
    fn clients_do_not_use_up_what_others_may() {
        let limiter = limiter(100);
        let now = limiter.began;
        let mut loud = (0..10).map(|_| limiter.ask("loud", now).within);
        assert_eq!(loud.by_ref().filter(|within| *within).count(), 3);
        assert!(!limiter.ask("loud", now).within);
        assert!(limiter.ask("quiet", now).within);
    }

    #[test]
    fn a_full_table_forgets_whom_it_takes_least_from() {
        let limiter = limiter(PLACES);
        let now = limiter.began;
        assert!((0..3).all(|_| limiter.ask("loud", now).within));
        for quiet in 0..1000 {
            assert!(limiter.ask(quiet, now).within);
        }
        assert!(!limiter.ask("loud", now).within, "it is still known");
        assert_eq!(limiter.sets.len(), 1);
    }
}
