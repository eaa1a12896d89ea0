//! The supervision of a model's session: one that goes on failing is replaced by a new one, made beside requests, after pauses that double.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cauce_model::onnx::{ModelError, OnnxModel};
use parking_lot::Mutex;

use crate::scoring::{Batch, Guards};

/// A session that failed so often in a row is replaced.
const FAILURES_MOST: u32 = 3;

/// The pause before a session is replaced again: doubled each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Replacements in a row after which somebody has to look.
const CRASH_LOOP: u32 = 5;

/// The replacement of a session that goes on failing.
#[derive(Default)]
pub(super) struct Repair {
    failures: u32,
    replaced: u32,
    not_before: Option<Instant>,
    is_under_way: bool,
    made: Arc<Mutex<Option<Result<OnnxModel, ModelError>>>>,
}

impl Repair {
    /// A run gave probabilities.
    pub(super) fn went_well(&mut self) {
        (self.failures, self.replaced) = (0, 0);
    }

    /// Has a new session made once this one has failed too often.
    pub(super) fn failed(&mut self, batch: &Batch, guards: &Guards, now: Instant) {
        self.failures += 1;
        let too_soon = self.not_before.is_some_and(|not_before| now < not_before);
        if self.failures < FAILURES_MOST || self.is_under_way || too_soon {
            return;
        }
        self.replaced += 1;
        self.not_before = Some(now + (PAUSES.0 * 2u32.saturating_pow(self.replaced - 1)).min(PAUSES.1));
        guards.sessions_replaced.fetch_add(1, Ordering::Relaxed);
        // Nothing that this session said is trusted any more.
        guards.cache.distrust();
        if self.replaced >= CRASH_LOOP {
            tracing::error!(replaced = self.replaced, "new sessions go on failing");
        }
        let (bundle, made) = (batch.bundle.clone(), self.made.clone());
        let make = move || *made.lock() = Some(OnnxModel::new(&bundle));
        self.is_under_way = std::thread::Builder::new().name("cauce-session".into()).spawn(make).is_ok();
    }

    /// Takes the new session, if it is there.
    pub(super) fn settle(&mut self, batch: &mut Batch) {
        if !self.is_under_way {
            return;
        }
        let Some(made) = self.made.lock().take() else { return };
        (self.is_under_way, self.failures) = (false, 0);
        match made {
            Ok(model) => {
                tracing::warn!(replaced = self.replaced, "the model has a new session");
                batch.model = model;
            }
            Err(error) => tracing::error!(%error, "the model's session could not be made anew"),
        }
    }
}
