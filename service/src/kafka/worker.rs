//! The thread that reads, works and commits. Read [`Worker::round`] from top to bottom.
//!
//! One thread polls; a round of work is spread over the cores by slices and is bounded in records, so the group never waits for a poll. What cannot
//! be worked off yet stays in bounded queues, and a lane whose queue is full is paused until there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::{Signal, getpid, kill_process};

use super::applied::Applied;
use super::commit::{CommitError, Committer};
use super::group::{self, Member};
use super::lookout::{self, Lookout, Topics};
use super::partitioner::partition_of;
use super::tending::{Tended, Tending};
use super::{Cluster, ClusterError};
use crate::clock::Clock;
use crate::config;
use crate::log::Position;
use crate::metrics::kafka::KafkaMetrics;
use crate::scoring::Batch;
use crate::store::{Histories, Positions};
use crate::stream::output::Output;
use crate::stream::pressure::Pressure;
use crate::stream::{Lane, Record, Slice};

mod takeover;

/// How long a poll waits: with nothing to do, and while something waits for more.
const IDLE: Duration = Duration::from_millis(100);
const EAGER: Duration = Duration::from_millis(2);
/// The longest that records are gathered before they are worked off.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes that wait at most in one lane of a slice.
const QUEUE_BYTES: usize = 32 << 20;
const OBSERVE_EVERY: Duration = Duration::from_millis(250);
/// After a failure.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What the worker is made of.
pub struct Parts {
    pub cluster: Cluster,
    pub bundle: Arc<Bundle>,
    pub batches: Vec<Batch>,
    pub histories: Arc<Histories>,
    pub applied: Arc<Applied>,
    pub tending: Arc<Tending>,
    pub metrics: Arc<KafkaMetrics>,
    pub store: config::Store,
    pub clock: Clock,
    pub accept_data_loss: bool,
}

/// What others may ask of the worker's thread, and tell it.
#[derive(Default)]
pub struct Control {
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
    is_deferring: AtomicBool,
    /// Why it cannot go on.
    failure: Mutex<Option<String>>,
}

/// Works off this instance's share of the topics.
pub struct Worker {
    parts: Parts,
    control: Arc<Control>,
    topics: Arc<Topics>,
    member: Member,
    lookout: Lookout,
    committer: Committer,
    pressure: Pressure,
    slices: BTreeMap<i32, Owned>,
    /// Assigned, and not opened yet.
    wanted: BTreeSet<i32>,
    /// Slices that are here and not this instance's: found at the start, or lost while no broker could be reached. They are read on, and
    /// taken up again where they stand.
    kept: BTreeMap<i32, Arc<Tended>>,
    committed_at: Instant,
    observed_at: Instant,
    /// Nothing is worked off before.
    not_before: Instant,
    fails: bool,
}

/// A slice that is this instance's.
struct Owned {
    slice: Slice,
    tended: Arc<Tended>,
    committed: [i64; 3],
    ends: [i64; 3],
    is_paused: [bool; 3],
    /// What is not committed yet.
    outputs: Vec<Output>,
    /// The state could not be read or written.
    stuck_until: Option<Instant>,
}

impl Control {
    /// `is_ready` where there are histories to begin with.
    pub fn new(is_ready: bool) -> Self {
        Self { is_ready: AtomicBool::new(is_ready), ..Self::default() }
    }

    /// Whether there are histories: those of a former life, or those of the first assignment, read up to what was committed.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Has the thread give its partitions back and end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether applications of normal priority have to wait.
    pub fn is_deferring(&self) -> bool {
        self.is_deferring.load(Ordering::Relaxed)
    }

    /// Why it has ended before it was told to.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// Joins the group; `kept` are the slices that are here already.
    pub fn new(parts: Parts, control: Arc<Control>, kept: BTreeMap<i32, Arc<Tended>>) -> Result<Self, ClusterError> {
        let settings = &parts.cluster.settings;
        let topics = [&settings.events, &settings.applications, &settings.deferred].map(String::clone);
        let member = group::join(&parts.cluster)
            .map_err(|cause| ClusterError::Client { doing: "cannot join the consumer group", cause })?;
        let lookout = lookout::connect(&parts.cluster)
            .map_err(|cause| ClusterError::Client { doing: "cannot make a Kafka client", cause })?;
        let now = Instant::now();
        Ok(Self {
            committer: Committer::new(parts.cluster.clone()),
            pressure: Pressure::new(settings.lag_high, settings.lag_low),
            topics: Arc::new(topics),
            member,
            lookout,
            control,
            slices: BTreeMap::new(),
            wanted: BTreeSet::new(),
            kept,
            committed_at: now,
            observed_at: now,
            not_before: now,
            fails: false,
            parts,
        })
    }

    /// Until told to stop, or until it cannot go on.
    pub fn run(mut self) {
        let mut outcome = Ok(());
        while outcome.is_ok() && !self.control.is_stopping() {
            outcome = self.round();
        }
        if let Err(failure) = outcome {
            tracing::error!(failure, "the service stops: it cannot go on reading from Kafka");
            *self.control.failure.lock() = Some(failure);
            // As an operator would: requests in flight are answered.
            let _ = kill_process(getpid(), Signal::TERM);
        }
        self.leave();
    }

    fn round(&mut self) -> Result<(), String> {
        self.read()?;
        self.carry_out_changes()?;
        if Instant::now() >= self.not_before
            && self.slices.values().any(|owned| !owned.slice.is_idle())
            && !self.waits_to_commit()
        {
            // By then the brokers' clocks have moved on, and what is written after the look is younger than all that was read before.
            thread::sleep(self.parts.cluster.settings.settle.get());
            self.look_at_ends();
            self.work();
        }
        if self.is_commit_due() {
            self.commit()?;
        }
        if self.observed_at.elapsed() >= OBSERVE_EVERY {
            self.observe();
        }
        Ok(())
    }

    /// What could not be committed comes before anything new.
    fn waits_to_commit(&self) -> bool {
        self.fails && self.slices.values().any(Owned::is_uncommitted)
    }

    /// Takes what has come, up to a round's worth.
    fn read(&mut self) -> Result<(), String> {
        let Self { parts, topics, member, slices, .. } = self;
        let (most, began, partitions) =
            (parts.cluster.settings.round_records, Instant::now(), parts.histories.partitions());
        let waits = slices.values().any(|owned| !owned.slice.is_idle() || owned.is_uncommitted());
        let mut patience = if waits { EAGER } else { IDLE };
        let mut full = Vec::new();
        for _ in 0..most {
            match member.poll(patience) {
                Some(Ok(message)) => {
                    let lane = Lane::ALL.into_iter().find(|lane| topics[*lane as usize] == message.topic());
                    let (Some(lane), Some(owned)) = (lane, slices.get_mut(&message.partition())) else { continue };
                    if owned.take(lane, &message, partitions, parts) {
                        full.push((lane, message.partition()));
                    }
                }
                Some(Err(error)) => hear(&error)?,
                None => break,
            }
            patience = Duration::ZERO;
            if began.elapsed() >= GATHER {
                break;
            }
        }
        for (lane, partition) in full {
            self.pause(lane, partition, true);
        }
        Ok(())
    }

    /// Asks where the lanes end, so that an empty one is known to be empty.
    fn look_at_ends(&mut self) {
        let ends = lookout::ends(&self.lookout, &self.topics, self.slices.keys().copied());
        let positions = lookout::positions(&self.member);
        let (Ok(ends), Ok(positions)) = (&ends, &positions) else {
            tracing::debug!(error = ?ends.err().or(positions.err()), "where the topics end is not known for now");
            self.slices.values_mut().for_each(Owned::forget_ends);
            return;
        };
        for (partition, owned) in &mut self.slices {
            for lane in Lane::ALL {
                let (end, position) =
                    (ends.of(&self.topics, lane, *partition), positions.of(&self.topics, lane, *partition));
                owned.see_end(lane, end, position);
            }
        }
    }

    /// Works off whatever is in turn, on all cores.
    fn work(&mut self) {
        let Self { parts, slices, pressure, .. } = self;
        let (deferring, vectors) = (pressure.is_deferring(), parts.cluster.settings.vectors);
        let now = Instant::now();
        let mut due: Vec<&mut Owned> = slices.values_mut().filter(|owned| owned.is_due(now)).collect();
        due.sort_by_key(|owned| std::cmp::Reverse(owned.slice.waiting()));
        let mut shares: Vec<Vec<&mut Owned>> = parts.batches.iter().map(|_| Vec::new()).collect();
        let count = shares.len();
        due.into_iter().enumerate().for_each(|(index, owned)| shares[index % count].push(owned));
        let (metrics, applied) = (&parts.metrics, &parts.applied);
        thread::scope(|scope| {
            for (batch, share) in parts.batches.iter_mut().zip(shares).filter(|(_, share)| !share.is_empty()) {
                scope.spawn(move || {
                    for owned in share {
                        owned.work(batch, deferring, vectors, metrics);
                        applied.advance(owned.slice.partition as usize, owned.slice.next()[Lane::Events as usize]);
                    }
                });
            }
        });
        let room = self.parts.cluster.settings.buffer_records / 2;
        let resumed = self.slices.iter_mut().flat_map(|(partition, owned)| {
            let roomy = Lane::ALL.into_iter().filter(|lane| owned.is_paused[*lane as usize]);
            let roomy: Vec<_> = roomy.filter(|lane| owned.slice.queue(*lane).waiting().0 <= room).collect();
            roomy.into_iter().map(|lane| (lane, *partition))
        });
        for (lane, partition) in resumed.collect::<Vec<_>>() {
            self.pause(lane, partition, false);
        }
    }

    /// Scores leave at once; offsets alone may wait a little.
    fn is_commit_due(&self) -> bool {
        if Instant::now() < self.not_before {
            return false;
        }
        self.slices.values().any(|owned| !owned.outputs.is_empty())
            || (self.committed_at.elapsed() >= self.parts.cluster.settings.commit_every.get()
                && self.slices.values().any(Owned::is_uncommitted))
    }

    /// Outputs and offsets of all slices, together.
    fn commit(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let (mut outputs, mut offsets) = (Vec::new(), TopicPartitionList::new());
        for (partition, owned) in &self.slices {
            outputs.extend(&owned.outputs);
            for (topic, (next, committed)) in
                self.topics.iter().zip(owned.slice.next().into_iter().zip(owned.committed))
            {
                if next > committed {
                    offsets
                        .add_partition_offset(topic, *partition, Offset::Offset(next))
                        .expect("offsets are positive");
                }
            }
        }
        self.committed_at = began;
        let committed = match offsets.count() {
            // What is read again after a start was committed before.
            0 => Ok(()),
            _ => self.committer.commit(&self.member, &outputs, &offsets),
        };
        match committed {
            Ok(()) => {
                self.fails = false;
                self.slices.values_mut().for_each(Owned::settle);
                self.parts.metrics.committed(began.elapsed());
                Ok(())
            }
            Err(CommitError::Fenced(_)) => Err(committed.expect_err("it is one").to_string()),
            Err(error) => {
                tracing::warn!(%error, "the same is tried again");
                self.parts.metrics.commit_failed();
                self.fails = true;
                self.not_before = Instant::now() + AGAIN_AFTER;
                Ok(())
            }
        }
    }

    /// Lag, mode and clocks, for whoever looks.
    fn observe(&mut self) {
        self.observed_at = Instant::now();
        if self.slices.is_empty() {
            return;
        }
        if self.wanted.is_empty() && self.slices.values().all(Owned::has_caught_up) {
            self.control.is_ready.store(true, Ordering::Relaxed);
        }
        self.look_at_ends();
        let mut lag = 0;
        let now = self.parts.clock.now();
        for owned in self.slices.values() {
            let behind = owned.lag();
            lag += behind[Lane::Events as usize] + behind[Lane::Applications as usize];
            self.parts.metrics.observed(behind, &owned.slice, now);
            // While applications wait, the windows that they will be scored on are kept whole.
            if behind[Lane::Deferred as usize] == 0 {
                owned.tended.pass_to(owned.slice.stream_time);
            }
        }
        if self.pressure.observe(lag) {
            let deferring = self.pressure.is_deferring();
            self.control.is_deferring.store(deferring, Ordering::Relaxed);
            self.parts.metrics.mode(deferring);
            match deferring {
                true => {
                    tracing::warn!(alert = "kafka_lag", lag, "only applications of high priority are scored for now")
                }
                false => tracing::warn!(alert = "kafka_lag", lag, "resolved: all applications are scored again"),
            }
        }
    }

    fn pause(&mut self, lane: Lane, partition: i32, pause: bool) {
        let Some(owned) = self.slices.get_mut(&partition) else { return };
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topics[lane as usize], partition);
        let done = if pause { self.member.pause(&list) } else { self.member.resume(&list) };
        match done {
            Ok(()) => owned.is_paused[lane as usize] = pause,
            Err(error) => tracing::warn!(%error, partition, pause, "a partition could not be paused or resumed"),
        }
    }
}

impl Owned {
    /// Takes a record into its queue. Whether that is full now.
    fn take(&mut self, lane: Lane, message: &BorrowedMessage<'_>, partitions: usize, parts: &Parts) -> bool {
        let queue = self.slice.queue(lane);
        if message.offset() < queue.read_to() {
            return false;
        }
        let record = record_of(message);
        if let Some(key) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok())
            && partition_of(key, partitions) as i32 != message.partition()
        {
            parts.metrics.misplaced();
        }
        queue.push(record);
        let (records, bytes) = queue.waiting();
        (records >= parts.cluster.settings.buffer_records || bytes >= QUEUE_BYTES) && !self.is_paused[lane as usize]
    }

    fn work(&mut self, batch: &mut Batch, deferring: bool, vectors: bool, metrics: &KafkaMetrics) {
        self.tended.begin();
        let mut worked = self.slice.work(batch, deferring, vectors);
        metrics.worked(self.slice.partition, &worked);
        self.outputs.append(&mut worked.outputs);
        self.stuck_until = worked.stuck.map(|error| {
            tracing::error!(%error, partition = self.slice.partition, "records wait for the state");
            Instant::now() + AGAIN_AFTER
        });
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.slice.is_idle()
            && self.stuck_until.is_none_or(|until| until <= now)
            && !self.slice.store.is_far_over_budget()
    }

    fn see_end(&mut self, lane: Lane, end: Option<i64>, position: Option<i64>) {
        let queue = self.slice.queue(lane);
        if let Some(position) = position {
            queue.pass_to(position);
        }
        queue.is_at_end = end.is_some_and(|end| queue.read_to().max(position.unwrap_or(0)) >= end);
        if let Some(end) = end {
            self.ends[lane as usize] = end;
        }
    }

    fn forget_ends(&mut self) {
        Lane::ALL.into_iter().for_each(|lane| self.slice.queue(lane).is_at_end = false);
    }

    fn is_uncommitted(&self) -> bool {
        self.tended.settled().is_none()
            || self.slice.next().iter().zip(&self.committed).any(|(next, known)| next > known)
    }

    /// Everything is committed.
    fn settle(&mut self) {
        self.outputs.clear();
        let next = self.slice.next();
        self.committed = [0, 1, 2].map(|lane| next[lane].max(self.committed[lane]));
        self.tended.commit(positions(next));
    }

    /// Whether all that was committed before has made state.
    fn has_caught_up(&self) -> bool {
        self.slice.next().iter().zip(&self.committed).all(|(next, committed)| next >= committed)
    }

    fn lag(&self) -> [u64; 3] {
        let next = self.slice.next();
        [0, 1, 2].map(|lane| u64::try_from(self.ends[lane] - next[lane]).unwrap_or(0))
    }
}

/// Where the state of a slice rests.
pub fn state_directory(store: &config::Store, partition: i32) -> PathBuf {
    store.directory.join(format!("partition-{partition}"))
}

/// How far state goes that was made of everything before these offsets.
pub(super) fn positions(next: [i64; 3]) -> Positions {
    let position = |lane: Lane| Position(u64::try_from(next[lane as usize]).unwrap_or(0));
    Positions { log: position(Lane::Events), applications: position(Lane::Applications) }
}

/// A record with bytes of its own.
pub(super) fn record_of(message: &BorrowedMessage<'_>) -> Record {
    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
        (header.key.into(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
    };
    Record {
        offset: message.offset(),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map_or_else(Vec::new, |headers| headers.iter().map(header).collect()),
    }
}

/// What a poll says instead of a record. librdkafka heals nearly everything by itself.
fn hear(error: &KafkaError) -> Result<(), String> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Err(format!(
            "records were dropped by the topic's retention before they were read ({error}); start with `--accept-data-loss` \
             to go on from the oldest that is left"
        )),
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(error.to_string()),
        _ => {
            tracing::debug!(%error, "kafka");
            Ok(())
        }
    }
}
