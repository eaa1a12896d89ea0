//! `/v1/people/{id}`: what is known of a person, as features, as the events that were posted, and all of it; and its erasure.
//!
//! No application stands behind the read of features: those that need one are null unless they have a default. What was posted is
//! read from the log ([`timeline`]).

mod erasure;
mod timeline;

use actix_web::web::{Path, Query};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use cauce_features::application::Application;
use cauce_features::event::EventId;
use cauce_features::fixed::MISSING;
use cauce_features::record::check_id;
use cauce_features::spec::{AggregateFeature, CalendarUnit, Definition, Feature, Specification, Window};
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::call::Call;
use super::routes::Endpoint;
use super::score::{HistoryAnswer, InstantText};
use super::waiting;
use crate::deadline::Work;
use crate::error::{ApiError, Code};
use crate::scoring::History;
pub use erasure::erase;
pub use timeline::{export, records_json, timeline};

/// The features of a person now, or as of the instant that `as_of` names.
pub async fn features(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::PersonFeatures);
    let read = read(&call, &request).await;
    call.answer(|_| read)
}

/// Whose address it is.
async fn person_of(request: &HttpRequest) -> Result<String, ApiError> {
    let person = Path::<String>::extract(request).await;
    let person = person.ok().map(Path::into_inner).filter(|person| check_id(person).is_ok());
    person.ok_or_else(|| {
        ApiError::new(Code::NotFound, "a person's id is text of 1 to 128 bytes without control characters")
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    as_of: Option<String>,
}

/// The instant that the query names, or now.
pub fn as_of(call: &Call, query: &str) -> Result<Timestamp, ApiError> {
    let wrong = || {
        ApiError::new(
            Code::InvalidQuery,
            "the only parameter is `as_of`, an instant such as `2026-01-15T14:00:00Z` (a `+` is written `%2B`)",
        )
    };
    match Query::<Parameters>::from_query(query).map_err(|_| wrong())?.into_inner().as_of {
        Some(text) => Timestamp::parse(&text).map_err(|_| wrong()),
        None => Ok(call.shared().clock.now()),
    }
}

async fn read(call: &Call, request: &HttpRequest) -> Result<Answer, ApiError> {
    let (person, (deadline, _)) = (person_of(request).await?, call.terms(request, Work::Query)?);
    let as_of = as_of(call, request.query_string())?;
    waiting::bring(call, std::iter::once(&person[..]), deadline).await.here()?;
    call.attempt(|call| features_of(call, &person, as_of))
}

fn features_of(call: &Call, person: &str, as_of: Timestamp) -> Result<Answer, ApiError> {
    let plan = call.shared().plan();
    let specification = plan.specification();
    let own = EventId::parse("no application").expect("a constant text is an id");
    let application = Application::new(person, own, vec![MISSING; specification.application.fields.len()]);
    let look = |timeline: Option<&Timeline>| Some(plan.vector(timeline?, &application, as_of));
    let vector = call.shared().histories.read_here(person, look)?;
    let vector = vector.ok_or_else(|| ApiError::new(Code::PersonUnknown, "no event of this person has been taken"))?;
    let features = specification.features.iter().zip(&vector.values);
    let document = FeaturesAnswer {
        request_id: call.request_id(),
        person_id: person,
        as_of: InstantText(as_of),
        history: HistoryAnswer::of(History { known: true, facts: vector.facts }, as_of),
        features: features.map(|(feature, value)| FeatureAnswer::new(specification, feature, *value)).collect(),
    };
    Ok(Answer::json(200, &document))
}

#[derive(Serialize)]
struct FeaturesAnswer<'a> {
    request_id: &'a str,
    person_id: &'a str,
    as_of: InstantText,
    history: HistoryAnswer,
    features: Vec<FeatureAnswer<'a>>,
}

#[derive(Serialize)]
struct FeatureAnswer<'a> {
    name: &'a str,
    /// Null where it is missing.
    value: f32,
    #[serde(flatten)]
    origin: Origin<'a>,
}

impl<'a> FeatureAnswer<'a> {
    fn new(specification: &'a Specification, feature: &'a Feature, value: f32) -> Self {
        Self { name: &feature.name, value, origin: Origin::of(specification, feature) }
    }
}

/// Where a feature comes from, for people to read.
#[derive(Serialize)]
pub struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<f64>,
}

impl<'a> Origin<'a> {
    /// The origin of a feature.
    pub fn of(specification: &'a Specification, feature: &'a Feature) -> Self {
        let default = feature.default;
        match &feature.definition {
            Definition::Expression(_) => Self { from: None, aggregate: None, field: None, window: None, default },
            Definition::Aggregate(AggregateFeature { from, field, aggregate, window, .. }) => {
                let source = &specification.events[*from];
                Self {
                    from: Some(&source.name),
                    aggregate: Some(snake_case(&format!("{aggregate:?}"))),
                    field: field.map(|field| source.record.fields[field].name.as_str()),
                    window: Some(window_text(window)),
                    default,
                }
            }
        }
    }
}

fn window_text(window: &Window) -> String {
    match window {
        Window::Sliding(span) => format!("sliding {span}"),
        Window::Session { gap, longest } => format!("session with gaps up to {gap}, at most {longest}"),
        Window::Calendar { unit, previous } => {
            let unit = match unit {
                CalendarUnit::Day => "day",
                CalendarUnit::Week => "week",
                CalendarUnit::Month => "month",
            };
            format!("{} calendar {unit}", if *previous { "previous" } else { "current" })
        }
        Window::Lifetime => "lifetime".to_owned(),
    }
}

/// `TimeSinceLast` as it is written in a specification.
fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (position, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && position > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_named_as_in_a_specification() {
        for (name, expected) in [("Count", "count"), ("TimeSinceLast", "time_since_last")] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
