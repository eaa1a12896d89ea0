//! Entries that were submitted together, each on its own way to a partition or into the outbox; the receipt is fulfilled when the
//! last of them is settled.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::log::{Accepted, Entry, LogError, Receipt, Settled};

/// Entries that were submitted together.
pub struct Submission {
    state: Mutex<State>,
    /// Whether somebody waits until they are state.
    pub until_applied: bool,
}

struct State {
    settled: Vec<Option<Result<Accepted, LogError>>>,
    open: usize,
    receipt: Option<oneshot::Sender<Settled>>,
}

/// One of them, on its way. Dropped without being settled, with all others, it leaves a receipt that says so.
pub struct Ticket {
    pub submission: Arc<Submission>,
    pub place: usize,
    /// What is kept on this machine should no broker take it.
    pub keep: Option<Entry>,
    /// What it takes of the room for what waits.
    pub bytes: usize,
}

impl Submission {
    /// So many entries, and the receipt for all.
    pub fn new(entries: usize, until_applied: bool) -> (Arc<Self>, Receipt) {
        let (sender, receiver) = oneshot::channel();
        let state = State { settled: vec![None; entries], open: entries, receipt: Some(sender) };
        let submission = Self { state: Mutex::new(state), until_applied };
        if entries == 0 {
            submission.state.lock().finish();
        }
        (Arc::new(submission), Receipt(receiver))
    }
}

impl State {
    fn finish(&mut self) {
        let settled: Vec<_> = std::mem::take(&mut self.settled).into_iter().flatten().collect();
        // Of none of them: an error of the whole, which a client sends again as a whole.
        let whole = match settled.first() {
            Some(Err(error)) if settled.iter().all(Result::is_err) => Err(error.clone()),
            _ => Ok(settled),
        };
        if let Some(receipt) = self.receipt.take() {
            // Who does not wait for it has dropped the other end.
            let _ = receipt.send(whole);
        }
    }
}

impl Ticket {
    /// Says what became of the entry.
    pub fn settle(self, outcome: Result<Accepted, LogError>) {
        let mut state = self.submission.state.lock();
        state.settled[self.place] = Some(outcome);
        state.open -= 1;
        if state.open == 0 {
            state.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Taken;
    use crate::log::{Position, Stored};

    fn settled(outcomes: &[Option<u64>]) -> Settled {
        let (submission, receipt) = Submission::new(outcomes.len(), true);
        // In any order: here from the last.
        for (place, outcome) in outcomes.iter().enumerate().rev() {
            let ticket = Ticket { submission: submission.clone(), place, keep: None, bytes: 0 };
            let accepted =
                |offset| Accepted { position: Position(offset), stored: Stored::Outbox, outcome: Ok(Taken::New) };
            ticket.settle(outcome.map(accepted).ok_or(LogError::Busy));
        }
        receipt.wait()
    }

    #[test]
    fn each_entry_has_its_own_outcome_in_its_own_place() {
        let positions = |settled: Settled| -> Vec<_> {
            settled.unwrap().into_iter().map(|one| one.ok().map(|accepted| accepted.position.0)).collect()
        };
        assert_eq!(positions(settled(&[Some(7), None, Some(3)])), [Some(7), None, Some(3)]);
        assert_eq!(positions(settled(&[])), []);
    }

    #[test]
    fn what_failed_for_all_failed_as_a_whole() {
        assert!(matches!(settled(&[None, None]), Err(LogError::Busy)));
    }
}
