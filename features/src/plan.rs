//! A specification compiled: which window feeds which slot.
//!
//! All sliding windows end at `as_of`, so each is a prefix of the next longer one when events are taken newest first: one backward
//! scan serves them all, and the cost of a read does not grow with the number of windows (F3).

use crate::expression::Expression;
use crate::spec::{Aggregate, AggregateFeature, Definition, Specification, Window};
use crate::streams::{MAX_STREAMS, Streams, number, unit_of};

/// Why a valid specification cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Every stream costs a bit in each stored row.
    #[error(
        "the features use {0} different pairs of event type and `where` filter, at most {MAX_STREAMS} are possible"
    )]
    TooManyStreams(usize),
}

/// A compiled specification: applies events and reads vectors.
#[derive(Debug)]
pub struct FeaturePlan {
    specification: Specification,
    pub(crate) streams: Streams,
    /// Windows that end at `as_of` and differ in their lower edge only.
    pub(crate) suffixes: Vec<WindowPlan>,
    /// Windows whose edges have to be looked for or that end before `as_of`.
    pub(crate) ranges: Vec<WindowPlan>,
    pub(crate) derived: Vec<Derived>,
    application_units: Vec<f64>,
}

/// A window and the features it feeds.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    pub(crate) window: Window,
    pub(crate) emissions: Vec<Emission>,
}

/// One aggregate of one window.
#[derive(Debug)]
pub(crate) struct Emission {
    /// Index of the feature.
    pub(crate) feature: usize,
    pub(crate) aggregate: Aggregate,
    pub(crate) stream: usize,
    pub(crate) measure: Option<usize>,
    /// Index into [`Streams::distinct`].
    pub(crate) distinct: Option<usize>,
    /// 10^scale of the field.
    pub(crate) unit: f64,
    pub(crate) default: f64,
}

/// A feature made of others.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) feature: usize,
    pub(crate) expression: Expression,
    pub(crate) default: f64,
}

impl FeaturePlan {
    /// Compiles a specification.
    pub fn compile(specification: Specification) -> Result<Self, PlanError> {
        let streams = Streams::of(&specification)?;
        let mut plan = Self {
            application_units: specification.application.fields.iter().map(|field| unit_of(&field.kind)).collect(),
            streams,
            suffixes: Vec::new(),
            ranges: Vec::new(),
            derived: Vec::new(),
            specification,
        };
        for (index, feature) in plan.specification.features.iter().enumerate() {
            let default = feature.default.unwrap_or(f64::NAN);
            match &feature.definition {
                Definition::Expression(expression) => {
                    plan.derived.push(Derived { feature: index, expression: expression.clone(), default });
                }
                Definition::Aggregate(aggregate) => {
                    let emission = plan.streams.emission(&plan.specification, aggregate, index, default);
                    let windows = if is_suffix(&aggregate.window) { &mut plan.suffixes } else { &mut plan.ranges };
                    match windows.iter_mut().find(|known| shares(known, &aggregate.window, emission.stream)) {
                        Some(known) => known.emissions.push(emission),
                        None => windows.push(WindowPlan { window: aggregate.window, emissions: vec![emission] }),
                    }
                }
            }
        }
        Ok(plan)
    }

    /// The specification it was compiled from.
    pub fn specification(&self) -> &Specification {
        &self.specification
    }

    /// How many features a vector has.
    pub fn width(&self) -> usize {
        self.specification.features.len()
    }

    /// The features' names in vector order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.specification.features.iter().map(|feature| feature.name.as_str())
    }

    /// Whether the feature can be NaN in a vector: it has no default, and its value can be missing.
    pub fn may_be_missing(&self, feature: usize) -> bool {
        let feature = &self.specification.features[feature];
        feature.default.is_none()
            && match &feature.definition {
                Definition::Expression(_) => true,
                Definition::Aggregate(aggregate) => !matches!(
                    aggregate.aggregate,
                    Aggregate::Count | Aggregate::Sum | Aggregate::Distinct | Aggregate::Rate
                ),
            }
    }

    /// Slots that an expression sees: the application's fields, then the features.
    pub(crate) fn slots(&self) -> usize {
        self.application_units.len() + self.width()
    }

    /// Writes the application's fields into the first slots.
    pub(crate) fn fill_application(&self, values: &[i64], slots: &mut [f64]) {
        for ((slot, &unit), &value) in slots.iter_mut().zip(&self.application_units).zip(values) {
            *slot = number(value, unit);
        }
    }

    /// Where the features begin among the slots.
    pub(crate) fn first_feature_slot(&self) -> usize {
        self.application_units.len()
    }
}

pub(crate) fn aggregates(specification: &Specification) -> impl Iterator<Item = &AggregateFeature> {
    specification.features.iter().filter_map(|feature| match &feature.definition {
        Definition::Aggregate(aggregate) => Some(aggregate),
        Definition::Expression(_) => None,
    })
}

fn is_suffix(window: &Window) -> bool {
    matches!(window, Window::Sliding(_) | Window::Lifetime | Window::Calendar { previous: false, .. })
}

/// Sessions are found stream by stream; every other window is the same for all streams.
fn shares(known: &WindowPlan, window: &Window, stream: usize) -> bool {
    known.window == *window
        && (!matches!(window, Window::Session { .. }) || known.emissions.iter().all(|other| other.stream == stream))
}
