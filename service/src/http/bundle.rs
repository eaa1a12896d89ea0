//! `GET /v1/bundle`: what is served, down to the features and their reasons.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::answer::Answer;
use super::call::Call;
use super::people::Origin;
use super::routes::Endpoint;
use super::score::BundleRef;

/// Describes the bundle.
pub async fn describe(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Bundle).answer(|call| {
        let (bundle, previous) = (call.shared().slot.bundle(), call.shared().slot.previous());
        let specification = bundle.plan().specification();
        let policy = bundle.policy();
        let features = specification.features.iter().enumerate().map(|(position, feature)| {
            let reason = bundle.reasons().of(position);
            FeatureAnswer {
                name: &feature.name,
                may_be_missing: bundle.plan().may_be_missing(position),
                reason_code: &reason.code,
                reason: &reason.text,
                origin: Origin::of(specification, feature),
            }
        });
        Ok(Answer::json(
            200,
            &BundleAnswer {
                request_id: call.request_id(),
                name: bundle.name(),
                version: bundle.version(),
                hash: bundle.hash(),
                specification: bundle.specification_hash(),
                horizon: specification.horizon.to_string(),
                clock_skew: specification.clock_skew.to_string(),
                approve_below: policy.approve_below(),
                decline_from: policy.decline_from(),
                bands: policy.bands().collect(),
                features: features.collect(),
                model: bundle.metadata(),
                previous: previous.as_deref().map(BundleRef::of),
            },
        ))
    })
}

#[derive(Serialize)]
struct BundleAnswer<'a> {
    request_id: &'a str,
    name: &'a str,
    version: &'a str,
    hash: &'a str,
    /// Hash of the canonical feature specification.
    specification: String,
    horizon: String,
    clock_skew: String,
    approve_below: f32,
    decline_from: f32,
    bands: Vec<&'a str>,
    features: Vec<FeatureAnswer<'a>>,
    /// What the model file says about itself.
    model: &'a BTreeMap<String, String>,
    /// The bundle that `POST /admin/bundle/rollback` would go back to.
    previous: Option<BundleRef<'a>>,
}

#[derive(Serialize)]
struct FeatureAnswer<'a> {
    name: &'a str,
    may_be_missing: bool,
    reason_code: &'a str,
    reason: &'a str,
    #[serde(flatten)]
    origin: Origin<'a>,
}
