//! Another bundle in place of the one in service, and back, while requests are answered.
//!
//! Read [`Reloader::reload`] from top to bottom: the bundle is loaded on trial in a child process ([`trial`]), whose end by any limit is a
//! refusal like another; it must read the histories that are held; it is then loaded here, if its hash is still the one that was
//! tried; a warmed session is made for each thread; and the slot is swapped. Whatever fails before that leaves what is served as it is
//! and says why (M1). Nothing here runs on a thread that answers requests, and one reload runs at a time (S5).
//!
//! Going back does not wait for a reload under way: that one finds itself overtaken and is dropped.

pub mod place;
pub mod trial;
pub mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cauce_model::bundle::{Bundle, Limits};
use parking_lot::{Mutex, MutexGuard};
use rustix::process::nice;

use crate::config;
use crate::metrics::Metrics;
use crate::serving::{Serving, Slot, Swapped};
use trial::{NICENESS, Sound};

/// Changes what is served.
pub struct Reloader {
    settings: config::Model,
    slot: Arc<Slot>,
    /// How many threads need a session.
    seats: usize,
    metrics: Arc<Metrics>,
    one_at_a_time: Mutex<()>,
    stopping: AtomicBool,
}

/// What became of a reload that was not refused.
#[derive(Debug)]
pub struct Reloaded {
    pub outcome: Outcome,
    pub old: Arc<Bundle>,
    pub new: Arc<Bundle>,
    pub took: Took,
}

/// How a reload or a rollback ended, as metrics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Swapped,
    /// The very bundle is in service already: nothing was done, so that the one before it can still be gone back to.
    Unchanged,
    Refused,
    RolledBack,
}

/// Where the time of a reload went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    pub trial: Duration,
    pub load: Duration,
    pub warm: Duration,
    pub swap: Duration,
}

/// Why what is served stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("another reload is under way; ask again when it is over")]
    InProgress,
    #[error("`path` must name a bundle directory below `{below}`, beside the configured one")]
    Elsewhere { below: String },
    #[error("{0}")]
    Refused(String),
    #[error("no bundle was served before this one, or it was gone back to already")]
    NoPrevious,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Swapped, Self::Unchanged, Self::Refused, Self::RolledBack];

    /// As it stands in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl Reloader {
    /// For a slot at which so many threads have seats.
    pub fn new(settings: config::Model, slot: Arc<Slot>, seats: usize, metrics: Arc<Metrics>) -> Self {
        let (one_at_a_time, stopping) = (Mutex::new(()), AtomicBool::new(false));
        Self { settings, slot, seats, metrics, one_at_a_time, stopping }
    }

    /// Serves the bundle in a directory that a client names, or else the configured one, unless another reload is under way.
    pub fn reload_asked(&self, path: Option<&str>) -> Result<Reloaded, ReloadError> {
        let directory = match path {
            None => self.settings.bundle.clone(),
            Some(path) => place::admitted(path, &self.settings.bundle)
                .map_err(|below| ReloadError::Elsewhere { below: below.display().to_string() })?,
        };
        let turn = self.one_at_a_time.try_lock().ok_or(ReloadError::InProgress)?;
        self.reload(turn, &directory)
    }

    /// Serves what is in the configured directory now, once a reload under way is over.
    pub fn reload_configured(&self) -> Result<Reloaded, ReloadError> {
        self.reload(self.one_at_a_time.lock(), &self.settings.bundle)
    }

    /// Serves the bundle before this one again.
    pub fn roll_back(&self) -> Result<Swapped, ReloadError> {
        let swapped = self.slot.roll_back().ok_or(ReloadError::NoPrevious)?;
        self.metrics.reloaded(Outcome::RolledBack);
        tracing::warn!(
            version = swapped.new.version(),
            hash = swapped.new.hash(),
            left = swapped.old.hash(),
            "rolled back: a start serves what is in `model.bundle`"
        );
        Ok(swapped)
    }

    /// Ends a trial under way.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The settings it works by.
    pub fn settings(&self) -> &config::Model {
        &self.settings
    }

    fn reload(&self, _turn: MutexGuard<'_, ()>, directory: &Path) -> Result<Reloaded, ReloadError> {
        let reloaded = self.exchange(directory).map_err(ReloadError::Refused);
        self.metrics.reloaded(reloaded.as_ref().map_or(Outcome::Refused, |reloaded| reloaded.outcome));
        match &reloaded {
            Ok(Reloaded { outcome: Outcome::Unchanged, new, .. }) => {
                tracing::info!(hash = new.hash(), "this bundle is in service already");
            }
            Ok(Reloaded { old, new, took, .. }) => {
                let (trial_ms, swap_us) = (took.trial.as_millis(), took.swap.as_micros());
                let (version, hash, left) = (new.version(), new.hash(), old.hash());
                tracing::info!(name = new.name(), version, hash, left, trial_ms, swap_us, "bundle swapped");
            }
            Err(reason) => {
                let serving = self.slot.bundle();
                tracing::error!(path = %directory.display(), %reason, serving = serving.hash(), "bundle refused: the old one serves on");
            }
        }
        reloaded
    }

    /// The reload itself; an error is the reason why the bundle is refused.
    fn exchange(&self, directory: &Path) -> Result<Reloaded, String> {
        let (since, old, mut watch) = (self.slot.generation(), self.slot.bundle(), Watch(Instant::now()));
        let tried = trial::hold(directory, &self.settings, &self.stopping)?;
        let mut took = Took { trial: watch.lap(), ..Took::default() };
        if tried.hash == old.hash() && self.slot.generation() == since {
            return Ok(Reloaded { outcome: Outcome::Unchanged, new: old.clone(), old, took });
        }
        same_histories(&tried, &old.specification_hash())?;
        let serving = self.prepare(directory, &tried.hash, &mut watch, &mut took)?;
        let swapped = self.slot.swap(serving, since);
        let Swapped { old, new } =
            swapped.map_err(|_overtaken| "the service was rolled back while this bundle was tried".to_owned())?;
        took.swap = watch.lap();
        Ok(Reloaded { outcome: Outcome::Swapped, old, new, took })
    }

    /// Loads and warms what was tried, behind whatever requests need: on a thread of its own, since its priority goes with it.
    fn prepare(&self, directory: &Path, hash: &str, watch: &mut Watch, took: &mut Took) -> Result<Serving, String> {
        let work = || {
            if let Err(error) = nice(NICENESS) {
                tracing::debug!(%error, "a bundle is prepared at the priority of requests");
            }
            // What was not tried must not come near ONNX Runtime, however the files change meanwhile.
            let bundle = Bundle::load_expected(directory, &Limits::default(), hash);
            let bundle = bundle.map_err(|error| error.to_string())?;
            took.load = watch.lap();
            let serving = Serving::prepare(Arc::new(bundle), self.seats).map_err(|error| error.to_string())?;
            took.warm = watch.lap();
            Ok(serving)
        };
        thread::scope(|scope| {
            let prepared = thread::Builder::new().name("cauce-reload".into()).spawn_scoped(scope, work);
            let prepared = prepared.map_err(|error| error.to_string())?.join();
            prepared.map_err(|_| "a defect was met while it was loaded; the log has where".to_owned())?
        })
    }
}

/// Histories are packed under the specification in service: a bundle with another one would read them wrongly.
pub fn same_histories(tried: &Sound, expected: &str) -> Result<(), String> {
    if tried.specification == expected {
        return Ok(());
    }
    Err(format!(
        "its feature specification is another one (`{}`) than that of the bundle in service (`{expected}`), under which people's \
         histories are kept: start the service once with this bundle and `--rebuild-state`",
        tried.specification
    ))
}

/// Time by step.
struct Watch(Instant);

impl Watch {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
