//! The thread that reads, works and commits. Read [`Worker::round`] from top to bottom.
//!
//! One thread polls; a round of work is spread over the cores by slices and is bounded in records, and every question to the brokers in time, so
//! that polls come far more often than the group asks for. What cannot be worked off yet stays in bounded queues, and a lane whose queue is full is paused
//! until there is room.

mod commit;
mod control;
mod group;
mod lookout;
mod owned;
mod takeover;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::{Signal, getpid, kill_process};

use super::applied::Applied;
use super::tending::{Tended, Tending};
use super::{Cluster, ClusterError};
use crate::clock::Clock;
use crate::config;
use crate::metrics::kafka::KafkaMetrics;
use crate::scoring::Batch;
use crate::store::Histories;
use crate::stream::Lane;
use crate::stream::pressure::Pressure;
use crate::tally::Tally;
use commit::{CommitError, Committer};
pub use control::Control;
use group::Member;
use lookout::{Lookout, Topics};
use owned::Owned;
pub use owned::{reached, record_of, state_directory};
pub use takeover::open_slice;

/// How long a poll waits: with nothing to do, and while something waits for more.
const IDLE: Duration = Duration::from_millis(100);
const EAGER: Duration = Duration::from_millis(2);
/// The longest that records are gathered before they are worked off.
const GATHER: Duration = Duration::from_millis(50);
/// Bytes that wait at most in one lane of a slice.
const QUEUE_BYTES: usize = 32 << 20;
/// How often offsets are written that have not moved; brokers keep them for days.
const REFRESH_EVERY: Duration = Duration::from_secs(3600);
/// How often a warning is repeated.
const WARN_EVERY: Duration = Duration::from_secs(10);
const OBSERVE_EVERY: Duration = Duration::from_millis(250);
/// After a failure.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What the worker is made of.
pub struct Parts {
    pub cluster: Cluster,
    pub bundle: Arc<Bundle>,
    /// As many as there are threads to work.
    pub seats: Vec<Seat>,
    pub histories: Arc<Histories>,
    pub applied: Arc<Applied>,
    pub tending: Arc<Tending>,
    pub metrics: Arc<KafkaMetrics>,
    pub store: config::Store,
    pub clock: Clock,
    pub accept_data_loss: bool,
}

/// What one thread works with.
pub struct Seat {
    pub batch: Batch,
    pub tally: Tally,
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
    /// Whether the group has given anything yet, be it nothing.
    was_assigned: bool,
    /// Slices that are here and not this instance's: found at the start, or lost while no broker could be reached. They are read on, and
    /// taken up again where they stand.
    kept: BTreeMap<i32, Arc<Tended>>,
    /// When the lag of any slice was last seen, and what it was then.
    lag_seen: (Timestamp, i64),
    committed_at: Instant,
    observed_at: Instant,
    /// Since when what is done cannot be committed; it is tried again, and nothing new is done before.
    failing: Option<Instant>,
    /// When the offsets of all lanes were last written, moved or not.
    refreshed_at: Instant,
    /// When slices that could not be opened are tried again.
    open_after: Instant,
    warned_at: Option<Instant>,
}

impl Worker {
    /// Joins the group; `kept` are the slices that are here already.
    pub fn new(parts: Parts, control: Arc<Control>, kept: BTreeMap<i32, Arc<Tended>>) -> Result<Self, ClusterError> {
        let settings = &parts.cluster.settings;
        let member = group::join(&parts.cluster)
            .map_err(|cause| ClusterError::Client { doing: "cannot join the consumer group", cause })?;
        let lookout = lookout::connect(&parts.cluster)
            .map_err(|cause| ClusterError::Client { doing: "cannot make a Kafka client", cause })?;
        let now = Instant::now();
        Ok(Self {
            committer: Committer::new(parts.cluster.clone()),
            pressure: Pressure::new(settings.lag_high, settings.lag_low),
            topics: Arc::new(parts.cluster.topics()),
            member,
            lookout,
            control,
            slices: BTreeMap::new(),
            wanted: BTreeSet::new(),
            was_assigned: false,
            kept,
            lag_seen: (parts.clock.now(), 0),
            committed_at: now,
            observed_at: now,
            failing: None,
            refreshed_at: now,
            open_after: now,
            warned_at: None,
            parts,
        })
    }

    /// Until told to stop, or until it cannot go on.
    pub fn run(mut self) {
        let mut outcome = Ok(());
        while outcome.is_ok() && !self.control.is_stopping() {
            // A defect ends this thread in good order, or the group would wait for it for ever.
            let round = catch_unwind(AssertUnwindSafe(|| self.round()));
            outcome = round.unwrap_or_else(|_panic| Err("the thread that reads from Kafka met a defect".to_owned()));
        }
        match outcome {
            Ok(()) => self.leave(),
            Err(failure) => self.give_up(failure),
        }
    }

    /// Commits nothing more: what a round has left half done is made again, elsewhere or after a start.
    fn give_up(self, failure: String) {
        tracing::error!(failure, "the service stops: it cannot go on reading from Kafka");
        self.slices.values().for_each(|owned| owned.tended.end());
        self.control.fail(failure);
        // As an operator would: requests in flight are answered.
        let _ = kill_process(getpid(), Signal::TERM);
    }

    fn round(&mut self) -> Result<(), String> {
        self.read()?;
        self.carry_out_changes()?;
        if self.failing.is_none() && self.slices.values().any(|owned| !owned.slice.is_idle()) {
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

    /// Takes what has come, up to a round's worth.
    fn read(&mut self) -> Result<(), String> {
        let Self { parts, topics, member, slices, .. } = self;
        let (most, began, partitions) =
            (parts.cluster.settings.round_records, Instant::now(), parts.histories.partitions());
        let waits = slices.values().any(|owned| !owned.slice.is_idle() || owned.is_uncommitted());
        let mut patience = if waits { EAGER } else { IDLE };
        let (mut full, mut heard) = (Vec::new(), Vec::new());
        for _ in 0..most {
            match member.poll(patience) {
                Some(Ok(message)) => {
                    let lane = Lane::ALL.into_iter().find(|lane| topics[*lane as usize] == message.topic());
                    let (Some(lane), Some(owned)) = (lane, slices.get_mut(&message.partition())) else { continue };
                    if owned.take(lane, &message, partitions, parts) {
                        full.push((lane, message.partition()));
                    }
                }
                Some(Err(error)) => heard.push(error),
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
        heard.iter().try_for_each(|error| self.hear(error))
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
        // Between rounds only: a round is of one bundle, and what it has made is committed as it stands.
        for seat in &mut parts.seats {
            seat.batch.follow();
        }
        let settings = &parts.cluster.settings;
        let now = Instant::now();
        let mut due: Vec<&mut Owned> = slices.values_mut().filter(|owned| owned.is_due(now)).collect();
        due.sort_by_key(|owned| std::cmp::Reverse(owned.slice.waiting()));
        let rules = parts.cluster.rules(pressure.is_deferring(), settings.round_records.div_ceil(due.len().max(1)));
        let mut shares: Vec<Vec<&mut Owned>> = parts.seats.iter().map(|_| Vec::new()).collect();
        let count = shares.len();
        due.into_iter().enumerate().for_each(|(index, owned)| shares[index % count].push(owned));
        let (metrics, applied) = (&parts.metrics, &parts.applied);
        thread::scope(|scope| {
            for (seat, share) in parts.seats.iter_mut().zip(shares).filter(|(_, share)| !share.is_empty()) {
                scope.spawn(move || {
                    for owned in share {
                        owned.work(seat, &rules, metrics);
                        applied.advance(owned.slice.partition as usize, owned.slice.next()[Lane::Events as usize]);
                    }
                });
            }
        });
        let newest = self.slices.values_mut().filter_map(|owned| owned.slice.newest_event.take()).max();
        if let Some(newest) = newest {
            self.control.show_freshness(self.parts.clock.now().millis() - newest.millis());
        }
        let room = self.parts.cluster.settings.buffer_records / 2;
        let resumed = self.slices.iter_mut().flat_map(|(partition, owned)| {
            let roomy = Lane::ALL.into_iter().filter(|lane| owned.is_paused[*lane as usize]);
            let has_room = |(records, bytes)| records <= room && bytes <= QUEUE_BYTES / 2;
            let roomy: Vec<_> = roomy.filter(|lane| has_room(owned.slice.queue(*lane).waiting())).collect();
            roomy.into_iter().map(|lane| (lane, *partition))
        });
        for (lane, partition) in resumed.collect::<Vec<_>>() {
            self.pause(lane, partition, false);
        }
    }

    /// Scores leave at once; offsets alone may wait a little.
    fn is_commit_due(&self) -> bool {
        if let Some(since) = self.failing
            && since.elapsed() < AGAIN_AFTER
        {
            return false;
        }
        self.slices.values().any(|owned| !owned.outputs.is_empty())
            || self.refreshed_at.elapsed() >= REFRESH_EVERY
            || (self.committed_at.elapsed() >= self.parts.cluster.settings.commit_every.get()
                && self.slices.values().any(Owned::is_uncommitted))
    }

    /// Outputs and offsets of all slices, together. Of a slice that has moved, all lanes: the brokers forget offsets that are not written for
    /// days, of topics that the group has not subscribed to, and a lane without one would look as if nothing of it had ever been read.
    fn commit(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let is_refresh = self.refreshed_at.elapsed() >= REFRESH_EVERY;
        let (mut outputs, mut offsets) = (Vec::new(), TopicPartitionList::new());
        for (partition, owned) in &self.slices {
            outputs.extend(&owned.outputs);
            if !is_refresh && !owned.is_behind() {
                continue;
            }
            for (topic, next) in self.topics.iter().zip(owned.to_commit()) {
                offsets.add_partition_offset(topic, *partition, Offset::Offset(next)).expect("offsets are positive");
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
                self.failing = None;
                self.refreshed_at = if is_refresh { began } else { self.refreshed_at };
                let now = self.parts.clock.now();
                let oldest_as_of = self.parts.cluster.rules(false, 0).oldest_as_of;
                self.slices.values_mut().for_each(|owned| owned.settle(now, oldest_as_of));
                self.parts.metrics.committed(began.elapsed());
                Ok(())
            }
            Err(CommitError::Fenced(_)) => Err(committed.expect_err("it is one").to_string()),
            Err(error) => {
                tracing::warn!(%error, "the same is tried again");
                self.parts.metrics.commit_failed();
                self.failing = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Lag and mode, for whoever looks.
    fn observe(&mut self) {
        self.observed_at = Instant::now();
        // Nothing is read by it, but what it hears of the brokers would pile up.
        let _ = self.lookout.poll(Duration::ZERO);
        if !self.slices.is_empty() {
            self.look_at_ends();
        }
        let lag = self.look_at_lag();
        let has_caught_up = !self.slices.values().any(|owned| owned.slice.is_recovering());
        if self.was_assigned && self.wanted.is_empty() && has_caught_up {
            self.control.become_ready();
        }
        if self.pressure.observe(lag) {
            let deferring = self.pressure.is_deferring();
            self.control.defer(deferring);
            self.parts.metrics.mode(deferring);
            match deferring {
                true => {
                    tracing::warn!(lag, "only applications of high priority are scored for now");
                }
                false => tracing::info!(lag, "all applications are scored again"),
            }
        }
    }

    /// How many records wait in all, which is shown.
    fn look_at_lag(&mut self) -> u64 {
        let (mut lag, mut oldest_ms) = (0, 0);
        let now = self.parts.clock.now();
        for owned in self.slices.values_mut() {
            let behind = owned.lag();
            let waiting = behind[Lane::Events as usize] + behind[Lane::Applications as usize];
            lag += waiting;
            let waited_ms = owned.waited_ms(now);
            oldest_ms = oldest_ms.max(waited_ms);
            self.parts.metrics.observed(behind, waited_ms, &owned.slice);
        }
        match self.slices.is_empty() && !self.kept.is_empty() {
            // What is kept while no broker can be reached may be behind by so much more.
            true => oldest_ms = self.lag_seen.1 + (now.millis() - self.lag_seen.0.millis()).max(0),
            false => self.lag_seen = (now, oldest_ms),
        }
        self.control.show_lag(lag, oldest_ms);
        lag
    }

    /// What a poll says instead of a record. librdkafka heals nearly everything by itself, and says it again and again.
    fn hear(&mut self, error: &KafkaError) -> Result<(), String> {
        use RDKafkaErrorCode::{AllBrokersDown, AutoOffsetReset, BrokerTransportFailure, OffsetOutOfRange};
        match error.rdkafka_error_code() {
            Some(AutoOffsetReset | OffsetOutOfRange) => Err(format!(
                "what is to be read next is not there ({error}): records were dropped by a topic's retention before they were read, or the                  topic is another one; `--accept-data-loss` goes on from the oldest that is left"
            )),
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => Err(error.to_string()),
            Some(AllBrokersDown | BrokerTransportFailure) => {
                tracing::debug!(%error, "kafka");
                Ok(())
            }
            _ => {
                if self.warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    self.warned_at = Some(Instant::now());
                    tracing::warn!(%error, "kafka");
                }
                Ok(())
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

impl Drop for Worker {
    fn drop(&mut self) {
        // The member leaves the group when it is dropped, and would wait for somebody to carry that out.
        self.member.context().close();
    }
}
