//! Acts on what `degrade::plan` says: asks the cache, runs the model under the watchdog, falls back to the scorecard, or refers.
//!
//! A rung that gives nothing is marked and the plan asked again, so the loop ends: each turn of it takes a rung away. What
//! fails is tried again once where time is left; a session that goes on failing is replaced by a new one, made beside requests
//! with growing pauses, and while it fails the breaker keeps requests away from it.

mod repair;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cauce_features::application::Application;

use super::{Batch, Guards, Lap, Made, Stage, Terms};
use crate::breaker::Outcome;
use crate::cache::{self, Cached, Fetched, Flight, Keys};
use crate::deadline::{Dues, Recent};
use crate::degrade::{Mode, Plan, Reason, Reasons, Situation, Standing, plan};
use crate::watchdog::Slot;
use repair::Repair;

/// What is kept for the scorecard and for the answer when a dearer rung is chosen, on top of what they took lately.
const RESERVE: Duration = Duration::from_millis(1);

/// What a run may take, and for each row, however overdue others are: a sound model needs far less.
const LET_RUN: Duration = Duration::from_millis(2);
const LET_RUN_ROW: Duration = Duration::from_micros(50);

/// So often L2 is asked before the model only to know how long it takes.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// One thread's way down the ladder.
pub(super) struct Ladder {
    guards: Arc<Guards>,
    slot: Arc<Slot>,
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
    pub(super) fn new(guards: Arc<Guards>) -> Self {
        let slot = guards.watchdog.slot();
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

    /// Another bundle is served: what is known of the model was known of another one.
    pub(super) fn begin_anew(&mut self) {
        (self.model_took, self.repair) = (Recent::default(), Repair::default());
        self.guards.model.reset();
    }

    /// The keys of the last row, and of its application.
    pub(super) fn keys(&mut self, batch: &Batch, application: &Application, is_read: bool) -> Keys {
        let (vector, salt) = (is_read.then_some(&batch.rows[..]), self.guards.cache.salt());
        Keys::of(application, vector, batch.bundle.hash(), salt, &mut self.bytes)
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
        if found.is_none() && self.asks_first(*keys, &situation, now) {
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
    fn asks_first(&self, keys: Keys, situation: &Situation, now: Instant) -> bool {
        let Standing::Usable(_) = situation.full else { return false };
        if keys.vector.is_none()
            || !self.guards.cache.may_fetch(keys)
            || situation.left < RESERVE * 10
            || !situation.rungs.allow(Mode::Full)
        {
            return false;
        }
        let (l2, model) = (self.l2_took.p50(now), self.model_took.p50(now));
        match l2.is_zero() {
            true => self.l2_asked.is_none_or(|asked| now.saturating_duration_since(asked) > ASK_EVERY),
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
            None if self.guards.cache.may_fetch(climb.keys) => Last::Ask,
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
            // A run of one row is short: who waits longer than two of them is better off with one of its own.
            let wait = patience(self, *now).min(self.model_took.p99(*now) * 2 + RESERVE);
            match guards.cache.join(vector, wait) {
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
                    if reason == Reason::ModelTimedOut {
                        return self.run(batch, terms, now, lap);
                    }
                }
                Flight::Lead(lead) => {
                    let ran = self.run(batch, terms, now, lap).or_else(|reason| match reason {
                        // Nothing of it is known to be sound.
                        Reason::ModelFailed if !is_late(*now) => {
                            guards.cache.forget(vector);
                            self.run(batch, terms, now, lap)
                        }
                        reason => Err(reason),
                    });
                    if let Err(reason) = ran {
                        lead.lose(reason);
                        return Err(reason);
                    }
                    let probability = batch.probabilities[0];
                    guards.cache.keep(vector, keys.application, Cached { probability, at: terms.as_of });
                    lead.land(probability);
                    *now = lap(Stage::Cache);
                    return Ok(());
                }
            }
        }
    }

    /// Runs the model on all rows, for as long as leaves time for the scorecard.
    fn run(&mut self, batch: &mut Batch, terms: &Terms, now: &mut Instant, lap: &mut Lap<'_>) -> Result<(), Reason> {
        let breaker = &self.guards.model;
        if !breaker.admit(*now) {
            return Err(Reason::ModelBreakerOpen);
        }
        let (began, stopper, rows) = (*now, batch.model.stopper(), batch.count() as u32);
        let (until, is_cut) = self.until(terms, rows, began);
        let (ran, was_stopped) = self.slot.watch(&stopper, until, || batch.run());
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
        let others = self.dues.first(now).and_then(|due| due.checked_sub(reserve + late));
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
