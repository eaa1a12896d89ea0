//! The embedded log and its state: opened, brought up to each other, and kept in shape.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use cauce_model::bundle::Bundle;

use super::{AppError, Backend, Recovery};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::ingest;
use crate::keeper::Keeper;
use crate::log::embedded::Opened;
use crate::log::{EventLog, Position, ReadLog};
use crate::metrics::Metrics;
use crate::store::{Bounds, Embedded, Histories, Store};

/// Log and state of this machine, as they were left.
pub(super) fn open(
    config: &Config,
    bundle: &Arc<Bundle>,
    clock: Clock,
    metrics: &Arc<Metrics>,
    recovery: Recovery,
) -> Result<Backend, AppError> {
    let Recovered { log, store, covered } = recover(config, bundle, clock, recovery)?;
    let keeper = Keeper::new(store.clone(), log.clone(), bundle.clone(), clock, config.store.clone(), covered);
    let keeper = Arc::new(keeper);
    let keeping = keeper.start(metrics.clone())?;
    let histories = Arc::new(Histories::whole(store));
    Ok(Backend { log, histories, upkeep: keeper, threads: vec![keeping], stream: None })
}

struct Recovered {
    log: Arc<dyn EventLog>,
    store: Arc<Store>,
    covered: Position,
}

/// With more than one record to replay for so many people, all are loaded first.
const LOAD_FROM: u64 = 8;

/// The newest checkpoint and, from there on, the log.
fn recover(config: &Config, bundle: &Arc<Bundle>, clock: Clock, recovery: Recovery) -> Result<Recovered, AppError> {
    let started = Instant::now();
    let opened = Opened::open(&config.log, recovery.accept_data_loss)?;
    let log_ms = started.elapsed().as_millis();
    if recovery.rebuild_state {
        let from = opened.reading().range().start;
        // The log no longer has what the state was made of: the state is worth more than its rebuilding.
        if from > Position(0) && !recovery.accept_data_loss {
            return Err(AppError::NotAll(from));
        }
        Embedded::remove(&config.store.directory)?;
    }
    let config::Store { directory, block_cache, .. } = &config.store;
    let (plan, state) = (bundle.plan(), Arc::new(Embedded::open_slice(directory, 1, block_cache.bytes() as u64)?));
    let store = Arc::new(Store::open(state, Bounds::from(&config.store), plan)?);
    let state_ms = started.elapsed().as_millis() - log_ms;
    let covered = store.checkpointed()?.map_or(Position(0), |checkpoint| checkpoint.reached.log);
    let reading = opened.reading();
    let range = reading.range();
    refuse_apart(covered, &range, recovery)?;
    let from = covered.clamp(range.start, range.end);
    let erasures = reading.erasures();
    if erasures.any_since(from) {
        store.erase_where(plan, &|person| erasures.since(from, person))?;
    }
    // Many records touch many people: reading each alone would cost more than reading all.
    if range.end.0 - from.0 > store.people() as u64 / LOAD_FROM {
        store.load(plan)?;
    }
    let replayed = ingest::replay(&store, plan, reading, from, clock.now(), |_| ()).map_err(AppError::Replay)?;
    if replayed.invalid > 0 {
        tracing::warn!(
            records = replayed.invalid,
            "records are not valid under this specification; they stay in the log and count nowhere"
        );
    }
    let (people, replay_ms) = (store.people(), started.elapsed().as_millis() - log_ms - state_ms);
    tracing::info!(people, replayed = replayed.records, log_ms, state_ms, replay_ms, "history is up to date");
    let (delivered, bundle) = (store.clone(), bundle.clone());
    let deliver = Box::new(move |entry: &_| ingest::apply(&delivered, bundle.plan(), entry));
    Ok(Recovered { log: Arc::new(opened.start(from, deliver)?), store, covered: from })
}

/// A state that reaches further than the log, or ends before it begins, does not go with it.
fn refuse_apart(covered: Position, range: &Range<Position>, recovery: Recovery) -> Result<(), AppError> {
    let advice = if covered > range.end {
        "the log has lost its end, or is another one; put its files back, or start with `--rebuild-state`"
    } else if covered < range.start && !recovery.accept_data_loss {
        "what lies between is in neither; put the files back, or start with `--accept-data-loss` to go on without"
    } else {
        return Ok(());
    };
    Err(AppError::Apart { covered, from: range.start, to: range.end, advice })
}
