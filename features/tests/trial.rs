//! The engine beside the oracle: one specification, a timeline and a list of events, read at an instant.

use std::cell::RefCell;
use std::cmp::Ordering;

use cauce_features::application::Application;
use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::{Applied, Timeline};
use cauce_features::vector::{FeatureVector, Scratch};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::histories::History;
use crate::model::Model;
use crate::oracle;

/// Runs a property over so many generated cases.
pub(crate) fn holds<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: std::fmt::Debug,
{
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let Err(failure) = TestRunner::new(config).run(&strategy, property) {
        panic!("{failure}");
    }
}

/// A specification, as the oracle and as the engine know it.
pub(crate) struct Trial {
    pub(crate) model: Model,
    pub(crate) plan: FeaturePlan,
    /// One for all reads of a trial: what a read leaves behind must not reach the next.
    scratch: RefCell<Scratch>,
}

impl Trial {
    pub(crate) fn of(model: Model) -> Self {
        let plan = model.plan();
        let scratch = RefCell::new(plan.scratch());
        Self { model, plan, scratch }
    }

    /// The timeline of these events, applied in this order.
    pub(crate) fn timeline<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Timeline {
        let mut timeline = Timeline::default();
        for event in events {
            timeline.apply(&self.plan, event);
        }
        timeline
    }

    pub(crate) fn read(&self, timeline: &Timeline, application: &Application, as_of_ms: i64) -> FeatureVector {
        let mut values = vec![0.0; self.plan.width()];
        let as_of = Timestamp::from_millis(as_of_ms);
        let scratch = &mut self.scratch.borrow_mut();
        let facts = self.plan.vector_into(timeline, application, as_of, scratch, &mut values);
        FeatureVector { values, facts }
    }

    /// Every read of the history says what the oracle says of the same events.
    pub(crate) fn agrees(&self, timeline: &Timeline, history: &History) -> TestCaseResult {
        history
            .reads_ms
            .iter()
            .try_for_each(|&as_of_ms| self.agrees_at(timeline, &history.events, &history.application, as_of_ms))
    }

    /// One read says what the oracle says of these events.
    pub(crate) fn agrees_at(
        &self,
        timeline: &Timeline,
        events: &[Event],
        application: &Application,
        as_of_ms: i64,
    ) -> TestCaseResult {
        let read = self.read(timeline, application, as_of_ms);
        let fresh = self.plan.vector(timeline, application, Timestamp::from_millis(as_of_ms));
        self.same(&read.values, &fresh.values, "used and fresh working memory")?;
        prop_assert_eq!(read.facts, fresh.facts);
        let truth = oracle::vector(&self.model, events, application, as_of_ms);
        self.same(&read.values, &truth, &format!("at {as_of_ms}, engine and oracle"))?;
        let newest = oracle::visible(&self.model, events, application, as_of_ms).last().map(|event| event.time());
        prop_assert_eq!(read.facts.newest_event, newest, "the newest event that the read saw");
        prop_assert!(!read.facts.truncated && !read.facts.coarse, "nothing was evicted or coarsened");
        Ok(())
    }

    /// Two vectors are the same bits, missing equal to missing.
    pub(crate) fn same(&self, left: &[f32], right: &[f32], what: &str) -> TestCaseResult {
        prop_assert_eq!(left.len(), right.len());
        let differ = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
        let names = left.iter().zip(right).zip(&self.model.features).filter(|(values, _)| differ(*values));
        let wrong: Vec<_> = names.map(|((a, b), feature)| format!("`{}` is {a:?}, {b:?}", feature.name)).collect();
        prop_assert!(wrong.is_empty(), "{what} differ: {}", wrong.join("; "));
        Ok(())
    }

    /// The events that a timeline holds: of one identity the greater, as the timeline itself tells when it is asked about those
    /// two alone.
    pub(crate) fn settled(&self, events: &[Event]) -> Vec<Event> {
        let mut settled: Vec<Event> = Vec::new();
        for event in events {
            let identity = |event: &Event| (event.time(), event.id());
            match settled.iter_mut().find(|known| identity(known) == identity(event)) {
                None => settled.push(event.clone()),
                Some(known) if self.rank(known, event) == Ordering::Less => *known = event.clone(),
                Some(_) => {}
            }
        }
        settled
    }

    /// Which of two contents of one identity stands, told by the snapshot of a timeline of both.
    fn rank(&self, known: &Event, other: &Event) -> Ordering {
        let alone = self.timeline([known]).encode(&self.plan);
        let mut both = self.timeline([known]);
        match both.apply(&self.plan, other) {
            Applied::Duplicate => Ordering::Equal,
            Applied::Conflict { replaced } => {
                assert_eq!(both.encode(&self.plan) != alone, replaced, "what is said is what happened");
                if replaced { Ordering::Less } else { Ordering::Greater }
            }
            unexpected => panic!("{unexpected:?} for a second event of one identity"),
        }
    }
}
