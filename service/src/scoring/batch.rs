//! Rows that are scored together: read one after the other, run through the model at once.

use std::sync::Arc;

use cauce_features::application::Application;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use cauce_features::vector::Scratch;
use cauce_model::bundle::Bundle;
use cauce_model::onnx::{ModelError, OnnxModel};

use super::{Decision, History, Made};
use crate::serving::{Seat, Slot};
use crate::store::{StateError, Store};

/// Rows of one run of the model; more cost no less a row.
const RUN_ROWS: usize = 1_000;

/// Applications that are scored in one run of the model: the model's session and the working memory are one thread's own.
pub struct Batch {
    /// Where it learns that another bundle is served; without, it keeps to its own.
    pub(super) seat: Option<Seat>,
    pub(super) bundle: Arc<Bundle>,
    pub(super) model: OnnxModel,
    pub(super) scratch: Scratch,
    /// Vectors of the applications being scored, one after another.
    pub(super) rows: Vec<f32>,
    pub(super) probabilities: Vec<f32>,
    /// The history of people of whom nothing is known.
    pub(super) nobody: Timeline,
}

impl Batch {
    /// A batch for one thread, of this bundle for good.
    pub fn new(bundle: Arc<Bundle>, model: OnnxModel) -> Self {
        let (scratch, nobody) = (bundle.plan().scratch(), Timeline::default());
        Self { seat: None, bundle, model, scratch, rows: Vec::new(), probabilities: Vec::new(), nobody }
    }

    /// A batch for one thread, of the bundle that is served.
    pub fn seated(slot: &Arc<Slot>) -> Result<Self, ModelError> {
        let (seat, bundle, model) = Seat::take(slot)?;
        Ok(Self { seat: Some(seat), ..Self::new(bundle, model) })
    }

    /// Goes on with the bundle that is served now, whose rows are read anew; whether it is another.
    pub fn follow(&mut self) -> bool {
        let Some(bundle) = self.seat.as_mut().and_then(|seat| seat.follow(&mut self.model)) else { return false };
        self.clear();
        self.scratch = bundle.plan().scratch();
        self.bundle = bundle;
        true
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.probabilities.clear();
    }

    /// Reads an application's vector, as of an instant, into the next row.
    pub fn read(&mut self, store: &Store, application: &Application, as_of: Timestamp) -> Result<History, StateError> {
        let read = self.next_row(application, as_of, |plan, look| store.read(plan, application.person(), look));
        read.inspect_err(|_| self.forget_last())
    }

    /// The same where the history is in memory; `None`, and no row, where it is not.
    pub(super) fn read_here(&mut self, store: &Store, application: &Application, as_of: Timestamp) -> Option<History> {
        let read = self.next_row(application, as_of, |_, look| store.read_here(application.person(), look).ok_or(()));
        read.inspect_err(|()| self.forget_last()).ok()
    }

    pub(super) fn read_nobody(&mut self, application: &Application, as_of: Timestamp) -> History {
        let Ok(history) = self.next_row(application, as_of, |_, look| Ok::<_, std::convert::Infallible>(look(None)));
        history
    }

    /// Makes room for a row and fills it from the timeline that `find` shows to what looks at it.
    pub(super) fn next_row<E>(
        &mut self,
        application: &Application,
        as_of: Timestamp,
        find: impl FnOnce(&FeaturePlan, &mut dyn FnMut(Option<&Timeline>) -> History) -> Result<History, E>,
    ) -> Result<History, E> {
        let Self { bundle, scratch, rows, nobody, .. } = self;
        let (plan, row) = (bundle.plan(), rows.len());
        rows.resize(row + plan.width(), f32::NAN);
        find(plan, &mut |timeline| {
            let (known, timeline) = (timeline.is_some(), timeline.unwrap_or(nobody));
            History { known, facts: plan.vector_into(timeline, application, as_of, scratch, &mut rows[row..]) }
        })
    }

    /// How many rows were read.
    pub fn count(&self) -> usize {
        self.rows.len() / self.bundle.plan().width()
    }

    /// Lets go of the row that was read last.
    pub fn forget_last(&mut self) {
        self.rows.truncate(self.rows.len().saturating_sub(self.bundle.plan().width()));
    }

    /// Probabilities of default for all rows, from the model or else from the scorecard, however long it takes.
    pub fn infer(&mut self) -> Made {
        match self.run() {
            Ok(()) => Made::FULL,
            Err(error) => {
                tracing::error!(%error, "the model failed: the scorecard answers");
                self.fall_back();
                Made::FAILED
            }
        }
    }

    /// The model's probabilities for all rows.
    pub(super) fn run(&mut self) -> Result<(), ModelError> {
        self.probabilities.clear();
        for rows in self.rows.chunks(RUN_ROWS * self.bundle.plan().width()) {
            self.probabilities.extend_from_slice(self.model.probabilities(rows)?);
        }
        Ok(())
    }

    /// The scorecard's probabilities for all rows.
    pub(super) fn fall_back(&mut self) {
        let scorecard = self.bundle.scorecard();
        let rows = self.rows.chunks_exact(self.bundle.plan().width());
        self.probabilities.clear();
        self.probabilities.extend(rows.map(|row| scorecard.probability(row)));
    }

    /// What was decided of a row.
    pub fn decision(&self, row: usize, history: History, made: Made, recorded: bool) -> Decision<'_> {
        let width = self.bundle.plan().width();
        let score = self.probabilities.get(row).map(|probability| self.bundle.policy().score(*probability));
        Decision { score, made, history, recorded, vector: &self.rows[row * width..][..width] }
    }

    /// What is served.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }
}
