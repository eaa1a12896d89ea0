//! All that happens at the bank, in order: slices of days are made by several threads and come out one behind the other.
//!
//! Memory holds a slice for each thread and no more, however long the history is: one has a quarter of a million person-days (or a day of
//! more people than that), which are some 100,000 records. Where days are large there are fewer threads, so that it is never more than
//! [`PERSON_DAYS_AT_ONCE`]: some hundreds of megabytes. The number of threads changes nothing in what comes out.

use std::ops::Range;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use cauce_features::time::Timestamp;

use super::error::Error;
use super::{Bank, Record};

/// Of a slice, where there are not more people.
const PERSON_DAYS: u64 = 1 << 18;
/// Of all slices that are made at the same time (S5); so many people there are at most.
pub(super) const PERSON_DAYS_AT_ONCE: u64 = 1 << 23;
/// Records that are handed over at once.
const PIECE: usize = 4_096;

/// What is to be made.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) bank: Bank,
    /// They have the numbers from 1 on.
    pub(super) people: u64,
    /// Of transactions: those that arrive later than they happen.
    pub(super) late_share: f64,
    pub(super) order: Order,
    pub(super) threads: usize,
}

/// By what the records within a slice are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Time,
    Arrival,
}

/// Some records in order, in the form that was asked for.
#[derive(Debug)]
pub(super) struct Piece<T> {
    pub(super) formed: T,
    /// Nothing that happens from here on is in its slice; what arrives may.
    pub(super) end: Timestamp,
    /// Of its slice.
    pub(super) is_last: bool,
}

impl Run {
    pub(super) fn slices(&self) -> u32 {
        self.bank.days().div_ceil(self.days_of_slice())
    }

    /// Makes everything. `form` runs on the threads that make it, `take` is given the pieces in order.
    pub(super) fn each<T: Send>(
        &self,
        form: impl Fn(&[Record]) -> T + Sync,
        mut take: impl FnMut(Piece<T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let threads = self.threads_at_once();
        thread::scope(|scope| {
            let (starts, turns): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel()).unzip();
            // The first number of the first slice; whoever goes is missed by the next one, so nobody waits for ever.
            let _ = starts[0].send(1);
            let mut pieces = Vec::new();
            for (thread, turn) in turns.into_iter().enumerate() {
                let (sender, receiver) = mpsc::sync_channel(2);
                let (next, form) = (starts[(thread + 1) % threads].clone(), &form);
                scope.spawn(move || self.work(thread, threads, &Relay { turn, next }, form, &sender));
                pieces.push(receiver);
            }
            drop(starts);
            in_order(self.slices() as usize, &pieces, &mut take)
        })
    }

    pub(super) fn threads_at_once(&self) -> usize {
        let slices = PERSON_DAYS_AT_ONCE / self.people.max(PERSON_DAYS);
        let most = slices.min(self.slices().into()).max(1) as usize;
        self.threads.clamp(1, most)
    }

    fn days_of_slice(&self) -> u32 {
        (PERSON_DAYS / self.people.max(1)).clamp(1, 30) as u32
    }

    /// Makes each slice that is this thread's turn.
    fn work<T: Send>(
        &self,
        thread: usize,
        threads: usize,
        relay: &Relay,
        form: &(impl Fn(&[Record]) -> T + Sync),
        out: &SyncSender<Piece<T>>,
    ) {
        let step = self.days_of_slice();
        for slice in (0..self.slices()).skip(thread).step_by(threads) {
            let days = slice * step..((slice + 1) * step).min(self.bank.days());
            let mut records = self.slice(days.clone());
            let Some(first) = relay.number(records.len() as u64) else { return };
            records.iter_mut().zip(first..).for_each(|(record, number)| record.number = number);
            if self.order == Order::Arrival {
                records.sort_by_key(|record| record.arrived_at);
            }
            let end = Timestamp::from_millis(self.bank.start.millis() + i64::from(days.end) * super::DAY_MS);
            let pieces = records.len().div_ceil(PIECE).max(1);
            for piece in 0..pieces {
                let records = &records[(piece * PIECE).min(records.len())..((piece + 1) * PIECE).min(records.len())];
                // Nobody takes them where something failed.
                let Ok(()) = out.send(Piece { formed: form(records), end, is_last: piece + 1 == pieces }) else {
                    return;
                };
            }
        }
    }

    /// What happens on these days, by time, then by person.
    fn slice(&self, days: Range<u32>) -> Vec<Record> {
        let mut records = Vec::new();
        for number in 1..=self.people {
            let person = self.bank.person(number);
            person.events(days.clone(), self.late_share, &mut records);
            person.applications(days.clone(), self.late_share, &mut records);
        }
        // It keeps the order of what one person does within a second.
        records.sort_by_key(|record| (record.time, record.person));
        records
    }
}

/// Numbers go from slice to slice, and so from thread to thread.
struct Relay {
    turn: Receiver<u64>,
    next: Sender<u64>,
}

impl Relay {
    /// The first of so many numbers; `None` if there are no more slices to come.
    fn number(&self, count: u64) -> Option<u64> {
        let first = self.turn.recv().ok()?;
        // The next one may be done already.
        let _ = self.next.send(first + count);
        Some(first)
    }
}

fn in_order<T>(
    slices: usize,
    pieces: &[Receiver<Piece<T>>],
    take: &mut impl FnMut(Piece<T>) -> Result<(), Error>,
) -> Result<(), Error> {
    for slice in 0..slices {
        while let Ok(piece) = pieces[slice % pieces.len()].recv() {
            let is_last = piece.is_last;
            take(piece)?;
            if is_last {
                break;
            }
        }
    }
    Ok(())
}
