//! Slices come and go with the group's decisions, which are carried out between two rounds.
//!
//! A slice that comes is opened from its state on this machine, if there is any, and read from the state's offsets on; up to what is
//! committed its records make state only. One that goes is committed and given back; one that was lost because no broker could be reached
//! stays here to be read, until the group gives it to somebody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cauce_features::plan::FeaturePlan;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Change;
use super::lookout::{self, Offsets};
use super::owned::Wait;
use super::{AGAIN_AFTER, Owned, Worker, state_directory};
use crate::config;
use crate::kafka::tending::Tended;
use crate::store::{Bounds, Embedded, Positions, StateError, Store};
use crate::stream::{Lane, Slice};

/// How long a stop waits for the group to take the partitions back.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the brokers know of partitions that are opened.
struct Known {
    committed: Offsets,
    beginnings: Offsets,
    ends: Offsets,
}

/// What the group has committed of a slice, and what its topics still hold, by lane.
struct OfGroup {
    committed: [Option<i64>; 3],
    low: [i64; 3],
}

/// Where a slice begins.
struct Beginning {
    tended: Arc<Tended>,
    next: [i64; 3],
    committed: [i64; 3],
}

impl Worker {
    /// Carries out what the group has decided, and what could not be carried out before.
    pub(super) fn carry_out_changes(&mut self) -> Result<(), String> {
        let changes = self.member.context().changes();
        let retry = !self.wanted.is_empty() && Instant::now() >= self.open_after;
        for change in changes.iter().cloned() {
            self.parts.metrics.rebalanced();
            match change {
                Change::Assigned(partitions) => {
                    tracing::info!(?partitions, "partitions are assigned");
                    let known = self.parts.histories.partitions();
                    if partitions.iter().any(|partition| *partition as usize >= known) {
                        return Err(format!(
                            "`{}` has more than the {known} partitions that it had: people would be in other partitions than their \
                             history; make new topics and write the old ones' records to them",
                            self.topics[Lane::Events as usize]
                        ));
                    }
                    self.was_assigned = true;
                    self.wanted.extend(partitions);
                    self.open()?;
                    self.let_others_go();
                }
                Change::Revoked { partitions, is_lost } => {
                    tracing::info!(?partitions, is_lost, "partitions are revoked");
                    self.close(&partitions, is_lost)?;
                }
            }
        }
        if changes.is_empty() && retry { self.open() } else { Ok(()) }
    }

    /// Opens what is wanted, and has it read. What cannot be opened yet is tried again.
    fn open(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let list = self.open_wanted()?;
        self.open_after = Instant::now() + AGAIN_AFTER;
        // Also of an empty list: the group waits for it.
        if let Err(error) = self.member.incremental_assign(&list) {
            return Err(format!("the partitions cannot be read: {error}"));
        }
        // One that was paused when it went is so still.
        if list.count() > 0
            && let Err(error) = self.member.resume(&list)
        {
            return Err(format!("the partitions cannot be read: {error}"));
        }
        self.parts.metrics.owned(self.slices.len());
        if list.count() > 0 {
            let (partitions, took_ms) = (self.slices.len(), began.elapsed().as_millis());
            tracing::info!(partitions, took_ms, "slices are open");
        }
        Ok(())
    }

    /// What could be opened, and from where on it is to be read.
    fn open_wanted(&mut self) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::new();
        if self.wanted.is_empty() {
            return Ok(list);
        }
        let known = match self.ask() {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "partitions cannot be opened yet");
                return Ok(list);
            }
        };
        for partition in self.wanted.clone() {
            match self.begin(partition, &known) {
                Ok(beginning) => self.own(partition, beginning, &mut list),
                Err(Unfit::ForNow(error)) => tracing::warn!(%error, partition, "a partition cannot be opened yet"),
                Err(Unfit::ForGood(problem)) => return Err(format!("partition {partition}: {problem}")),
            }
        }
        Ok(list)
    }

    fn ask(&self) -> Result<Known, KafkaError> {
        let wanted = || self.wanted.iter().copied();
        Ok(Known {
            committed: lookout::committed(&self.member, &self.topics, wanted())?,
            beginnings: lookout::beginnings(&self.lookout, &self.topics, wanted())?,
            ends: lookout::ends(&self.lookout, &self.topics, wanted())?,
        })
    }

    fn own(&mut self, partition: i32, beginning: Beginning, list: &mut TopicPartitionList) {
        let Beginning { tended, next, committed } = beginning;
        let mut slice = Slice::new(partition, tended.store.clone(), self.topics.clone(), next);
        for lane in Lane::ALL {
            slice.queue(lane).state_only_before = committed[lane as usize];
            let next = Offset::Offset(next[lane as usize]);
            list.add_partition_offset(&self.topics[lane as usize], partition, next).expect("offsets are positive");
        }
        self.parts.tending.add(tended.clone());
        self.parts.histories.put(partition as usize, tended.store.clone());
        self.parts.applied.advance(partition as usize, next[Lane::Events as usize]);
        let owned = Owned {
            slice,
            tended,
            committed,
            ends: next,
            is_paused: [false; 3],
            has_deferred: true,
            outputs: Vec::new(),
            wait: Wait::default(),
            stuck_until: None,
        };
        self.slices.insert(partition, owned);
        self.wanted.remove(&partition);
    }

    /// A slice's store, and where to read on.
    fn begin(&mut self, partition: i32, known: &Known) -> Result<Beginning, Unfit> {
        let group = self.group_of(partition, known)?;
        let (mut tended, mut state) = self.stored(partition)?;
        let offsets = |state: Positions| [state.log.0 as i64, state.applications.0 as i64];
        let is_ahead =
            offsets(state).iter().zip(group.committed).any(|(ours, known)| known.is_some_and(|known| *ours > known));
        if is_ahead {
            tracing::warn!(partition, "the group was set back behind the state: the state is made anew");
            drop(tended);
            self.parts.tending.forget(partition);
            self.parts.histories.take(partition as usize);
            self.remove_state(partition)?;
            (tended, state) = self.stored(partition)?;
        }
        let is_new = group.committed[0].is_none();
        if is_new && state != Positions::default() {
            return Err(Unfit::ForGood(
                "there is state, but the group has no offsets: they have expired, or the state is another group's; set the group's offsets, \
                 or start with `--rebuild-state` to begin anew, which scores every application that the topic holds"
                    .into(),
            ));
        }
        let [events, applications] = offsets(state);
        let mut next = [events, applications, group.committed[2].unwrap_or(group.low[2])];
        for lane in Lane::ALL {
            let (at, low) = (&mut next[lane as usize], group.low[lane as usize]);
            if *at < low {
                // Where nothing of it is state yet, history begins behind the gap; what was to be scored has its own say.
                self.accept_gap(lane, *at, low, *at == 0)?;
                *at = low;
            }
        }
        let committed = [0, 1, 2].map(|lane| group.committed[lane].unwrap_or(next[lane]));
        Ok(Beginning { tended, next, committed })
    }

    /// What the group and the brokers know of a slice, if that can be so.
    fn group_of(&self, partition: i32, known: &Known) -> Result<OfGroup, Unfit> {
        let offset = |of: &Offsets, lane| of.of(&self.topics, lane, partition);
        let unknown = || Unfit::ForNow("where its topics begin and end is not known".into());
        let mut group = OfGroup { committed: [None; 3], low: [0; 3] };
        for lane in Lane::ALL {
            let low = offset(&known.beginnings, lane).ok_or_else(unknown)?;
            let end = offset(&known.ends, lane).ok_or_else(unknown)?;
            let committed = offset(&known.committed, lane);
            if let Some(committed) = committed
                && committed > end
            {
                return Err(Unfit::ForGood(format!(
                    "the group has committed offset {committed} of `{}`, which ends at {end}: it is another topic, or has lost its end; set \
                     the group's offsets, and start with `--rebuild-state`",
                    self.topics[lane as usize]
                )));
            }
            if let Some(committed) = committed
                && committed < low
            {
                self.accept_gap(lane, committed, low, false)?;
            }
            group.low[lane as usize] = low;
            group.committed[lane as usize] = committed;
        }
        if group.committed.iter().any(Option::is_some) && group.committed.iter().any(Option::is_none) {
            return Err(Unfit::ForGood(
                "the group has offsets of some of its topics and not of the others: they have expired; set them, as with \
                 `kafka-consumer-groups --reset-offsets`"
                    .into(),
            ));
        }
        Ok(group)
    }

    /// What lies between was never read, or is not in the state.
    fn accept_gap(&self, lane: Lane, from: i64, to: i64, is_beginning: bool) -> Result<(), Unfit> {
        let lost = format!("records {from} to {to} of `{}` were dropped by its retention", self.topics[lane as usize]);
        if is_beginning || self.parts.accept_data_loss {
            tracing::warn!("{lost}; history begins behind them");
            return Ok(());
        }
        Err(Unfit::ForGood(format!(
            "{lost} before they were read; start with `--accept-data-loss` to go on without them"
        )))
    }

    /// The store of a slice as it stands here, or as it was left at its last checkpoint.
    fn stored(&mut self, partition: i32) -> Result<(Arc<Tended>, Positions), Unfit> {
        if let Some(kept) = self.kept.remove(&partition)
            && let Some(reached) = kept.resume()
        {
            return Ok((kept, reached));
        }
        // What has gone further than what is committed is let go: its last checkpoint has not.
        self.parts.tending.forget(partition);
        // Nothing else may hold it open: an HTTP request does for a moment.
        self.parts.histories.take(partition as usize);
        let slices = self.parts.histories.partitions();
        match open_slice(&self.parts.store, self.parts.bundle.plan(), partition, slices) {
            Ok(tended) => {
                let reached = tended.settled().expect("nothing is done on it yet");
                Ok((Arc::new(tended), reached))
            }
            Err(error @ (StateError::Damaged { .. } | StateError::OtherSpecification)) => {
                Err(Unfit::ForGood(error.to_string()))
            }
            Err(error) => Err(Unfit::ForNow(error.to_string())),
        }
    }

    fn remove_state(&self, partition: i32) -> Result<(), Unfit> {
        Embedded::remove(&state_directory(&self.parts.store, partition))
            .map_err(|error| Unfit::ForNow(error.to_string()))
    }

    /// Gives partitions back: what is done is committed first, unless it is too late for that.
    fn close(&mut self, partitions: &[i32], is_lost: bool) -> Result<(), String> {
        if !is_lost && self.slices.values().any(Owned::is_uncommitted) {
            self.commit()?;
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.wanted.remove(partition);
            let Some(owned) = self.slices.remove(partition) else { continue };
            for topic in self.topics.iter() {
                list.add_partition(topic, *partition);
            }
            owned.tended.end();
            self.parts.applied.release(*partition as usize);
            self.parts.metrics.gone(*partition);
            if is_lost {
                self.kept.insert(*partition, owned.tended.clone());
            } else {
                self.parts.histories.take(*partition as usize);
                self.parts.tending.retire(*partition);
            }
        }
        if let Err(error) = self.member.incremental_unassign(&list) {
            return Err(format!("the partitions cannot be given back: {error}"));
        }
        if !self.slices.values().any(Owned::is_uncommitted) {
            self.failing = None;
        }
        self.parts.metrics.owned(self.slices.len());
        Ok(())
    }

    /// The group has decided: what is here and not this instance's is somebody else's.
    fn let_others_go(&mut self) {
        for partition in 0..self.parts.histories.partitions() as i32 {
            if !self.slices.contains_key(&partition) && !self.wanted.contains(&partition) {
                self.kept.remove(&partition);
                self.parts.histories.take(partition as usize);
                self.parts.tending.retire(partition);
            }
        }
    }

    /// Gives everything back in good order.
    pub(super) fn leave(mut self) {
        self.member.unsubscribe();
        self.failing = None;
        let deadline = Instant::now() + FAREWELL;
        while !self.slices.is_empty() && Instant::now() < deadline {
            let _ = self.member.poll(Duration::from_millis(50));
            let changes = self.member.context().changes();
            for change in changes {
                if let Change::Revoked { partitions, is_lost } = change
                    && let Err(error) = self.close(&partitions, is_lost)
                {
                    tracing::warn!(error, "partitions are given back without a word");
                }
            }
        }
        // Nobody commits for what is left.
        self.slices.values().for_each(|owned| owned.tended.end());
    }
}

/// The state of a slice that this machine holds, as of its last checkpoint; or the beginning of one.
pub fn open_slice(
    settings: &config::Store,
    plan: &FeaturePlan,
    partition: i32,
    slices: usize,
) -> Result<Tended, StateError> {
    let cache_bytes = settings.block_cache.bytes() as u64;
    let state = Embedded::open_slice(&state_directory(settings, partition), slices, cache_bytes)?;
    let store = Store::open(Arc::new(state), Bounds::from(settings).shared_by(slices), plan)?;
    let reached = store.checkpointed()?.map_or_else(Positions::default, |checkpoint| checkpoint.reached);
    Ok(Tended::new(partition, Arc::new(store), reached))
}

/// Why a slice cannot be opened.
enum Unfit {
    /// It is tried again.
    ForNow(String),
    /// Somebody has to decide.
    ForGood(String),
}
