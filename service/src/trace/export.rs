//! The way of recordings out: a bounded queue, and one thread that posts what is in it, by OTLP over HTTP.
//!
//! Whoever answers a request never waits for it: where the queue is full, or the receiver refuses or is not there, recordings are dropped
//! and counted (S5). Nothing is tried twice, since a trace is worth less than the memory of all those behind it.

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ureq::Agent;
use ureq::http::header::CONTENT_TYPE;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Recording, otlp};
use crate::config;
use crate::metrics::trace::TraceMetrics;
use crate::outgoing;

/// How long recordings wait for others to leave with, unless so many are there before.
const EVERY: Duration = Duration::from_secs(1);
const BATCH: usize = 256;
/// How long the receiver may take, and how much of its answer is read.
const PATIENCE: Duration = Duration::from_secs(3);
const ANSWER_BYTES: u64 = 64 * 1024;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(
        "`tracing.headers` names the environment variable `{0}`, which is not set: `name=value,name=value` is expected in it"
    )]
    NoVariable(String),
    /// What stands there is a secret.
    #[error("the environment variable `{0}` must hold headers written `name=value,name=value`")]
    NotHeaders(String),
    #[error("cannot start the thread that exports traces: {0}")]
    Thread(#[from] std::io::Error),
}

/// Exports recordings.
pub struct Exporter {
    waiting: Mutex<Waiting>,
    /// There is enough for a batch, or it is time to stop.
    wake: Condvar,
    /// The last batch has left.
    done: Condvar,
    most: usize,
    metrics: TraceMetrics,
}

#[derive(Default)]
struct Waiting {
    recordings: Vec<Recording>,
    is_stopping: bool,
    is_done: bool,
}

/// Where recordings go.
struct Receiver {
    agent: Agent,
    address: String,
    headers: HeaderMap,
    service: String,
    /// Whether the last export failed: only a change is worth a line.
    is_down: bool,
}

impl Exporter {
    /// Starts the thread.
    pub fn start(config: &config::Tracing, metrics: TraceMetrics) -> Result<Arc<Self>, ExportError> {
        let receiver = Receiver::new(config)?;
        let exporter = Arc::new(Self::new(config.queue, metrics));
        let exporting = exporter.clone();
        thread::Builder::new().name("cauce-traces".into()).spawn(move || exporting.run(receiver))?;
        Ok(exporter)
    }

    fn new(most: usize, metrics: TraceMetrics) -> Self {
        Self { waiting: Mutex::default(), wake: Condvar::new(), done: Condvar::new(), most, metrics }
    }

    /// Takes a recording, unless too many wait.
    pub fn push(&self, recording: Recording) {
        let mut waiting = self.waiting.lock();
        if waiting.recordings.len() >= self.most {
            self.metrics.dropped.increment(1);
            return;
        }
        waiting.recordings.push(recording);
        self.metrics.waiting.set(waiting.recordings.len() as f64);
        if waiting.recordings.len() == BATCH {
            self.wake.notify_one();
        }
    }

    /// Has the rest exported, and waits for that so long at most.
    pub fn stop(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut waiting = self.waiting.lock();
        waiting.is_stopping = true;
        self.wake.notify_one();
        while !waiting.is_done && !self.done.wait_until(&mut waiting, until).timed_out() {}
    }

    fn run(&self, mut receiver: Receiver) {
        while let Some(batch) = self.take() {
            let count = batch.len() as u64;
            match batch.is_empty() || receiver.post(&batch) {
                true => self.metrics.exported.increment(count),
                false => self.metrics.dropped.increment(count),
            }
        }
        self.waiting.lock().is_done = true;
        self.done.notify_all();
    }

    /// The next batch, perhaps of none; `None` if nothing will come any more.
    fn take(&self) -> Option<Vec<Recording>> {
        let until = Instant::now() + EVERY;
        let mut waiting = self.waiting.lock();
        while waiting.recordings.len() < BATCH && !waiting.is_stopping {
            if self.wake.wait_until(&mut waiting, until).timed_out() {
                break;
            }
        }
        let count = waiting.recordings.len().min(BATCH);
        let batch: Vec<_> = waiting.recordings.drain(..count).collect();
        self.metrics.waiting.set(waiting.recordings.len() as f64);
        (!waiting.is_stopping || !batch.is_empty()).then_some(batch)
    }

    /// One whose recordings go nowhere.
    #[cfg(test)]
    pub fn idle() -> Arc<Self> {
        let (counter, waiting) = (metrics::Counter::noop, metrics::Gauge::noop());
        let metrics = TraceMetrics { exported: counter(), dropped: counter(), waiting };
        Arc::new(Self::new(1, metrics))
    }
}

impl Receiver {
    fn new(config: &config::Tracing) -> Result<Self, ExportError> {
        let headers = match &config.headers[..] {
            "" => HeaderMap::new(),
            variable => {
                let text = env::var(variable).map_err(|_| ExportError::NoVariable(variable.to_owned()))?;
                headers(&text).ok_or_else(|| ExportError::NotHeaders(variable.to_owned()))?
            }
        };
        let (address, service) = (config.otlp.clone(), config.service.clone());
        Ok(Self { agent: outgoing::client(PATIENCE).build().into(), address, headers, service, is_down: false })
    }

    /// Whether it has them now.
    fn post(&mut self, recordings: &[Recording]) -> bool {
        let mut request = self.agent.post(&self.address).header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let posted = request.send(otlp::encode(&self.service, recordings)).map(|mut answer| {
            // Read to its end, the connection can be used again; what it says changes nothing.
            let _ = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        });
        match (&posted, self.is_down) {
            (Err(error), false) => tracing::warn!(%error, "traces cannot be exported: they are dropped until they can"),
            (Ok(_), true) => tracing::info!("traces are exported again"),
            _ => {}
        }
        self.is_down = posted.is_err();
        posted.is_ok()
    }
}

/// Headers written `name=value,name=value`.
fn headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(name.trim()).ok()?, value))
    };
    pairs.map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_apart_by_commas() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("x-key=a=b, authorization = Bearer c", Some(vec![("x-key", "a=b"), ("authorization", "Bearer c")])),
            ("x-key", None),
            ("x key=a", None),
        ] {
            let read = headers(text).map(|headers| {
                let pairs = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
                pairs.collect::<Vec<_>>()
            });
            let expected = expected.map(|expected: Vec<(&str, &str)>| {
                expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
            });
            assert_eq!(read, expected, "{text}");
        }
    }
}
