//! What stands between requests and whatever may be slow or broken, one for all threads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::breaker::Breaker;
use crate::cache::Cache;
use crate::config::{self, Config};
use crate::shelf::Shelf;
use crate::watchdog::Watchdog;

/// What all workers share that guards them against what is slow or broken.
pub struct Guards {
    pub model: Breaker,
    /// Histories on disk.
    pub state: Breaker,
    /// The log, or Kafka in its place.
    pub log: Breaker,
    /// Scores and answers that are kept on disk for a while.
    pub shelf: Breaker,
    pub cache: Cache,
    pub watchdog: Arc<Watchdog>,
    /// What is kept of a budget to make an answer of when a run is stopped.
    pub reserve: Duration,
    /// The oldest score that the cached rung gives.
    pub cached_age: Duration,
    /// Sessions that were replaced since they went on failing.
    pub sessions_replaced: AtomicU64,
}

impl Guards {
    /// All closed. `log` names what takes records: the log, or Kafka.
    pub fn new(config: &Config, log: &'static str, l2: Option<Arc<Shelf>>, now: Instant) -> Self {
        let config::Breaker { model_slow, state_slow, log_slow, .. } = &config.breaker;
        let breaker = |name, slow: &config::Duration| Breaker::new(name, config.breaker.settings(slow.get()), now);
        Self {
            model: breaker("model", model_slow),
            state: breaker("state", state_slow),
            log: breaker(log, log_slow),
            shelf: breaker("shelf", state_slow),
            cache: Cache::new(&config.cache, l2),
            watchdog: Arc::new(Watchdog::new()),
            reserve: config.budget.reserve.get(),
            cached_age: config.ladder.cached_age.get(),
            sessions_replaced: AtomicU64::new(0),
        }
    }

    /// As they are by default, without an L2.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        let config = Config::load(None, std::iter::empty(), Vec::new()).expect("the defaults are valid");
        Self::new(&config, "log", None, Instant::now())
    }

    /// All breakers.
    pub fn breakers(&self) -> [&Breaker; 4] {
        [&self.model, &self.state, &self.log, &self.shelf]
    }
}
