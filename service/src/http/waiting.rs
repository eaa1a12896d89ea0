//! Everything that a request waits for beside its own thread, each wait ending with its budget (S1): histories that rest on disk,
//! scores that only L2 may have, records that are to be durable.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use actix_web::rt::time::timeout;
use actix_web::web::block;
use tokio::sync::Semaphore;
use tracing::Span;

use super::call::Call;
use crate::breaker::{Breaker, Outcome};
use crate::cache::{Cached, Fetched, Keys};
use crate::deadline::Deadline;
use crate::degrade::Reason;
use crate::error::{ApiError, Code};
use crate::ledger::{Begin, Fetch};
use crate::log::{Accepted, LogError, Receipt};
use crate::scoring::Access;
use crate::scoring::answer::Kept;
use crate::shelf;

/// How often people are brought into memory who have left it again by the time that they are to be read: where memory is very short.
const TRIES: usize = 4;

/// Has the histories of people in memory, as far as they are kept here. Those who are there already, as nearly all are, cost a look.
pub async fn bring(call: &Call, people: impl Iterator<Item = &str> + Clone, deadline: Deadline) -> Access {
    let histories = &call.shared().histories;
    for _ in 0..TRIES {
        let absent = people.clone().filter(|person| !histories.is_here(person));
        let absent: Vec<String> = absent.map(str::to_owned).collect();
        if absent.is_empty() {
            break;
        }
        if let Err(reason) = bring_absent(call, absent, deadline).await {
            return Access::Unavailable(reason);
        }
    }
    match call.shared().stream.as_ref().is_some_and(|stream| stream.is_deferring()) {
        true => Access::Stale,
        false => Access::Here,
    }
}

impl Access {
    /// For what cannot be done without the histories.
    pub fn here(self) -> Result<(), ApiError> {
        match self {
            Self::Here | Self::Stale => Ok(()),
            Self::Unavailable(_) => {
                let detail = "the history is on a disk that does not answer; ask again after `Retry-After`";
                Err(ApiError::new(Code::StateUnavailable, detail))
            }
        }
    }
}

async fn bring_absent(call: &Call, people: Vec<String>, deadline: Deadline) -> Result<(), Reason> {
    let shared = call.shared();
    let (histories, bundle) = (shared.histories.clone(), shared.started_with.clone());
    let read = move || {
        people.iter().try_for_each(|person| match histories.of(person) {
            Ok(store) => store.bring(bundle.plan(), person),
            // It went to another instance meanwhile, which the read will tell.
            Err(_) => Ok(()),
        })
    };
    match on_disk(call, &shared.guards.state, deadline, read).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!(%error, "histories cannot be read");
            Err(Reason::HistoryUnavailable)
        }
        Err(NotRead::LeftAlone) => Err(Reason::HistoryBreakerOpen),
        Err(NotRead::TooMany | NotRead::TooSlow | NotRead::Stopping) => Err(Reason::HistoryUnavailable),
    }
}

/// Asks L2 for a score.
pub async fn fetch(call: &Call, keys: Keys, deadline: Deadline) -> Option<(Cached, Fetched)> {
    let shared = call.shared();
    let (guards, now) = (shared.guards.clone(), shared.clock.now());
    let read = move || guards.cache.fetch(keys, now);
    match on_disk(call, &shared.guards.shelf, deadline, read).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the cache on disk cannot be read");
            None
        }
        Err(_) => None,
    }
}

/// Reads the answer that a request got before. Where the disk does not say in time whether there is one, neither a new answer nor the old
/// one would be right.
pub async fn repeat(call: &Call, fetch: Fetch, deadline: Deadline) -> Result<Begin, ApiError> {
    let shared = call.shared();
    let read = move || Ok::<_, Infallible>(fetch.read());
    match on_disk(call, &shared.guards.shelf, deadline, read).await {
        Ok(Ok(begin)) => Ok(begin),
        Err(_) => {
            let detail = "this may have been answered before, and the disk that knows does not answer; ask again after `Retry-After`";
            Err(ApiError::new(Code::StateUnavailable, detail))
        }
    }
}

/// Whether what was put on a shelf is there for good. The answer is written by then, and worth more than that: it leaves with time to spare.
pub async fn kept(call: &Call, receipt: shelf::Receipt, deadline: Deadline) -> bool {
    let patience = deadline.left(Instant::now()).saturating_sub(call.shared().guards.reserve * 2);
    let _due = call.worker().scorer.borrow().dues().wait(deadline.ends());
    matches!(timeout(patience, receipt.stored()).await, Ok(Ok(())))
}

/// Why the disk gave nothing.
enum NotRead {
    /// The breaker is open.
    LeftAlone,
    /// As many reads as may be are under way.
    TooMany,
    /// It did not answer in time.
    TooSlow,
    /// The service is about to end.
    Stopping,
}

/// Reads the disk, unless it is left alone.
async fn on_disk<T: Send + 'static, E: Send + 'static>(
    call: &Call,
    breaker: &Breaker,
    deadline: Deadline,
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<Result<T, E>, NotRead> {
    let began = Instant::now();
    if !breaker.admit(began) {
        return Err(NotRead::LeftAlone);
    }
    let outcome = on_thread(call, &call.shared().disk_reads, deadline, read).await;
    let now = Instant::now();
    let went = match &outcome {
        Ok(Ok(_)) => Outcome::Done(now - began),
        // Much at once is no fault of the disk; where it is, those that hold the permits will tell.
        Err(NotRead::TooMany) => Outcome::CutShort,
        Err(_) if deadline.is_short => Outcome::CutShort,
        Ok(Err(_)) | Err(_) => Outcome::Failed,
    };
    breaker.record(now, went);
    outcome
}

/// Does work on a thread that answers no requests. What stands still there holds a permit until it goes on, so that not more than these
/// threads wait for it.
async fn on_thread<T: Send + 'static>(
    call: &Call,
    permits: &Arc<Semaphore>,
    deadline: Deadline,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotRead> {
    let permit = permits.clone().try_acquire_owned().map_err(|_| NotRead::TooMany)?;
    let span = Span::current();
    let work = move || {
        let _permit = permit;
        span.in_scope(work)
    };
    let done = within(call, deadline, block(work)).await.ok_or(NotRead::TooSlow)?;
    done.map_err(|_stopping| NotRead::Stopping)
}

/// Waits for something as long as leaves time for an answer; `None` where that is not long enough. Meanwhile nothing on this thread may make the answer late.
async fn within<T>(call: &Call, deadline: Deadline, what: impl Future<Output = T>) -> Option<T> {
    let _due = call.worker().scorer.borrow().dues().wait(deadline.ends());
    timeout(deadline.patience(Instant::now(), call.shared().guards.reserve), what).await.ok()
}

/// Reads what is kept on disk beside the histories, on a thread that answers no requests.
pub async fn beside<T, E>(
    call: &Call,
    deadline: Deadline,
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    match on_thread(call, &call.shared().disk_queries, deadline, read).await {
        Ok(read) => Ok(read?),
        Err(NotRead::Stopping) => Err(ApiError::stopping()),
        Err(NotRead::TooMany) => {
            Err(ApiError::new(Code::LogSlow, "too many wait for the disk already; ask again after `Retry-After`"))
        }
        Err(NotRead::TooSlow | NotRead::LeftAlone) => {
            let detail = "what is asked for is on a disk that does not answer in time; ask again after `Retry-After`";
            Err(ApiError::new(Code::LogSlow, detail))
        }
    }
}

/// How scored applications are kept, once the log has answered for those that it has to.
pub async fn settle(call: &Call, receipt: Option<Receipt>, deadline: Deadline) -> Kept {
    let Some(receipt) = receipt else { return Kept::Relaxed };
    let settled = accepted(call, receipt, deadline).await;
    let reason = match settled {
        Ok(Ok(all)) if all.iter().all(Result::is_ok) => return Kept::Durable,
        Ok(_) => Reason::LogFailed,
        Err(NotAccepted::LeftAlone) => Reason::LogBreakerOpen,
        Err(NotAccepted::TooSlow) => Reason::LogSlow,
    };
    Kept::Unknown(reason)
}

/// What became of events, each on its own.
pub async fn durable(
    call: &Call,
    receipt: Receipt,
    deadline: Deadline,
) -> Result<Vec<Result<Accepted, LogError>>, ApiError> {
    let detail = "it is not known whether it is durable; send it again after `Retry-After`, an event counts once";
    match accepted(call, receipt, deadline).await {
        Ok(settled) => Ok(settled?),
        Err(NotAccepted::LeftAlone) => Err(ApiError::new(Code::LogUnavailable, detail)),
        Err(NotAccepted::TooSlow) => Err(ApiError::new(Code::LogSlow, detail)),
    }
}

/// Why the log gave no answer.
enum NotAccepted {
    LeftAlone,
    TooSlow,
}

async fn accepted(call: &Call, receipt: Receipt, deadline: Deadline) -> Result<crate::log::Settled, NotAccepted> {
    let (breaker, began) = (&call.shared().guards.log, Instant::now());
    if !breaker.admit(began) {
        return Err(NotAccepted::LeftAlone);
    }
    let settled = within(call, deadline, receipt.accepted()).await;
    let now = Instant::now();
    let is_failure = |one: &Result<Accepted, LogError>| matches!(one, Err(LogError::Unavailable(_) | LogError::Full));
    let went = match &settled {
        Some(Ok(all)) if !all.iter().any(is_failure) => Outcome::Done(now - began),
        None if deadline.is_short => Outcome::CutShort,
        Some(_) | None => Outcome::Failed,
    };
    breaker.record(now, went);
    settled.ok_or(NotAccepted::TooSlow)
}
