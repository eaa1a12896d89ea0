//! How far this instance has applied each partition of the events topic, and who waits for it.
//!
//! State in Kafka mode moves in the order of the topic, on the thread that consumes it. Whoever posted an event is answered once
//! that thread has come to it, or at once if the partition is another instance's.
//!
//! Keeps S5: so many may wait for a partition, and none longer than [`Applied::expire`] allows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Who may wait for one partition at once; whoever comes then is answered without waiting.
const MOST_WAITING: usize = 100_000;

/// The partitions of the events topic.
pub struct Applied {
    /// By number. A mutex is held for a few pointers; nobody is told anything under one.
    slices: Box<[Mutex<Slice>]>,
}

#[derive(Default)]
struct Slice {
    /// Whether this instance applies it.
    is_here: bool,
    /// The first offset that is not applied.
    next: i64,
    /// By the offset waited for, and a number that tells those apart who wait for the same.
    waiting: BTreeMap<(i64, u64), Waiter>,
    waited: u64,
}

struct Waiter {
    since: Instant,
    tell: Tell,
}

/// Is told whether what was waited for is applied here.
type Tell = Box<dyn FnOnce(bool) + Send>;

impl Applied {
    /// So many partitions, none of them here yet.
    pub fn new(partitions: usize) -> Self {
        Self { slices: (0..partitions).map(|_| Mutex::default()).collect() }
    }

    /// How many partitions there are, here or elsewhere.
    pub fn partitions(&self) -> usize {
        self.slices.len()
    }

    /// Tells `tell` true once everything up to and including an offset is applied here, and false once it is clear that it will not
    /// be, or not soon: at once where the partition is elsewhere.
    pub fn wait(&self, partition: usize, offset: i64, tell: impl FnOnce(bool) + Send + 'static) {
        let Some(slice) = self.slices.get(partition) else { return tell(false) };
        let mut slice = slice.lock();
        let is_applied = slice.is_here && slice.next > offset;
        if is_applied || !slice.is_here || slice.waiting.len() >= MOST_WAITING {
            drop(slice);
            return tell(is_applied);
        }
        slice.waited += 1;
        let key = (offset, slice.waited);
        slice.waiting.insert(key, Waiter { since: Instant::now(), tell: Box::new(tell) });
    }

    /// A partition is here, and applied up to an offset, exclusive: as of its assignment, and after each run of records.
    pub fn advance(&self, partition: usize, next_offset: i64) {
        let mut slice = self.slices[partition].lock();
        slice.is_here = true;
        slice.next = next_offset;
        let later = slice.waiting.split_off(&(next_offset, 0));
        let applied = std::mem::replace(&mut slice.waiting, later);
        drop(slice);
        tell_all(applied, true);
    }

    /// A partition is no longer here.
    pub fn release(&self, partition: usize) {
        let mut slice = self.slices[partition].lock();
        slice.is_here = false;
        let waiting = std::mem::take(&mut slice.waiting);
        drop(slice);
        tell_all(waiting, false);
    }

    /// Tells those who have waited for so long that they wait no more.
    pub fn expire(&self, older_than: Duration) {
        for slice in &self.slices {
            let mut slice = slice.lock();
            let late = |_: &(i64, u64), waiter: &mut Waiter| waiter.since.elapsed() > older_than;
            let expired: BTreeMap<_, _> = slice.waiting.extract_if(.., late).collect();
            drop(slice);
            tell_all(expired, false);
        }
    }

    /// The records of all partitions that are here, as far as they are applied.
    pub fn records(&self) -> u64 {
        let applied = |slice: &Mutex<Slice>| {
            let slice = slice.lock();
            if slice.is_here { slice.next.max(0) as u64 } else { 0 }
        };
        self.slices.iter().map(applied).sum()
    }
}

fn tell_all(waiters: BTreeMap<(i64, u64), Waiter>, is_applied: bool) {
    waiters.into_values().for_each(|waiter| (waiter.tell)(is_applied));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn wait(applied: &Applied, partition: usize, offset: i64) -> Receiver<bool> {
        let (sender, receiver) = channel();
        applied.wait(partition, offset, move |is_applied| sender.send(is_applied).unwrap());
        receiver
    }

    fn told(receiver: &Receiver<bool>) -> Option<bool> {
        receiver.try_recv().ok()
    }

    #[test]
    fn whoever_waits_is_told_once_their_offset_is_applied() {
        let applied = Applied::new(2);
        applied.advance(1, 5);
        let (before, at, behind) = (wait(&applied, 1, 4), wait(&applied, 1, 5), wait(&applied, 1, 6));
        assert_eq!([&before, &at, &behind].map(told), [Some(true), None, None]);
        applied.advance(1, 6);
        assert_eq!([&at, &behind].map(told), [Some(true), None]);
        assert_eq!(applied.records(), 6);
    }

    #[test]
    fn nobody_waits_for_a_partition_that_is_elsewhere() {
        let applied = Applied::new(1);
        assert_eq!([wait(&applied, 0, 0), wait(&applied, 7, 0)].map(|one| told(&one)), [Some(false), Some(false)]);
        applied.advance(0, 3);
        let waits = wait(&applied, 0, 3);
        applied.release(0);
        assert_eq!([waits, wait(&applied, 0, 0)].map(|one| told(&one)), [Some(false), Some(false)]);
        assert_eq!(applied.records(), 0);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let applied = Applied::new(1);
        applied.advance(0, 0);
        let waits = wait(&applied, 0, 0);
        applied.expire(Duration::from_secs(60));
        assert_eq!(told(&waits), None);
        applied.expire(Duration::ZERO);
        assert_eq!(told(&waits), Some(false));
    }
}
