//! Slices come and go with the group's decisions, which are carried out between two rounds.
//!
//! A slice that comes is opened from its state on this machine, if there is any, and read from the state's offsets on; up to what is
//! committed its records make state only. One that goes is committed and given back; one that was lost because no broker could be reached
//! stays here to be read, until the group gives it to somebody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{AGAIN_AFTER, Owned, Worker, positions, state_directory};
use crate::kafka::group::Change;
use crate::kafka::lookout::{self, Offsets};
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

/// Where a slice begins.
struct Beginning {
    store: Arc<Store>,
    next: [i64; 3],
    committed: [i64; 3],
}

impl Worker {
    /// Carries out what the group has decided, and what could not be carried out before.
    pub(super) fn carry_out_changes(&mut self) -> Result<(), String> {
        let changes = self.member.context().changes();
        let retry = !self.wanted.is_empty() && Instant::now() >= self.not_before;
        for change in changes.iter().cloned() {
            self.parts.metrics.rebalanced();
            match change {
                Change::Assigned(partitions) => {
                    tracing::info!(?partitions, "partitions are assigned");
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
        let mut list = TopicPartitionList::new();
        match if self.wanted.is_empty() { Ok(None) } else { self.ask().map(Some) } {
            Ok(None) => {}
            Ok(Some(known)) => {
                for partition in self.wanted.clone() {
                    match self.begin(partition, &known) {
                        Ok(beginning) => self.own(partition, beginning, &mut list),
                        Err(Unfit::ForNow(error)) => {
                            tracing::warn!(%error, partition, "a partition cannot be opened yet")
                        }
                        Err(Unfit::ForGood(problem)) => return Err(format!("partition {partition}: {problem}")),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "partitions cannot be opened yet"),
        }
        self.not_before = if self.wanted.is_empty() { self.not_before } else { Instant::now() + AGAIN_AFTER };
        // Also of an empty list: the group waits for it.
        if let Err(error) = self.member.incremental_assign(&list) {
            return Err(format!("the partitions cannot be read: {error}"));
        }
        self.parts.metrics.owned(self.slices.len());
        if list.count() > 0 {
            let (partitions, took_ms) = (self.slices.len(), began.elapsed().as_millis());
            tracing::info!(partitions, took_ms, "slices are open");
        }
        Ok(())
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
        let Beginning { store, next, committed } = beginning;
        let mut slice = Slice::new(partition, store.clone(), self.topics.clone(), next);
        for lane in Lane::ALL {
            slice.queue(lane).committed = committed[lane as usize];
            let next = Offset::Offset(next[lane as usize]);
            list.add_partition_offset(&self.topics[lane as usize], partition, next).expect("offsets are positive");
        }
        let tended = Arc::new(Tended::new(partition, store.clone(), positions(next)));
        self.parts.tending.add(tended.clone());
        self.parts.histories.put(partition as usize, store);
        self.parts.applied.advance(partition as usize, next[Lane::Events as usize]);
        let owned = Owned {
            slice,
            tended,
            committed,
            ends: next,
            is_paused: [false; 3],
            outputs: Vec::new(),
            stuck_until: None,
        };
        self.slices.insert(partition, owned);
        self.wanted.remove(&partition);
    }

    /// A slice's store, and where to read on.
    fn begin(&mut self, partition: i32, known: &Known) -> Result<Beginning, Unfit> {
        let offset = |of: &Offsets, lane| of.of(&self.topics, lane, partition);
        let unknown = || Unfit::ForNow("where its topics begin and end is not known".into());
        let mut lows = [0; 3];
        let mut ends = [0; 3];
        for lane in Lane::ALL {
            lows[lane as usize] = offset(&known.beginnings, lane).ok_or_else(unknown)?;
            ends[lane as usize] = offset(&known.ends, lane).ok_or_else(unknown)?;
        }
        let committed = Lane::ALL.map(|lane| offset(&known.committed, lane));
        let (mut store, mut reached) = self.stored(partition)?;
        let is_ahead = |reached: &Positions| {
            let ahead = |ours: u64, lane: Lane| committed[lane as usize].is_some_and(|known| ours as i64 > known);
            ahead(reached.log.0, Lane::Events) || ahead(reached.applications.0, Lane::Applications)
        };
        if is_ahead(&reached) {
            tracing::warn!(partition, "the group was set back behind the state: the state is made anew");
            drop(store);
            self.parts.tending.forget(partition);
            self.parts.histories.take(partition as usize);
            self.remove_state(partition)?;
            (store, reached) = self.stored(partition)?;
        }
        let mut next = [reached.log.0 as i64, reached.applications.0 as i64, committed[2].unwrap_or(lows[2])];
        for lane in Lane::ALL {
            let at = &mut next[lane as usize];
            if *at > ends[lane as usize] {
                return Err(Unfit::ForGood(format!(
                    "the state stands for records of `{}` up to {at}, but the topic ends at {}: it is another topic, or has lost its \
                     end; start with `--rebuild-state`",
                    self.topics[lane as usize], ends[lane as usize]
                )));
            }
            if *at < lows[lane as usize] {
                self.accept_gap(lane, *at, lows[lane as usize])?;
                *at = lows[lane as usize];
            }
        }
        let committed = Lane::ALL.map(|lane| committed[lane as usize].unwrap_or(next[lane as usize]));
        Ok(Beginning { store, next, committed })
    }

    /// A new group on an old topic has lost nothing; a state or a group that is behind the topic's beginning has.
    fn accept_gap(&self, lane: Lane, from: i64, to: i64) -> Result<(), Unfit> {
        let topic = &self.topics[lane as usize];
        let lost = format!("records {from} to {to} of `{topic}` were dropped by its retention");
        if from == 0 {
            tracing::warn!("{lost}; nothing was read of them, and history begins behind them");
            return Ok(());
        }
        if self.parts.accept_data_loss {
            tracing::warn!("{lost} before they were read");
            return Ok(());
        }
        Err(Unfit::ForGood(format!(
            "{lost} before they were read; start with `--accept-data-loss` to go on without them"
        )))
    }

    /// The store of a slice as it stands here, or as it was left at its last checkpoint.
    fn stored(&mut self, partition: i32) -> Result<(Arc<Store>, Positions), Unfit> {
        if let Some(kept) = self.kept.remove(&partition) {
            if let Some(reached) = kept.settled() {
                return Ok((kept.store.clone(), reached));
            }
            // It has gone further than what is committed: its last checkpoint has not.
        }
        self.parts.tending.forget(partition);
        // Nothing else may hold it open: an HTTP request does for a moment.
        self.parts.histories.take(partition as usize);
        let plan = self.parts.bundle.plan();
        let slices = self.parts.histories.partitions();
        let open = || -> Result<_, StateError> {
            let state = Embedded::open_slice(&state_directory(&self.parts.store, partition), slices)?;
            let store = Store::open(Arc::new(state), Bounds::from(&self.parts.store).shared_by(slices), plan)?;
            let reached = store.checkpointed()?.map_or_else(Positions::default, |checkpoint| checkpoint.reached);
            Ok((Arc::new(store), reached))
        };
        open().map_err(|error| match error {
            StateError::Damaged { .. } | StateError::OtherSpecification => Unfit::ForGood(error.to_string()),
            error => Unfit::ForNow(error.to_string()),
        })
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
        let deadline = Instant::now() + FAREWELL;
        while !self.slices.is_empty() && Instant::now() < deadline {
            let _ = self.member.poll(Duration::from_millis(50));
            self.not_before = Instant::now();
            let changes = self.member.context().changes();
            for change in changes {
                if let Change::Revoked { partitions, is_lost } = change
                    && let Err(error) = self.close(&partitions, is_lost)
                {
                    tracing::warn!(error, "partitions are given back without a word");
                }
            }
        }
        self.member.context().close();
    }
}

/// Why a slice cannot be opened.
enum Unfit {
    /// It is tried again.
    ForNow(String),
    /// Somebody has to decide.
    ForGood(String),
}
