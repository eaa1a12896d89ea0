//! Scoring with real bundles, without HTTP or a disk.

use cauce_model::onnx::OnnxModel;

use super::*;
use crate::config::Durability;
use crate::degrade::REASONS;
use crate::ingest::tests::{Fixture, bundle};

/// 2026-01-15T14:00:00Z.
const AS_OF: Timestamp = Timestamp::from_millis(1_768_485_600_000);

/// A scorer of the default bundle, with the model of that bundle or of another.
fn scorer(model_of: &str) -> (Scorer, Fixture) {
    let fixture = Fixture::new(100, Durability::Relaxed);
    let model = OnnxModel::new(&bundle(model_of)).unwrap();
    let Fixture { histories, ingest, bundle, .. } = &fixture;
    let guards = Arc::new(Guards::for_tests());
    let (batch, ladder) = (Batch::new(bundle.clone(), model), Ladder::new(guards));
    (Scorer { histories: histories.clone(), ingest: ingest.clone(), batch, ladder }, fixture)
}

/// Everything is allowed, and there is an hour.
fn terms(as_of: Timestamp) -> Terms {
    let deadline = Deadline { started: Instant::now(), budget: Duration::from_secs(3600), is_short: false };
    Terms { as_of, deadline, rungs: Rungs::ALL, access: Access::Here }
}

/// Scores without an L2.
fn decide<'s>(scorer: &'s mut Scorer, of: &(Application, Posted), terms: &Terms) -> Decision<'s> {
    match scorer.score(&of.0, || of.1.clone(), terms, &mut |_| Instant::now()).unwrap() {
        Progress::Scored(decision, _) => decision,
        Progress::Asking(_) => panic!("there is no L2"),
    }
}

fn reasons(decision: &Decision<'_>) -> Vec<&'static str> {
    decision.made.reasons.places().map(|place| REASONS[place].1).collect()
}

fn application(scorer: &Scorer, person: &str, id: &str) -> (Application, Posted) {
    let person = if person.is_empty() { String::new() } else { format!(r#""person_id": "{person}", "#) };
    let fields = r#"{"monthly_income": 1200.5, "amount": 5000, "credit_score": 640}"#;
    let json = format!(r#"{{{person}"application_id": "{id}", "application": {fields}}}"#);
    let application = Application::from_json(scorer.batch.bundle.plan().specification(), json.as_bytes(), id).unwrap();
    (application, Posted::Envelope(json.into()))
}

fn score(scorer: &mut Scorer, person: &str, id: &str, as_of: Timestamp) -> (Mode, bool, History, f32) {
    let application = application(scorer, person, id);
    let decision = decide(scorer, &application, &terms(as_of));
    (decision.made.mode, decision.recorded, decision.history, decision.score.unwrap().probability_of_default)
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
    let (decisions, _) = many.score_all(batch, &terms(AS_OF), &mut |_| Instant::now()).unwrap();
    assert!(decisions.iter().all(|decision| decision.recorded && !decision.history.known));
    let single = score(&mut one, "c-1", "c-1", AS_OF).3;
    assert!(decisions.iter().all(|decision| decision.score.unwrap().probability_of_default == single));
}

#[test]
fn the_scorecard_answers_where_the_model_cannot() {
    let (mut scorer, fixture) = scorer("taiwan");
    let application = application(&scorer, "c-1", "1");
    let decision = decide(&mut scorer, &application, &terms(AS_OF));
    assert_eq!((decision.made.mode, reasons(&decision)), (Mode::Fallback, vec!["model_failed"]));
    let expected = fixture.bundle.scorecard().probability(decision.vector);
    assert_eq!(decision.score.unwrap().probability_of_default, expected);
}

#[test]
fn without_a_model_the_last_score_of_the_same_application_answers_with_its_age() {
    let (mut well, _fixture) = scorer("ahorro-valle");
    let application = application(&well, "c-1", "1");
    let first = decide(&mut well, &application, &terms(AS_OF)).score.unwrap().probability_of_default;
    let (mut broken, _other) = scorer("taiwan");
    // The same process, with its caches; only the session is broken. There is more history now, and so another vector.
    broken.ladder = well.ladder;
    score(&mut broken, "c-1", "0", AS_OF);
    let later = Timestamp::from_millis(AS_OF.millis() + 90_000);
    let decision = decide(&mut broken, &application, &terms(later));
    assert_eq!((decision.made.mode, reasons(&decision)), (Mode::Cached, vec!["model_failed"]));
    assert_eq!(decision.made.age, Some(Duration::from_secs(90)));
    assert_eq!(decision.score.unwrap().probability_of_default, first);
}

#[test]
fn who_may_have_a_model_or_nobody_is_referred() {
    let (mut scorer, _fixture) = scorer("taiwan");
    let application = application(&scorer, "c-1", "1");
    let terms = Terms { rungs: Rungs::parse("full refer").unwrap(), ..terms(AS_OF) };
    let decision = decide(&mut scorer, &application, &terms);
    assert_eq!((decision.made.mode, decision.score), (Mode::Refer, None));
    assert!(decision.recorded, "it is part of the history all the same");
}

#[test]
fn a_history_that_cannot_be_read_is_not_taken_for_none() {
    let (mut scorer, fixture) = scorer("ahorro-valle");
    let application = application(&scorer, "c-1", "1");
    let terms = Terms { access: Access::Unavailable(Reason::HistoryUnavailable), ..terms(AS_OF) };
    let decision = decide(&mut scorer, &application, &terms);
    assert_eq!((decision.made.mode, reasons(&decision)), (Mode::Fallback, vec!["history_unavailable"]));
    assert!(!decision.recorded && !decision.history.known);
    assert_eq!(fixture.store.people(), 0);
}

#[test]
fn a_request_without_time_costs_nothing_more_and_says_so() {
    let (mut scorer, _fixture) = scorer("ahorro-valle");
    let application = application(&scorer, "c-1", "1");
    let deadline = Deadline { started: Instant::now(), budget: Duration::ZERO, is_short: false };
    let decision = decide(&mut scorer, &application, &Terms { deadline, ..terms(AS_OF) });
    assert_eq!((decision.made.mode, reasons(&decision)), (Mode::Refer, vec!["out_of_time"]));
}

/// S3: whatever was asked before and in whichever order, an answer from the cache has the bits of a recomputation.
#[test]
fn a_cache_hit_has_the_bits_of_a_recomputation() {
    let (mut cached, _fixture) = scorer("ahorro-valle");
    let mut state = 7_u64;
    for round in 0..600 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let amount = 1_000 + (state >> 33) % 40;
        let json =
            format!(r#"{{"application": {{"monthly_income": 1200.5, "amount": {amount}, "credit_score": 640}}}}"#);
        let specification = cached.batch.bundle.plan().specification();
        let id = round.to_string();
        let application = Application::from_json(specification, json.as_bytes(), &id).unwrap();
        let of = (application, Posted::Envelope(json.into()));
        let decision = decide(&mut cached, &of, &terms(AS_OF));
        let (mode, vector) = (decision.made.mode, decision.vector.to_vec());
        let served = decision.score.unwrap().probability_of_default;
        let computed = cached.batch.model.probabilities(&vector).unwrap()[0];
        assert_eq!((mode, served.to_bits()), (Mode::Full, computed.to_bits()), "{amount}");
    }
    let status = cached.ladder.cache_status();
    assert_eq!((status.hits[0], status.misses[0]), (560, 40));
}

#[test]
fn stages_are_over_in_order() {
    let ((mut scorer, _fixture), mut stages) = (scorer("ahorro-valle"), Vec::new());
    let (application, posted) = application(&scorer, "c-1", "1");
    let mut lap = |stage| {
        stages.push(stage);
        Instant::now()
    };
    scorer.score(&application, || posted, &terms(AS_OF), &mut lap).unwrap();
    assert_eq!(stages, [Stage::Features, Stage::Model, Stage::Cache, Stage::Ledger]);
}
