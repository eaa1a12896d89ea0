//! `GET /openapi.json`: this interface as an OpenAPI 3.1 document, made from the tables that the code itself runs on.
//!
//! Paths come from [`ROUTES`], error codes from [`CODES`], and applications and events from the specification of the bundle
//! that is served: the document of another bundle is another document. It is written once, at start.

mod schemas;

use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::spec::Specification;
use serde_json::{Map, Value, json};

use super::answer::{Answer, JSON};
use super::call::Call;
use super::routes::{Endpoint, Method, ROUTES, Route};
use crate::error::CODES;

/// The document.
pub async fn serve(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::OpenApi).answer(|call| Ok(Answer::new(200, JSON, call.shared().openapi.clone())))
}

/// Writes the document for a specification.
pub fn document(specification: &Specification) -> Bytes {
    let mut paths = Map::new();
    for route in &ROUTES {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        };
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[method] = operation(route, specification);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cauce",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Real-time default risk on live history. Errors are problem documents (RFC 9457) with a \
                stable `code`. `X-Request-ID` is echoed, or made where absent. 503 `overloaded` and 429 `rate_limited` are said before \
                a body is read, and `Retry-After` says when to ask again.",
        },
        "paths": paths,
        "components": { "schemas": schemas::all(specification) },
    });
    serde_json::to_vec(&document).expect("a JSON value can be written").into()
}

fn operation(route: &Route, specification: &Specification) -> Value {
    let mut operation = json!({
        "operationId": format!("{:?}", route.endpoint),
        "summary": route.summary,
        "responses": responses(route.endpoint),
    });
    if let Some(description) = description(route.endpoint) {
        operation["description"] = description.into();
    }
    if let Some(content) = request(route.endpoint, specification) {
        operation["requestBody"] = json!({ "required": route.endpoint != Endpoint::Reload, "content": content });
    }
    let parameters = parameters(route.endpoint);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation
}

fn description(endpoint: Endpoint) -> Option<&'static str> {
    Some(match endpoint {
        Endpoint::Score => {
            "Scores the application as of now on the history of its person, then records it as an event of type \
             `application`. Without `person_id` the history is empty, and nothing is recorded."
        }
        Endpoint::ScoreBatch => {
            "Each application is scored against the history as it stood before the batch; then all are recorded. An item \
             that is refused has its problem in its place."
        }
        Endpoint::Event => {
            "201 for a new event; 200 for one that was there already, or that met another under its time and id (the greater \
             by content stands). It leaves once the event is on disk for good and counts in the history. `position` is where it, or the \
             first of its kind, stands in the log. Where Kafka is the log, `position` is the offset in `partition`, null for one that was \
             there already; `accepted` says that the event is durable and counts once whoever keeps the history has come to it; \
             `stored` is `outbox` while it waits on this machine's disk for a broker."
        }
        Endpoint::EventBatch => {
            "A JSON array, or one event a line. Lists the events that were refused; the others are on disk for good and count \
             in the histories, but for those `accepted`, as of one event. `stored` is `outbox` if any of them waits there."
        }
        Endpoint::PersonTimeline => {
            "What the log holds of a person, newest first. `next_cursor` asks for the next page; it is null on the last."
        }
        Endpoint::PersonExport => "What was posted of a person, oldest first, and how much of it the history holds.",
        Endpoint::PersonErasure => {
            "The person is unknown once this answers. Their bytes leave the files of log and state in the background. Where Kafka is \
             the log, 202 says that the erasure is durable and is done as soon as what stands before it is; records leave the topic with its \
             retention."
        }
        Endpoint::Digest => {
            "Two instances that took the same events have the same digest as of the same instant; without `as_of` it is the \
             end of this day (UTC)."
        }
        Endpoint::Reload => {
            "`path` is a directory beside the configured one, which is taken without a body. The bundle is loaded in a child process under \
             limits first; 422 says why it cannot serve, and the one in service goes on. After 200 whatever is scored is scored by `new`. \
             A start serves the configured directory whatever was put in service here."
        }
        Endpoint::Rollback => {
            "The bundle before this one is held in memory whole, and serves at once. There is one step back: asked again, the answer is 409."
        }
        Endpoint::Kpis => {
            "Over the window and for now; `last_minute` has up to 60 seconds one by one, the oldest first. What cannot be said of nothing is null."
        }
        Endpoint::LiveKpis | Endpoint::WsMetricas | Endpoint::WsKpis => {
            "An upgrade to a WebSocket (RFC 6455), then one text message a second with the newest document. The next is sent once the ping \
             behind the one before was answered, as every client does by itself: a slow one skips. 1001 says that the service stops. A \
             request without an upgrade is answered 426, one whose `Origin` is not this host 403."
        }
        Endpoint::Alerts => {
            "An alert fires once its signal was above its threshold for `alerts.for`, and is over once it was clear for `alerts.clear_for`. \
             `active` are firing, the newest first; `recent` were resolved, the newest first."
        }
        Endpoint::PersonFeatures => "Features that need an application are null unless they have a default.",
        _ => return None,
    })
}

fn parameters(endpoint: Endpoint) -> Vec<Value> {
    let vector = json!({
        "name": "vector", "in": "query", "schema": { "type": "boolean" },
        "description": "whether the answer carries the features that the model was given",
    });
    let header = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "header", "schema": schema, "description": description });
    let milliseconds = json!({ "type": "integer", "minimum": 1 });
    let budget = header("X-Latency-Budget-Ms", milliseconds, "within how many milliseconds an answer is needed");
    let product =
        header("X-Product", json!({ "type": "string" }), "a product whose rungs of the ladder are configured apart");
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": schemas::reference("Id") });
    let query = |name: &str, schema: Value| json!({ "name": name, "in": "query", "schema": schema });
    let instant = |name: &str| query(name, json!({ "type": "string", "format": "date-time" }));
    let text = |name: &str| query(name, json!({ "type": "string" }));
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
        "description": "names the request: sent again with the same body it gets the answer that it got, with `replayed: true`; with another \
            body it is refused. For `/v1/score`, a person's `application_id` does the same where there is no key.",
    });
    match endpoint {
        Endpoint::Score | Endpoint::ScoreBatch => vec![vector, budget, product, key],
        Endpoint::Predecir => vec![budget, product, key],
        Endpoint::Event | Endpoint::EventBatch => vec![budget],
        Endpoint::PersonFeatures => vec![id, instant("as_of"), budget],
        Endpoint::PersonTimeline => {
            let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
            vec![id, instant("from"), instant("to"), text("type"), text("cursor"), query("limit", limit)]
        }
        Endpoint::PersonExport | Endpoint::PersonErasure => vec![id],
        Endpoint::Digest => vec![instant("as_of")],
        Endpoint::DashboardFile => {
            vec![json!({ "name": "file", "in": "path", "required": true, "schema": { "type": "string" } })]
        }
        _ => Vec::new(),
    }
}

fn request(endpoint: Endpoint, specification: &Specification) -> Option<Value> {
    let one = |name: &str, example: Value| json!({ "application/json": { "schema": schemas::reference(name), "example": example } });
    let many = |name: &str, example: Value| {
        let list = json!({ "type": "array", "minItems": 1, "items": schemas::reference(name) });
        json!({
            "application/json": { "schema": list, "example": [example] },
            "application/x-ndjson": { "schema": schemas::reference(name) },
        })
    };
    let application = || schemas::application_example(specification);
    let event = || schemas::event_example(specification);
    Some(match endpoint {
        Endpoint::Score => one("ScoreRequest", application()),
        Endpoint::ScoreBatch => many("ScoreRequest", application()),
        Endpoint::Event => one("Event", event()),
        Endpoint::EventBatch => many("Event", event()),
        Endpoint::Reload => one("ReloadRequest", json!({})),
        Endpoint::Predecir => one("Prediccion", schemas::predecir_example(specification)),
        _ => return None,
    })
}

fn responses(endpoint: Endpoint) -> Value {
    let answer = |name: &str| json!({ "description": "the answer", "content": { "application/json": { "schema": schemas::reference(name) } } });
    let plain = |media_type: &str| json!({ "description": "the answer", "content": { media_type: {} } });
    let mut responses = match endpoint {
        Endpoint::Score => json!({ "200": answer("ScoreAnswer") }),
        Endpoint::ScoreBatch => json!({ "200": answer("ScoreBatchAnswer") }),
        Endpoint::Event => json!({ "200": answer("EventAnswer"), "201": answer("EventAnswer") }),
        Endpoint::EventBatch => json!({ "200": answer("EventBatchAnswer") }),
        Endpoint::PersonFeatures => json!({ "200": answer("FeaturesAnswer") }),
        Endpoint::PersonTimeline => json!({ "200": answer("TimelineAnswer") }),
        Endpoint::PersonExport => json!({ "200": answer("ExportAnswer") }),
        Endpoint::PersonErasure => json!({ "200": answer("ErasureAnswer"), "202": answer("ErasureAnswer") }),
        Endpoint::Digest => json!({ "200": answer("DigestAnswer") }),
        Endpoint::Checkpoint => json!({ "200": answer("CheckpointAnswer") }),
        Endpoint::Reload | Endpoint::Rollback => json!({ "200": answer("ReloadAnswer") }),
        Endpoint::Predecir => {
            let statuses = ["400", "409", "422", "429", "500", "503"];
            let failures = statuses.map(|status| (status.to_owned(), answer("Fallo")));
            let mut responses: Map<_, _> = failures.into_iter().collect();
            responses.insert("200".into(), answer("Respuesta"));
            return responses.into();
        }
        Endpoint::LiveKpis | Endpoint::WsMetricas | Endpoint::WsKpis => {
            json!({ "101": { "description": "the protocol is WebSocket from here on" } })
        }
        Endpoint::Alerts => json!({ "200": answer("AlertsAnswer") }),
        Endpoint::Metrics => json!({ "200": plain("text/plain") }),
        Endpoint::Docs | Endpoint::Dashboard => json!({ "200": plain("text/html") }),
        Endpoint::DocsScript => json!({ "200": plain("text/javascript") }),
        Endpoint::Kpis | Endpoint::MetricasTiempoReal => json!({ "200": plain(JSON) }),
        Endpoint::DashboardFile => json!({ "200": plain("*/*") }),
        Endpoint::Bundle | Endpoint::Health | Endpoint::Live | Endpoint::Ready | Endpoint::OpenApi => {
            json!({ "200": plain(JSON) })
        }
    };
    responses["default"] = json!({
        "description": "a problem document",
        "content": { "application/problem+json": { "schema": schemas::reference("Problem") } },
    });
    responses
}

/// The stable codes, for the schema of a problem.
fn codes() -> Vec<&'static str> {
    CODES.iter().map(|row| row.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIFICATION: &str = r#"
        name = "small"
        horizon = "90d"
        [application.fields]
        age = { type = "integer", min = 18, max = 100, aliases = ["edad"] }
        purpose = { type = "category", values = ["car", "house"], required = false }
        [events.payment.fields]
        amount = { type = "decimal", scale = 2, min = 0 }
        [[features]]
        name = "payments"
        from = "payment"
        aggregate = "count"
        window = { sliding = "30d" }
    "#;

    fn written() -> Value {
        let specification = Specification::parse("features.toml", SPECIFICATION).unwrap();
        serde_json::from_slice(&document(&specification)).unwrap()
    }

    #[test]
    fn every_route_and_every_code_is_in_the_document() {
        let document = written();
        for route in &ROUTES {
            let method = format!("{:?}", route.method).to_lowercase();
            assert_eq!(document["paths"][route.path][method]["summary"], route.summary);
        }
        assert_eq!(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"], json!(codes()));
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| match value {
                    Value::String(target) if key == "$ref" => found.push(target.clone()),
                    value => references(value, found),
                }),
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let (document, mut found) = (written(), Vec::new());
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
    }

    #[test]
    fn fields_stand_as_the_specification_declares_them() {
        let schemas = written()["components"]["schemas"].clone();
        let age = json!({ "type": "integer", "minimum": 18, "maximum": 100, "description": "also `edad`" });
        assert_eq!(schemas["Application"]["properties"]["age"], age);
        assert_eq!(schemas["Application"]["required"], json!(["age"]));
        assert_eq!(schemas["PaymentEvent"]["properties"]["data"]["properties"]["amount"]["multipleOf"], json!(0.01));
    }
}
