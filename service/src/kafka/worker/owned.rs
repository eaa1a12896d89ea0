//! A slice that is this instance's: its records on their way, how far they are committed, and what is known of its topics' ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cauce_features::time::{Span, Timestamp};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::{AGAIN_AFTER, Parts, QUEUE_BYTES, Seat};
use crate::config;
use crate::kafka::partitioner::partition_of;
use crate::kafka::tending::Tended;
use crate::log::Position;
use crate::metrics::kafka::KafkaMetrics;
use crate::store::Positions;
use crate::stream::output::Output;
use crate::stream::{Lane, Record, Rules, Seen, Slice};

/// A slice that is this instance's.
pub(super) struct Owned {
    pub slice: Slice,
    pub tended: Arc<Tended>,
    pub committed: [i64; 3],
    pub ends: [i64; 3],
    pub is_paused: [bool; 3],
    /// Whether an application may wait for its score in the deferred lane.
    pub has_deferred: bool,
    /// What is not committed yet.
    pub outputs: Vec<Output>,
    pub wait: Wait,
    /// The state could not be read or written.
    pub stuck_until: Option<Instant>,
}

/// Since when records wait.
#[derive(Default)]
pub(super) struct Wait {
    looked_first_at: Option<Timestamp>,
    /// When it was last seen that nothing waits.
    caught_up_at: Option<Timestamp>,
}

impl Wait {
    /// By what is seen of the queues. A record that is not in hand came after the last that was worked off, and after it was seen that
    /// nothing waits; while brokers do not say where topics end, one may have come since they last did.
    fn ms(&mut self, queues: [Seen; 2], worked_off: Timestamp, now: Timestamp) -> i64 {
        let oldest = queues.iter().filter_map(|queue| queue.oldest).min();
        if queues.iter().all(|queue| queue.is_at_end && queue.oldest.is_none()) {
            self.caught_up_at = Some(now);
        }
        // Of a backlog that was there before anything was worked off, it is known how long it was seen to wait.
        let looked_first_at = *self.looked_first_at.get_or_insert(now);
        let came_after = self.caught_up_at.max((worked_off.millis() > 0).then_some(worked_off));
        let since = oldest.or(came_after).unwrap_or(looked_first_at);
        (now.millis() - since.millis()).max(0)
    }
}

impl Owned {
    /// Takes a record into its queue. Whether that is full now.
    pub fn take(&mut self, lane: Lane, message: &BorrowedMessage<'_>, partitions: usize, parts: &Parts) -> bool {
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

    pub fn work(&mut self, seat: &mut Seat, rules: &Rules, metrics: &KafkaMetrics) {
        self.tended.begin();
        let Seat { batch, tally } = seat;
        let mut worked = self.slice.work(batch, rules, &mut |application, decision, bundle| {
            tally.streamed(application, decision, bundle);
        });
        self.has_deferred |= worked.deferred > 0;
        metrics.worked(self.slice.partition, &worked);
        tally.worked(&worked);
        self.outputs.append(&mut worked.outputs);
        self.stuck_until = worked.stuck.map(|error| {
            tracing::error!(%error, partition = self.slice.partition, "records wait for the state");
            Instant::now() + AGAIN_AFTER
        });
    }

    pub fn is_due(&self, now: Instant) -> bool {
        !self.slice.is_idle()
            && self.stuck_until.is_none_or(|until| until <= now)
            && !self.slice.store.is_far_over_budget()
    }

    pub fn see_end(&mut self, lane: Lane, end: Option<i64>, position: Option<i64>) {
        let queue = self.slice.queue(lane);
        if let Some(position) = position {
            queue.pass_to(position);
        }
        queue.is_at_end = end.is_some_and(|end| queue.read_to().max(position.unwrap_or(0)) >= end);
        let is_at_end = queue.is_at_end && queue.waiting().0 == 0;
        if let Some(end) = end {
            self.ends[lane as usize] = end;
        }
        if lane == Lane::Deferred {
            // What was deferred in a round that is not committed cannot be seen yet.
            self.has_deferred = !is_at_end || (self.has_deferred && self.is_uncommitted());
        }
    }

    pub fn forget_ends(&mut self) {
        Lane::ALL.into_iter().for_each(|lane| self.slice.queue(lane).is_at_end = false);
    }

    pub fn is_uncommitted(&self) -> bool {
        self.tended.settled().is_none() || self.is_behind()
    }

    /// Whether more is worked off than is committed.
    pub fn is_behind(&self) -> bool {
        self.slice.next().iter().zip(&self.committed).any(|(next, known)| next > known)
    }

    /// By lane, what a commit says: never less than an earlier one.
    pub fn to_commit(&self) -> [i64; 3] {
        let next = self.slice.next();
        [0, 1, 2].map(|lane| next[lane].max(self.committed[lane]))
    }

    /// Everything is committed. Old events may go that no application can ask for any more, unless one waits for its score.
    pub fn settle(&mut self, now: Timestamp, oldest_as_of: Span) {
        self.outputs.clear();
        self.committed = self.to_commit();
        self.tended.commit(reached(self.slice.next()));
        if !self.has_deferred {
            let newest = self.slice.stream_time.min(now);
            self.tended.pass_to(Timestamp::from_millis(newest.millis() - oldest_as_of.millis()));
        }
    }

    /// For how long the oldest record has waited that is not worked off, at most.
    pub fn waited_ms(&mut self, now: Timestamp) -> i64 {
        const SHOWN: [Lane; 2] = [Lane::Events, Lane::Applications];
        let queues = SHOWN.map(|lane| self.slice.queue(lane).seen());
        self.wait.ms(queues, self.slice.stream_time, now)
    }

    pub fn lag(&self) -> [u64; 3] {
        let next = self.slice.next();
        [0, 1, 2].map(|lane| u64::try_from(self.ends[lane] - next[lane]).unwrap_or(0))
    }
}

/// Where the state of a slice rests.
pub fn state_directory(store: &config::Store, partition: i32) -> PathBuf {
    store.directory.join(format!("partition-{partition}"))
}

/// How far state goes that was made of everything before these offsets.
pub fn reached(next: [i64; 3]) -> Positions {
    let position = |lane: Lane| Position(u64::try_from(next[lane as usize]).unwrap_or(0));
    Positions { log: position(Lane::Events), applications: position(Lane::Applications) }
}

/// A record with bytes of its own.
pub fn record_of(message: &BorrowedMessage<'_>) -> Record {
    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
        (header.key.into(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
    };
    Record {
        offset: message.offset(),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0))
            .clamp(Timestamp::MIN, Timestamp::MAX),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map_or_else(Vec::new, |headers| headers.iter().map(header).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_END: Seen = Seen { oldest: None, is_at_end: true };
    /// Of a lane whose records are at the brokers, or of which they say nothing.
    const UNSEEN: Seen = Seen { oldest: None, is_at_end: false };

    /// What is seen, the newest that was worked off, when it is looked, and the seconds that are told.
    type Look = ([Seen; 2], Timestamp, i64, i64);

    fn in_hand(since_s: i64) -> Seen {
        Seen { oldest: Some(at(since_s)), is_at_end: true }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    #[test]
    fn wait_is_that_of_the_oldest_record_or_of_what_may_have_come_since_the_ends_were_known() {
        let never = at(0);
        // Looks one after the other.
        let cases: [(&str, &[Look]); 7] = [
            ("nothing waits", &[([AT_END, AT_END], never, 100, 0), ([AT_END, AT_END], never, 900, 0)]),
            ("in hand, by its own time", &[([in_hand(90), AT_END], never, 100, 10)]),
            ("the older of two", &[([in_hand(90), in_hand(70)], at(60), 100, 30)]),
            ("a backlog not read yet", &[([UNSEEN, AT_END], never, 100, 0), ([UNSEEN, AT_END], never, 107, 7)]),
            ("a backlog being worked off", &[([UNSEEN, AT_END], never, 100, 0), ([UNSEEN, AT_END], at(20), 101, 81)]),
            (
                "brokers that are gone",
                &[
                    ([AT_END, AT_END], at(50), 100, 0),
                    ([UNSEEN, UNSEEN], at(50), 130, 30),
                    ([AT_END, AT_END], at(50), 131, 0),
                ],
            ),
            ("a clock behind the brokers'", &[([in_hand(105), AT_END], never, 100, 0)]),
        ];
        for (name, looks) in cases {
            let mut wait = Wait::default();
            for (queues, worked_off, now, expected) in looks {
                assert_eq!(wait.ms(*queues, *worked_off, at(*now)), expected * 1000, "{name} at {now}");
            }
        }
    }
}
