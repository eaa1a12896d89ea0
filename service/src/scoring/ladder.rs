//! Acts on what `degrade::plan` says: asks the cache, runs the model under the watchdog, falls back to the scorecard, or refers.
//!
//! A rung that gives nothing is marked and the plan asked again, so the loop ends: each turn of it takes a rung away. What
//! fails is tried again once where time is left; a session that goes on failing is replaced by a new one, made beside requests
//! with growing pauses, and while it fails the breaker keeps requests away from it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cauce_features::application::Application;
use cauce_model::onnx::{ModelError, OnnxModel};
use parking_lot::Mutex;

use super::{Batch, Lap, Made, Stage, Terms};
use crate::breaker::{Breaker, Outcome};
use crate::cache::{self, Cache, Cached, Fetched, Flight, Keys};
use crate::config::{self, Config};
use crate::deadline::{Dues, Recent};
use crate::degrade::{Mode, Plan, Reason, Reasons, Situation, Standing, plan};
use crate::shelf::Shelf;
use crate::watchdog::Watchdog;

/// What is kept for the scorecard and for the answer when a dearer rung is chosen, on top of what they took lately.
const RESERVE: Duration = Duration::from_millis(1);

/// What a run may take, and for each row, however overdue others are: a sound model needs far less.
const LET_RUN: Duration = Duration::from_millis(2);
const LET_RUN_ROW: Duration = Duration::from_micros(50);

/// A session that failed so often in a row is replaced.
const FAILURES_MOST: u32 = 3;

/// The pause before a session is replaced again: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Replacements in a row after which somebody has to look.
const CRASH_LOOP: u32 = 5;

/// What all workers share that guards them against what is slow or broken.
pub struct Guards {
    pub model: Breaker,
    /// Histories on disk.
    pub state: Breaker,
    /// The log, or Kafka in its place.
    pub log: Breaker,
    /// Scores on disk.
    pub l2: Breaker,
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
    pub fn new(config: &Config, workers: usize, log: &'static str, l2: Option<Arc<Shelf>>, now: Instant) -> Self {
        let config::Breaker { model_slow, state_slow, log_slow, .. } = &config.breaker;
        let breaker = |name, slow: &config::Duration| Breaker::new(name, config.breaker.settings(slow.get()), now);
        Self {
            model: breaker("model", model_slow),
            state: breaker("state", state_slow),
            log: breaker(log, log_slow),
            l2: breaker("cache", state_slow),
            cache: Cache::new(&config.cache, l2),
            watchdog: Arc::new(Watchdog::new(workers)),
            reserve: config.budget.reserve.get(),
            cached_age: config.ladder.cached_age.get(),
            sessions_replaced: AtomicU64::new(0),
        }
    }

    /// As they are by default, without an L2.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        let config = Config::load(None, std::iter::empty(), Vec::new()).expect("the defaults are valid");
        Self::new(&config, 1, "log", None, Instant::now())
    }

    /// All breakers.
    pub fn breakers(&self) -> [&Breaker; 4] {
        [&self.model, &self.state, &self.log, &self.l2]
    }
}

/// One thread's way down the ladder.
pub(super) struct Ladder {
    guards: Arc<Guards>,
    slot: usize,
    dues: Rc<Dues>,
    model_took: Recent,
    fallback_took: Recent,
    /// How much later than it should the run ended that was stopped last: an operator under way is not interrupted.
    stopped_late: Duration,
    /// Of looks into L2, as the caller measures them.
    l2_took: Recent,
    l2_asked: Option<Instant>,
    /// Working memory.
    bytes: Vec<u8>,
    repair: Repair,
}

/// The replacement of a session that goes on failing.
#[derive(Default)]
struct Repair {
    failures: u32,
    replaced: u32,
    not_before: Option<Instant>,
    is_under_way: bool,
    made: Arc<Mutex<Option<Result<OnnxModel, ModelError>>>>,
}

/// One application on its way down.
pub(super) struct Climb<'t> {
    pub keys: Keys,
    /// Why its history could not be read, if so.
    pub read: Option<Reason>,
    /// Why the model gave nothing, if it was tried before L2 was asked.
    pub tried: Option<Reason>,
    /// What L2 had, if it was asked.
    pub found: Option<Option<(Cached, Fetched)>>,
    pub terms: &'t Terms,
    pub now: Instant,
}

/// Where it got to.
pub(super) enum Climbed {
    Made(Made),
    /// L2 has to be asked; why not the model, if that has been tried.
    Ask(Option<Reason>),
}

impl Ladder {
    pub(super) fn new(guards: Arc<Guards>, slot: usize) -> Self {
        let (recent, bytes, repair) = (Recent::default, Vec::new(), Repair::default());
        let (model_took, fallback_took, l2_took) = (recent(), recent(), recent());
        let stopped_late = Duration::ZERO;
        Self {
            guards,
            slot,
            dues: Rc::default(),
            model_took,
            fallback_took,
            stopped_late,
            l2_took,
            l2_asked: None,
            bytes,
            repair,
        }
    }

    /// The keys of the last row, and of its application.
    pub(super) fn keys(&mut self, batch: &Batch, application: &Application, is_read: bool) -> Keys {
        Keys::of(application, is_read.then_some(&batch.rows[..]), batch.bundle.hash(), &mut self.bytes)
    }

    /// Finds the score of the one row that was read.
    pub(super) fn climb(&mut self, batch: &mut Batch, climb: &Climb<'_>, lap: &mut Lap<'_>) -> Climbed {
        self.repair.settle(batch);
        let Climb { keys, found, terms, .. } = climb;
        let mut now = climb.now;
        if let Some(hit) = self.hit(climb) {
            lap(Stage::Cache);
            return made(batch, hit, self.full(terms));
        }
        let mut situation = self.situation(terms, climb.read.or(climb.tried), now);
        if found.is_none() && self.asks_first(&situation, now) {
            self.l2_asked = Some(now);
            return Climbed::Ask(None);
        }
        let mut tried = None;
        loop {
            situation.left = terms.deadline.left(now);
            if let Standing::Out(_) = situation.full {
                // What is in hand already takes no time, however long L2 takes lately.
                situation.cached = match self.last(climb) {
                    Last::Found(_) => Standing::Usable(Duration::ZERO),
                    Last::Ask => situation.cached,
                    Last::Nothing => Standing::Empty,
                };
            }
            let Plan { mode, reasons } = plan(&situation);
            let made = Made { mode, reasons: reasons.and(self.full(terms).reasons), age: None };
            match mode {
                Mode::Full => match self.run_shared(batch, keys, terms, &mut now, lap) {
                    Ok(()) => return Climbed::Made(made),
                    Err(reason) => (situation.full, tried) = (Standing::Out(reason), Some(reason)),
                },
                Mode::Cached => match self.last(climb) {
                    Last::Found(last) => {
                        batch.probabilities = vec![last.probability];
                        return Climbed::Made(Made { age: Some(cache::age(last, terms.as_of)), ..made });
                    }
                    Last::Ask => {
                        self.l2_asked = Some(now);
                        return Climbed::Ask(tried);
                    }
                    Last::Nothing => situation.cached = Standing::Empty,
                },
                Mode::Fallback => {
                    self.fall_back(batch, now, lap);
                    return Climbed::Made(made);
                }
                Mode::Refer => {
                    batch.probabilities.clear();
                    return Climbed::Made(made);
                }
            }
        }
    }

    /// Finds the scores of all rows, on one rung.
    pub(super) fn climb_all(
        &mut self,
        batch: &mut Batch,
        missing: Option<Reason>,
        terms: &Terms,
        mut now: Instant,
        lap: &mut Lap<'_>,
    ) -> Made {
        self.repair.settle(batch);
        let mut situation = Situation { cached: Standing::Empty, ..self.situation(terms, missing, now) };
        // What one row took says nothing of many: the watchdog keeps the time.
        if let Standing::Usable(_) = situation.full {
            situation.full = Standing::Usable(Duration::ZERO);
        }
        loop {
            situation.left = terms.deadline.left(now);
            let Plan { mode, reasons } = plan(&situation);
            let made = Made { mode, reasons: reasons.and(self.full(terms).reasons), age: None };
            match mode {
                Mode::Full => match self.run(batch, terms, &mut now, lap) {
                    Ok(()) => return made,
                    Err(reason) => situation.full = Standing::Out(reason),
                },
                Mode::Cached => situation.cached = Standing::Empty,
                Mode::Fallback => {
                    self.fall_back(batch, now, lap);
                    return made;
                }
                Mode::Refer => {
                    batch.probabilities.clear();
                    return made;
                }
            }
        }
    }

    /// The mode of an answer from the model; the history may lag behind all the same.
    fn full(&self, terms: &Terms) -> Made {
        match terms.access {
            super::Access::Stale => Made { reasons: Reasons::NONE.with(Reason::HistoryStale), ..Made::FULL },
            _ => Made::FULL,
        }
    }

    /// What the model said of this very vector before.
    fn hit(&self, climb: &Climb<'_>) -> Option<Cached> {
        if !climb.terms.rungs.allow(Mode::Full) {
            return None;
        }
        match climb.found {
            None => climb.keys.vector.and_then(|vector| self.guards.cache.score_of(vector)),
            Some(Some((cached, Fetched::Score))) => Some(cached),
            Some(_) => None,
        }
    }

    fn situation(&self, terms: &Terms, missing: Option<Reason>, now: Instant) -> Situation {
        Situation {
            left: terms.deadline.left(now),
            rungs: terms.rungs,
            full: missing.map_or(Standing::Usable(self.model_took.p99(now)), Standing::Out),
            cached: Standing::Usable(self.l2_took.p99(now)),
            fallback: self.fallback_took.p99(now) + RESERVE,
        }
    }

    /// Whether L2 is asked before the model: where it was quicker lately, and once a second to know.
    fn asks_first(&self, situation: &Situation, now: Instant) -> bool {
        let Standing::Usable(_) = situation.full else { return false };
        if !self.guards.cache.has_l2() || situation.left < RESERVE * 10 || !situation.rungs.allow(Mode::Full) {
            return false;
        }
        let (l2, model) = (self.l2_took.p50(now), self.model_took.p50(now));
        match l2.is_zero() {
            true => self.l2_asked.is_none_or(|asked| now.saturating_duration_since(asked) > PAUSES.0),
            false => l2 < model,
        }
    }

    /// The last score of the application.
    fn last(&self, climb: &Climb<'_>) -> Last {
        let in_time = |cached: &Cached| cache::age(*cached, climb.terms.as_of) <= self.guards.cached_age;
        if let Some(last) = self.guards.cache.last_of(climb.keys.application).filter(in_time) {
            return Last::Found(last);
        }
        match climb.found {
            None if self.guards.cache.has_l2() => Last::Ask,
            None => Last::Nothing,
            Some(found) => found.map(|(cached, _)| cached).filter(in_time).map_or(Last::Nothing, Last::Found),
        }
    }

    /// Runs the model, or waits for who is running it for the same vector, and keeps what came of it.
    fn run_shared(
        &mut self,
        batch: &mut Batch,
        keys: &Keys,
        terms: &Terms,
        now: &mut Instant,
        lap: &mut Lap<'_>,
    ) -> Result<(), Reason> {
        let guards = self.guards.clone();
        let Some(vector) = keys.vector else { return Err(Reason::HistoryUnavailable) };
        let patience = |ladder: &Self, now| ladder.until(terms, 1, now).0.saturating_duration_since(now);
        let (began, all) = (*now, patience(self, *now));
        // Others are due beside, and it would only be stopped for them.
        if self.until(terms, 1, began).1 && self.model_took.p99(began) > all {
            return Err(Reason::ModelTooSlow);
        }
        let is_late = |now: Instant| now.saturating_duration_since(began) > all / 2;
        loop {
            match guards.cache.join(vector, patience(self, *now)) {
                Flight::Landed(probability) => {
                    batch.probabilities = vec![probability];
                    *now = lap(Stage::Cache);
                    return Ok(());
                }
                Flight::Lost(reason) => {
                    *now = lap(Stage::Cache);
                    // Who ran it may have had less time, or the bad luck of a session of its own.
                    if reason == Reason::ModelBreakerOpen || is_late(*now) {
                        return Err(reason);
                    }
                }
                Flight::Lead(lead) => {
                    let ran = self.run(batch, terms, now, lap).or_else(|reason| match reason {
                        // Nothing of it is known to be sound.
                        Reason::ModelFailed if !is_late(*now) => {
                            guards.cache.forget(*keys);
                            self.run(batch, terms, now, lap)
                        }
                        reason => Err(reason),
                    });
                    if let Err(reason) = ran {
                        lead.lose(reason);
                        return Err(reason);
                    }
                    let probability = batch.probabilities[0];
                    guards.cache.keep(*keys, Cached { probability, at: terms.as_of });
                    lead.land(probability);
                    *now = lap(Stage::Cache);
                    return Ok(());
                }
            }
        }
    }

    /// Runs the model on all rows, for as long as leaves time for the scorecard.
    fn run(&mut self, batch: &mut Batch, terms: &Terms, now: &mut Instant, lap: &mut Lap<'_>) -> Result<(), Reason> {
        let Guards { model: breaker, watchdog, .. } = &*self.guards;
        if !breaker.admit(*now) {
            return Err(Reason::ModelBreakerOpen);
        }
        let (began, stopper, rows) = (*now, batch.model.stopper(), batch.count() as u32);
        let (until, is_cut) = self.until(terms, rows, began);
        let (ran, was_stopped) = watchdog.watch(self.slot, &stopper, until, || batch.run());
        *now = lap(Stage::Model);
        let took = now.saturating_duration_since(began);
        if was_stopped && let Err(error) = batch.model.resume() {
            tracing::error!(%error, "the model's session cannot be used again");
        }
        if rows == 1 && (ran.is_ok() || was_stopped) {
            self.model_took.record(*now, took);
        }
        match ran {
            Ok(()) => {
                // Many rows may take longer than one.
                breaker.record(*now, Outcome::Done(took / rows.max(1)));
                self.stopped_late /= 2;
                self.repair.went_well();
                Ok(())
            }
            Err(_) if was_stopped => {
                breaker
                    .record(*now, if is_cut || terms.deadline.is_short { Outcome::CutShort } else { Outcome::Failed });
                self.stopped_late = now.saturating_duration_since(until).max(self.stopped_late / 2);
                Err(Reason::ModelTimedOut)
            }
            Err(error) => {
                breaker.record(*now, Outcome::Failed);
                tracing::error!(%error, "the model failed");
                self.repair.failed(batch, &self.guards, *now);
                Err(Reason::ModelFailed)
            }
        }
    }

    /// Until when a run may take, so that there is time left for the scorecard and the answer; and whether it is cut short so that
    /// others are not late who wait beside it.
    fn until(&self, terms: &Terms, rows: u32, now: Instant) -> (Instant, bool) {
        let (reserve, late) = (self.guards.reserve, self.stopped_late.min(terms.deadline.left(now) / 4));
        let own = now + terms.deadline.patience(now, reserve).saturating_sub(self.fallback_took.p99(now) + late);
        let others = self.dues.first().and_then(|due| due.checked_sub(reserve + late));
        let others = others.map(|due| due.max(now + LET_RUN.max(LET_RUN_ROW * rows)));
        others.filter(|others| *others < own).map_or((own, false), |others| (others, true))
    }

    /// What waits beside.
    pub(super) fn dues(&self) -> Rc<Dues> {
        self.dues.clone()
    }

    fn fall_back(&mut self, batch: &mut Batch, began: Instant, lap: &mut Lap<'_>) {
        batch.fall_back();
        let now = lap(Stage::Model);
        self.fallback_took.record(now, now.saturating_duration_since(began));
    }

    #[cfg(test)]
    pub(super) fn cache_status(&self) -> cache::CacheStatus {
        self.guards.cache.status()
    }

    /// L2 was asked at an instant and has answered by now, or was given up.
    pub(super) fn asked(&mut self, at: Instant, now: Instant) {
        self.l2_took.record(now, now.saturating_duration_since(at));
    }
}

/// What there is for the cached rung.
enum Last {
    Found(Cached),
    Ask,
    Nothing,
}

fn made(batch: &mut Batch, cached: Cached, made: Made) -> Climbed {
    batch.probabilities.clear();
    batch.probabilities.push(cached.probability);
    Climbed::Made(made)
}

impl Repair {
    fn went_well(&mut self) {
        (self.failures, self.replaced) = (0, 0);
    }

    /// Has a new session made once this one has failed too often.
    fn failed(&mut self, batch: &Batch, guards: &Guards, now: Instant) {
        self.failures += 1;
        let too_soon = self.not_before.is_some_and(|not_before| now < not_before);
        if self.failures < FAILURES_MOST || self.is_under_way || too_soon {
            return;
        }
        self.replaced += 1;
        self.not_before = Some(now + (PAUSES.0 * 2u32.saturating_pow(self.replaced - 1)).min(PAUSES.1));
        guards.sessions_replaced.fetch_add(1, Ordering::Relaxed);
        // Nothing that this session said is trusted any more.
        guards.cache.clear();
        if self.replaced >= CRASH_LOOP {
            tracing::error!(alert = "model_crash_loop", replaced = self.replaced, "new sessions go on failing");
        }
        let (bundle, made) = (batch.bundle.clone(), self.made.clone());
        let make = move || *made.lock() = Some(OnnxModel::new(&bundle));
        self.is_under_way = std::thread::Builder::new().name("cauce-session".into()).spawn(make).is_ok();
    }

    /// Takes the new session, if it is there.
    fn settle(&mut self, batch: &mut Batch) {
        if !self.is_under_way {
            return;
        }
        let Some(made) = self.made.lock().take() else { return };
        (self.is_under_way, self.failures) = (false, 0);
        match made {
            Ok(model) => {
                tracing::warn!(replaced = self.replaced, "the model has a new session");
                batch.model = model;
            }
            Err(error) => tracing::error!(%error, "the model's session could not be made anew"),
        }
    }
}
