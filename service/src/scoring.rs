//! An application's way to a score: history, features, model, decision, record. Read it from top to bottom.
//!
//! An application is scored against the history as it stands before it is recorded, and is then an event of that history
//! itself, which the log keeps. The model decides; if it cannot, the scorecard does, and the answer says so. Everything a score depends
//! on is an argument: neither HTTP nor a clock is known here, and even the stop-watch is the caller's.

use std::sync::Arc;

use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use cauce_features::vector::{ReadFacts, Scratch};
use cauce_model::bundle::Bundle;
use cauce_model::onnx::{ModelError, OnnxModel};
use cauce_model::score::Score;
use serde::Serialize;

use crate::ingest::{Ingest, Posted};
use crate::log::Receipt;
use crate::serving::{Seat, Slot};
use crate::store::{Histories, StateError, Store};

pub mod answer;

/// Rows of one run of the model; more cost no less a row.
const RUN_ROWS: usize = 1_000;

/// Scores applications on one thread and records them.
pub struct Scorer {
    histories: Arc<Histories>,
    ingest: Arc<Ingest>,
    batch: Batch,
}

/// Applications that are scored in one run of the model: the model's session and the working memory are one thread's own.
pub struct Batch {
    /// Where it learns that another bundle is served; without, it keeps to its own.
    seat: Option<Seat>,
    bundle: Arc<Bundle>,
    model: OnnxModel,
    scratch: Scratch,
    /// Vectors of the applications being scored, one after another.
    rows: Vec<f32>,
    probabilities: Vec<f32>,
    /// The history of people of whom nothing is known.
    nobody: Timeline,
}

/// A score and what it rests on.
#[derive(Debug)]
pub struct Decision<'scorer> {
    pub score: Score<'scorer>,
    pub mode: Mode,
    pub history: History,
    /// Whether the application is part of the person's history now.
    pub recorded: bool,
    /// What the model was given.
    pub vector: &'scorer [f32],
}

/// What the features rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Whether anything was known of the person before.
    pub known: bool,
    pub facts: ReadFacts,
}

/// Which rung of the ladder gave the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The model, on the full history.
    Full,
    /// The scorecard, since the model failed.
    Fallback,
}

/// What time is measured of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Parse,
    Features,
    Model,
    Record,
}

impl Scorer {
    /// A scorer for one thread, of the bundle that is served.
    pub fn new(slot: &Arc<Slot>, histories: Arc<Histories>, ingest: Arc<Ingest>) -> Result<Self, ModelError> {
        Ok(Self { histories, ingest, batch: Batch::seated(slot)? })
    }

    /// Goes on with the bundle that is served now. Between two requests, never within one.
    pub fn follow(&mut self) {
        self.batch.follow();
    }

    /// What scores until it follows again.
    pub fn bundle(&self) -> &Arc<Bundle> {
        self.batch.bundle()
    }

    /// Scores one application. `done` is told when a stage is over. With a receipt, it is recorded once that says so.
    pub fn score(
        &mut self,
        application: &Application,
        posted: Posted,
        as_of: Timestamp,
        mut done: impl FnMut(Stage),
    ) -> Result<(Decision<'_>, Option<Receipt>), StateError> {
        self.batch.clear();
        let history = self.read(application, as_of)?;
        done(Stage::Features);
        let mode = self.batch.infer();
        done(Stage::Model);
        let recording = self.ingest.record(vec![(application, posted)], as_of);
        done(Stage::Record);
        Ok((self.batch.decision(0, history, mode, recording.recorded[0]), recording.receipt))
    }

    /// Scores many in one run of the model, each against its history as it stood before any of them.
    pub fn score_all(
        &mut self,
        applications: Vec<(&Application, Posted)>,
        as_of: Timestamp,
        mut done: impl FnMut(Stage),
    ) -> Result<(Vec<Decision<'_>>, Option<Receipt>), StateError> {
        self.batch.clear();
        let mut histories = Vec::with_capacity(applications.len());
        for (application, _) in &applications {
            histories.push(self.read(application, as_of)?);
        }
        done(Stage::Features);
        let mode = self.batch.infer();
        done(Stage::Model);
        let recording = self.ingest.record(applications, as_of);
        done(Stage::Record);
        let outcomes = histories.into_iter().zip(recording.recorded).enumerate();
        let decisions = outcomes.map(|(row, (history, recorded))| self.batch.decision(row, history, mode, recorded));
        Ok((decisions.collect(), recording.receipt))
    }

    fn read(&mut self, application: &Application, as_of: Timestamp) -> Result<History, StateError> {
        // Nobody in particular has no history anywhere.
        if application.person().is_empty() {
            return Ok(self.batch.read_nobody(application, as_of));
        }
        self.batch.read(&*self.histories.of(application.person())?, application, as_of)
    }
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

    /// Goes on with the bundle that is served now, whose rows are read anew.
    pub fn follow(&mut self) {
        let Some(bundle) = self.seat.as_mut().and_then(|seat| seat.follow(&mut self.model)) else { return };
        self.clear();
        self.scratch = bundle.plan().scratch();
        self.bundle = bundle;
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Reads an application's vector, as of an instant, into the next row.
    pub fn read(&mut self, store: &Store, application: &Application, as_of: Timestamp) -> Result<History, StateError> {
        let Self { bundle, scratch, rows, nobody, .. } = self;
        let (plan, row) = (bundle.plan(), rows.len());
        rows.resize(row + plan.width(), f32::NAN);
        let read = store.read(plan, application.person(), |timeline| {
            let (known, timeline) = (timeline.is_some(), timeline.unwrap_or(nobody));
            History { known, facts: plan.vector_into(timeline, application, as_of, scratch, &mut rows[row..]) }
        });
        read.inspect_err(|_| self.rows.truncate(row))
    }

    /// Lets go of the row that was read last.
    pub fn forget_last(&mut self) {
        self.rows.truncate(self.rows.len().saturating_sub(self.bundle.plan().width()));
    }

    fn read_nobody(&mut self, application: &Application, as_of: Timestamp) -> History {
        let Self { bundle, scratch, rows, nobody, .. } = self;
        let (plan, row) = (bundle.plan(), rows.len());
        rows.resize(row + plan.width(), f32::NAN);
        History { known: false, facts: plan.vector_into(nobody, application, as_of, scratch, &mut rows[row..]) }
    }

    /// Probabilities of default for all rows, from the model or else from the scorecard.
    pub fn infer(&mut self) -> Mode {
        let width = self.bundle.plan().width();
        self.probabilities.clear();
        for rows in self.rows.chunks(RUN_ROWS * width) {
            match self.model.probabilities(rows) {
                Ok(probabilities) => self.probabilities.extend_from_slice(probabilities),
                Err(error) => {
                    tracing::error!(%error, "the model failed: the scorecard answers");
                    let scorecard = self.bundle.scorecard();
                    self.probabilities.clear();
                    self.probabilities.extend(self.rows.chunks_exact(width).map(|row| scorecard.probability(row)));
                    return Mode::Fallback;
                }
            }
        }
        Mode::Full
    }

    /// What was decided of a row.
    pub fn decision(&self, row: usize, history: History, mode: Mode, recorded: bool) -> Decision<'_> {
        let width = self.bundle.plan().width();
        let score = self.bundle.policy().score(self.probabilities[row]);
        Decision { score, mode, history, recorded, vector: &self.rows[row * width..][..width] }
    }

    /// What is served.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Durability;
    use crate::ingest::tests::{Fixture, bundle};

    /// 2026-01-15T14:00:00Z.
    const AS_OF: Timestamp = Timestamp::from_millis(1_768_485_600_000);

    /// A scorer of the default bundle, with the model of that bundle or of another.
    fn scorer(model_of: &str) -> (Scorer, Fixture) {
        let fixture = Fixture::new(100, Durability::Relaxed);
        let model = OnnxModel::new(&bundle(model_of)).unwrap();
        let Fixture { histories, ingest, bundle, .. } = &fixture;
        let batch = Batch::new(bundle.clone(), model);
        (Scorer { histories: histories.clone(), ingest: ingest.clone(), batch }, fixture)
    }

    fn application(scorer: &Scorer, person: &str, id: &str) -> (Application, Posted) {
        let person = if person.is_empty() { String::new() } else { format!(r#""person_id": "{person}", "#) };
        let fields = r#"{"monthly_income": 1200.5, "amount": 5000, "credit_score": 640}"#;
        let json = format!(r#"{{{person}"application_id": "{id}", "application": {fields}}}"#);
        let application =
            Application::from_json(scorer.batch.bundle.plan().specification(), json.as_bytes(), id).unwrap();
        (application, Posted::Envelope(json.into()))
    }

    fn score(scorer: &mut Scorer, person: &str, id: &str, as_of: Timestamp) -> (Mode, bool, History, f32) {
        let (application, posted) = application(scorer, person, id);
        let decision = scorer.score(&application, posted, as_of, |_| ()).unwrap().0;
        (decision.mode, decision.recorded, decision.history, decision.score.probability_of_default)
    }

    #[test]
    fn an_application_is_part_of_the_history_of_the_next_one_but_not_of_its_own() {
        let (mut scorer, _fixture) = scorer("ahorro-valle");
        for (later_ms, known, newest) in [(0, false, None), (1000, true, Some(AS_OF))] {
            let as_of = Timestamp::from_millis(AS_OF.millis() + later_ms);
            let (mode, recorded, history, _) = score(&mut scorer, "c-1", "1", as_of);
            assert_eq!((mode, recorded), (Mode::Full, true));
            assert_eq!((history.known, history.facts.newest_event), (known, newest));
        }
    }

    #[test]
    fn an_application_of_nobody_is_scored_and_not_recorded() {
        let (mut scorer, fixture) = scorer("ahorro-valle");
        let (_, recorded, history, _) = score(&mut scorer, "", "1", AS_OF);
        assert!(!recorded && !history.known);
        assert_eq!(fixture.store.people(), 0);
    }

    #[test]
    fn a_batch_is_scored_against_the_histories_before_it_with_the_bits_of_single_scores() {
        let ((mut one, _one), (mut many, _many)) = (scorer("ahorro-valle"), scorer("ahorro-valle"));
        let read = ["c-1", "c-2", "c-1"].map(|person| application(&many, person, person));
        let batch = read.iter().map(|(application, _)| (application, Posted::Envelope("{}".into()))).collect();
        let (decisions, _) = many.score_all(batch, AS_OF, |_| ()).unwrap();
        assert!(decisions.iter().all(|decision| decision.recorded && !decision.history.known));
        let single = score(&mut one, "c-1", "c-1", AS_OF).3;
        assert!(decisions.iter().all(|decision| decision.score.probability_of_default == single));
    }

    #[test]
    fn the_scorecard_answers_where_the_model_cannot() {
        let (mut scorer, fixture) = scorer("taiwan");
        let (application, posted) = application(&scorer, "c-1", "1");
        let decision = scorer.score(&application, posted, AS_OF, |_| ()).unwrap().0;
        assert_eq!(decision.mode, Mode::Fallback);
        let expected = fixture.bundle.scorecard().probability(decision.vector);
        assert_eq!(decision.score.probability_of_default, expected);
    }

    #[test]
    fn every_stage_is_over_once_and_in_order() {
        let ((mut scorer, _fixture), mut stages) = (scorer("ahorro-valle"), Vec::new());
        let (application, posted) = application(&scorer, "c-1", "1");
        scorer.score(&application, posted, AS_OF, |stage| stages.push(stage)).unwrap();
        assert_eq!(stages, [Stage::Features, Stage::Model, Stage::Record]);
    }
}
