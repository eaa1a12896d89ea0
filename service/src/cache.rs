//! Scores that were given before: in process (L1), durable (L2), and under way.
//!
//! A score is kept under two keys. The one of its *vector* is a 128-bit hash of the vector's bits and the bundle's hash: what is found
//! there is what the model would say, bit for bit (S3), so it is an answer like any other; with another bundle, or another build of ONNX
//! Runtime, the same vector has another key, which is all the invalidation that a swap needs. The one of its *application* (person, fields, bundle) finds
//! the last score of the same application on whatever history: stale, and so for the `cached` rung alone, which tells its age.
//!
//! L1 is moka, bounded by entries and time. L2 is a [`Shelf`] on disk: it survives a restart, and is asked off the request's
//! thread, since a disk can stand still. There a score is one record, under its application with the key of its vector in it, since a write costs more
//! than the look at it: it is the vector's score if that key is the one that is asked for. Two requests for one vector at the same time run the model once ([`Cache::join`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use parking_lot::{Condvar, Mutex};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::config;
use crate::degrade::Reason;
use crate::shelf::{Shelf, ShelfError, Shelved};

/// A score that was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cached {
    pub probability: f32,
    /// As of when.
    pub at: Timestamp,
}

/// The two keys of a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// None where the history, and so the vector, cannot be read.
    pub vector: Option<u128>,
    pub application: u128,
    /// Under which it is noted that the person was erased.
    pub erasure: u128,
}

/// Levels and what became of a look.
pub const LEVELS: [&str; 2] = ["l1", "l2"];

/// So that the kinds of keys never meet.
const VECTOR_SEED: u64 = 1;
const APPLICATION_SEED: u64 = 2;
const ERASURE_SEED: u64 = 3;

/// All levels, shared by all workers.
pub struct Cache {
    l1: moka::sync::Cache<u128, Cached>,
    l2: Option<Arc<Shelf>>,
    flights: Flights,
    /// Hash of which build of ONNX Runtime computes; its low byte is left to the kinds of keys.
    runtime: u64,
    distrusted: AtomicU64,
    /// Nothing is kept while memory is short: the cache makes room before anything else does.
    is_paused: AtomicBool,
    hits: [AtomicU64; LEVELS.len()],
    misses: [AtomicU64; LEVELS.len()],
}

/// How the levels do.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheStatus {
    pub hits: [u64; LEVELS.len()],
    pub misses: [u64; LEVELS.len()],
    pub l1_entries: u64,
}

impl Keys {
    /// Of an application, and of the vector that was read for it if there is one, under a bundle and what else makes scores
    /// ([`Cache::salt`]). `bytes` is working memory.
    pub fn of(
        application: &Application,
        vector: Option<&[f32]>,
        bundle_hash: &str,
        salt: u64,
        bytes: &mut Vec<u8>,
    ) -> Self {
        let vector = vector.map(|vector| {
            bytes.clear();
            vector.iter().for_each(|value| bytes.extend_from_slice(&value.to_bits().to_le_bytes()));
            bytes.extend_from_slice(bundle_hash.as_bytes());
            xxh3_128_with_seed(bytes, VECTOR_SEED ^ salt)
        });
        bytes.clear();
        application.values().iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        bytes.extend_from_slice(bundle_hash.as_bytes());
        bytes.extend_from_slice(application.person().as_bytes());
        let application_key = xxh3_128_with_seed(bytes, APPLICATION_SEED);
        Self { vector, application: application_key, erasure: erasure_key(application.person()) }
    }
}

fn erasure_key(person: &str) -> u128 {
    xxh3_128_with_seed(person.as_bytes(), ERASURE_SEED)
}

impl Cache {
    /// An empty L1 over what L2 holds from before.
    pub fn new(settings: &config::Cache, l2: Option<Arc<Shelf>>) -> Self {
        let l1 = moka::sync::Cache::builder().max_capacity(settings.entries).time_to_live(settings.keep.get()).build();
        Self {
            l1,
            l2,
            flights: Flights::default(),
            runtime: xxh3_64(cauce_model::runtime::build().unwrap_or_default().as_bytes()) << 8,
            distrusted: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
            hits: Default::default(),
            misses: Default::default(),
        }
    }

    /// What the model says of a vector, if it said so before.
    pub fn score_of(&self, vector: u128) -> Option<Cached> {
        self.count(0, self.l1.get(&vector))
    }

    /// The last score of an application that is in process.
    pub fn last_of(&self, application: u128) -> Option<Cached> {
        self.l1.get(&application)
    }

    /// Whether L2 may have a score of the application. It knows its keys in memory.
    pub fn may_fetch(&self, keys: Keys) -> bool {
        self.l2.as_deref().is_some_and(|l2| l2.holds(keys.application))
    }

    /// Asks L2, which may read the disk, for the last score of the application; and whether it is that of the very vector.
    pub fn fetch(&self, keys: Keys, now: Timestamp) -> Result<Option<(Cached, Fetched)>, ShelfError> {
        let Some(l2) = &self.l2 else { return Ok(None) };
        let found = l2.get(keys.application, now)?.and_then(|shelved| Cached::from_shelf(&shelved));
        // Of an erased person nothing is known that was scored before.
        let erased_at =
            if l2.holds(keys.erasure) { l2.get(keys.erasure, now)?.map(|erasure| erasure.at) } else { None };
        let found = found.filter(|(cached, _)| erased_at.is_none_or(|erased_at| cached.at > erased_at));
        // The score of another vector is no answer, but for the `cached` rung.
        self.count(1, found.filter(|(_, vector)| keys.vector == Some(*vector)).map(|(cached, _)| cached));
        Ok(found.map(|(cached, vector)| {
            self.keep_in_process(keys.application, cached);
            if keys.vector != Some(vector) {
                return (cached, Fetched::Last);
            }
            self.keep_in_process(vector, cached);
            (cached, Fetched::Score)
        }))
    }

    /// Keeps a score of the model, on all levels.
    pub fn keep(&self, vector: u128, application: u128, cached: Cached) {
        self.keep_in_process(vector, cached);
        self.keep_in_process(application, cached);
        if let Some(l2) = &self.l2 {
            // A full queue drops it: it can be computed again.
            l2.put(application, cached.to_shelf(vector), cached.at);
        }
    }

    /// Drops everything in process.
    fn clear(&self) {
        self.l1.invalidate_all();
    }

    /// Forgets what rests on the history of a person who was erased.
    pub fn erase(&self, person: &str, now: Timestamp) {
        self.clear();
        if let Some(l2) = &self.l2 {
            l2.put(erasure_key(person), Bytes::new(), now);
        }
    }

    /// What else makes the score of a vector: ONNX Runtime's build, and how often what a session said was found not to be trusted.
    pub fn salt(&self) -> u64 {
        self.runtime.wrapping_add(self.distrusted.load(Ordering::Relaxed) << 8)
    }

    /// What was said of vectors until now is not trusted any more; as the last score of an application it is as good as any.
    pub fn distrust(&self) {
        self.distrusted.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops the score of a vector, as it is to be made again.
    pub fn forget(&self, vector: u128) {
        self.l1.invalidate(&vector);
    }

    /// Lets everything go, and keeps nothing, while memory is short.
    pub fn press(&self, is_short: bool) {
        if is_short && !self.is_paused.swap(true, Ordering::Relaxed) {
            tracing::warn!("memory is short: the cache is emptied and keeps nothing");
        }
        if is_short {
            self.l1.invalidate_all();
        } else if self.is_paused.swap(false, Ordering::Relaxed) {
            tracing::info!("the cache keeps scores again");
        }
    }

    /// Writes what L2 still has to, and ends it.
    pub fn stop(&self) {
        if let Some(l2) = &self.l2 {
            l2.stop();
        }
    }

    /// Who runs the model for a vector: the first who asks. The others wait for the outcome, up to `patience`.
    pub fn join(&self, vector: u128, patience: Duration) -> Flight<'_> {
        self.flights.join(vector, patience)
    }

    /// What metrics show.
    pub fn status(&self) -> CacheStatus {
        let read = |counts: &[AtomicU64; LEVELS.len()]| counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        CacheStatus { hits: read(&self.hits), misses: read(&self.misses), l1_entries: self.l1.entry_count() }
    }

    fn keep_in_process(&self, key: u128, cached: Cached) {
        if !self.is_paused.load(Ordering::Relaxed) {
            self.l1.insert(key, cached);
        }
    }

    fn count(&self, level: usize, found: Option<Cached>) -> Option<Cached> {
        let counts = if found.is_some() { &self.hits } else { &self.misses };
        counts[level].fetch_add(1, Ordering::Relaxed);
        found
    }
}

/// What L2 had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// What the model says of the vector.
    Score,
    /// The last score of the application.
    Last,
}

/// How old a score is.
pub fn age(cached: Cached, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.millis() - cached.at.millis()).unwrap_or(0))
}

impl Cached {
    /// On the shelf: the probability's bits and the key of the vector, little-endian.
    fn to_shelf(self, vector: u128) -> Bytes {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&self.probability.to_bits().to_le_bytes());
        bytes[4..].copy_from_slice(&vector.to_le_bytes());
        Bytes::copy_from_slice(&bytes)
    }

    fn from_shelf(Shelved { at, value }: &Shelved) -> Option<(Self, u128)> {
        let (probability, vector) = value.split_first_chunk::<4>()?;
        let probability = f32::from_bits(u32::from_le_bytes(*probability));
        let vector = u128::from_le_bytes(vector.try_into().ok()?);
        (0.0..=1.0).contains(&probability).then_some((Self { probability, at: *at }, vector))
    }
}

/// Vectors that the model is being run for.
#[derive(Default)]
struct Flights {
    /// Never locked across a run.
    under_way: Mutex<HashMap<u128, Arc<Landing>>>,
}

/// Where those who wait learn the outcome.
#[derive(Default)]
struct Landing {
    outcome: Mutex<Option<Result<f32, Reason>>>,
    landed: Condvar,
}

/// What a request for a vector is to do.
pub enum Flight<'c> {
    /// Run the model, and tell the others.
    Lead(Lead<'c>),
    /// Somebody else ran it.
    Landed(f32),
    /// Somebody else ran it and got nothing, or has not come back in time: why there is no score.
    Lost(Reason),
}

/// The duty to say how it ended; dropped, it ended with a defect.
pub struct Lead<'c> {
    flights: &'c Flights,
    vector: u128,
    landing: Arc<Landing>,
}

impl Flights {
    fn join(&self, vector: u128, patience: Duration) -> Flight<'_> {
        let landing = {
            let mut under_way = self.under_way.lock();
            match under_way.get(&vector) {
                Some(landing) => landing.clone(),
                None => {
                    let landing = Arc::new(Landing::default());
                    under_way.insert(vector, landing.clone());
                    return Flight::Lead(Lead { flights: self, vector, landing });
                }
            }
        };
        let mut outcome = landing.outcome.lock();
        landing.landed.wait_while_for(&mut outcome, |outcome| outcome.is_none(), patience);
        match *outcome {
            Some(Ok(probability)) => Flight::Landed(probability),
            Some(Err(reason)) => Flight::Lost(reason),
            None => Flight::Lost(Reason::ModelTimedOut),
        }
    }
}

impl Lead<'_> {
    /// The model gave this.
    pub fn land(self, probability: f32) {
        *self.landing.outcome.lock() = Some(Ok(probability));
    }

    /// The model gave nothing, and why.
    pub fn lose(self, reason: Reason) {
        *self.landing.outcome.lock() = Some(Err(reason));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.vector);
        self.landing.outcome.lock().get_or_insert(Err(Reason::ModelFailed));
        self.landing.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::shelf::{Bounds, OnDamage};

    const AT: Timestamp = Timestamp::from_millis(1_768_485_600_000);

    fn cache() -> Cache {
        Cache::new(&config::Config::load(None, std::iter::empty(), Vec::new()).unwrap().cache, None)
    }

    #[test]
    fn what_was_kept_is_found_under_both_keys_with_its_bits() {
        let cache = cache();
        let cached = Cached { probability: f32::from_bits(0x3dcc_cccd), at: AT };
        assert_eq!((cache.score_of(1), cache.last_of(2)), (None, None));
        cache.keep(1, 2, cached);
        assert_eq!((cache.score_of(1), cache.last_of(2)), (Some(cached), Some(cached)));
        let shelved = Shelved { at: AT, value: cached.to_shelf(7) };
        assert_eq!(Cached::from_shelf(&shelved), Some((cached, 7)));
        assert_eq!((cache.status().hits[0], cache.status().misses[0]), (1, 1));
    }

    #[test]
    fn score_of_another_vector_is_no_hit_of_the_shelf() {
        let directory = std::env::temp_dir().join(format!("cauce-cache-{}", std::process::id()));
        let bounds = Bounds { entries: 9, bytes: 1 << 20, keep: Duration::from_secs(3600), queue: 1 << 20 };
        let shelf = Arc::new(Shelf::open(&directory, bounds, OnDamage::StartAnew, AT).unwrap());
        let cache = Cache { l2: Some(shelf), ..cache() };
        let cached = Cached { probability: 0.5, at: AT };
        cache.keep(1, 2, cached);
        let keys = |vector| Keys { vector, application: 2, erasure: 3 };
        let begin = Instant::now();
        while !cache.may_fetch(keys(None)) {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is never on the shelf");
            thread::yield_now();
        }
        for (vector, fetched, hits, misses) in
            [(Some(1), Fetched::Score, 1, 0), (Some(8), Fetched::Last, 1, 1), (None, Fetched::Last, 1, 2)]
        {
            assert_eq!(cache.fetch(keys(vector), AT).unwrap(), Some((cached, fetched)));
            assert_eq!((cache.status().hits[1], cache.status().misses[1]), (hits, misses), "{vector:?}");
        }
        cache.stop();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn while_memory_is_short_nothing_is_kept() {
        let cache = cache();
        let cached = Cached { probability: 0.5, at: AT };
        cache.keep(1, 2, cached);
        cache.press(true);
        assert_eq!(cache.score_of(1), None);
        cache.keep(1, 2, cached);
        assert_eq!(cache.score_of(1), None);
        cache.press(false);
        cache.keep(1, 2, cached);
        assert_eq!(cache.score_of(1), Some(cached));
    }

    #[test]
    fn of_those_who_ask_at_once_one_runs_the_model_and_all_have_its_bits() {
        let cache = cache();
        let Flight::Lead(lead) = cache.join(7, Duration::ZERO) else { panic!("the first one leads") };
        thread::scope(|scope| {
            let ask = || match cache.join(7, Duration::from_secs(10)) {
                Flight::Landed(probability) => probability,
                // It came when all was over, and would find the score in L1.
                Flight::Lead(late) => {
                    late.land(0.25);
                    0.25
                }
                Flight::Lost(_) => panic!("the outcome was lost"),
            };
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
            assert!(matches!(cache.join(8, Duration::ZERO), Flight::Lead(_)), "another vector is another flight");
            // Who comes when all is over would lead the next one.
            while Arc::strong_count(&cache.flights.under_way.lock()[&7]) < 5 {
                thread::yield_now();
            }
            lead.land(0.25);
            assert!(waiting.into_iter().all(|asked| asked.join().unwrap() == 0.25));
        });
    }

    #[test]
    fn who_waits_is_let_go_when_the_leader_fails_or_takes_too_long() {
        let cache = cache();
        let Flight::Lead(lead) = cache.join(7, Duration::ZERO) else { panic!("the first one leads") };
        assert!(matches!(cache.join(7, Duration::from_millis(1)), Flight::Lost(Reason::ModelTimedOut)));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| cache.join(7, Duration::from_secs(10)));
            thread::sleep(Duration::from_millis(20));
            lead.lose(Reason::ModelBreakerOpen);
            // It may have come when all was over.
            assert!(matches!(waiting.join().unwrap(), Flight::Lost(Reason::ModelBreakerOpen) | Flight::Lead(_)));
        });
        assert!(matches!(cache.join(7, Duration::ZERO), Flight::Lead(_)));
    }
}
