//! The schemas of the OpenAPI document.

use cauce_features::fixed::{MAX_RAW, unit};
use cauce_features::spec::{Field, FieldKind, Record, Specification};
use serde_json::{Map, Value, json};

use crate::alerts::rules::RULES;
use crate::degrade::{MODES, REASONS};
use crate::metrics::STAGES;

const APPLICATION_EVENT: &str = "application";

/// A reference to a schema of this document.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Every schema, by name.
pub fn all(specification: &Specification) -> Value {
    let mut schemas = fixed();
    schemas.insert("Application".into(), record(&specification.application));
    let mut kinds = Vec::new();
    for event in specification.events.iter().filter(|event| event.name != APPLICATION_EVENT) {
        let name = format!("{}Event", camel_case(&event.name));
        kinds.push(reference(&name));
        schemas.insert(name, event_schema(&event.name, &event.record));
    }
    schemas.insert("Event".into(), json!({ "oneOf": kinds }));
    schemas.into()
}

/// A request that would be scored.
pub fn application_example(specification: &Specification) -> Value {
    json!({ "person_id": "c-1", "application_id": "a-9", "application": example(&specification.application, false) })
}

/// The same as the Ahorro Valle front-end sends it.
pub fn predecir_example(specification: &Specification) -> Value {
    json!({ "datos": example(&specification.application, true), "session_id": "s-1" })
}

/// An event that could be taken, but for its time.
pub fn event_example(specification: &Specification) -> Value {
    let event = &specification.events[0];
    let data = example(&event.record, false);
    json!({ "person_id": "c-1", "event_id": "77", "type": event.name, "time": "2026-01-15T14:00:00Z", "data": data })
}

fn record(record: &Record) -> Value {
    let fields: Map<String, Value> = record.fields.iter().map(|one| (one.name.clone(), field(one))).collect();
    let required: Vec<&str> =
        record.fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": fields, "required": required })
}

fn field(field: &Field) -> Value {
    let mut schema = match &field.kind {
        FieldKind::Integer => bounded(json!({ "type": "integer" }), field, 0),
        FieldKind::Decimal { scale } => {
            let step: f64 = format!("1e-{scale}").parse().expect("a power of ten is a number");
            bounded(json!({ "type": "number", "multipleOf": step }), field, *scale)
        }
        FieldKind::Category { values } => json!({ "type": "string", "enum": values }),
        FieldKind::Text => json!({ "type": "string", "maxLength": 256 }),
        FieldKind::Boolean => json!({ "type": "boolean" }),
    };
    if !field.aliases.is_empty() {
        schema["description"] = format!("also `{}`", field.aliases.join("`, `")).into();
    }
    schema
}

fn bounded(mut schema: Value, field: &Field, scale: u8) -> Value {
    for (word, raw) in [("minimum", field.min), ("maximum", field.max)] {
        if raw.abs() < MAX_RAW {
            schema[word] = number(raw, scale);
        }
    }
    schema
}

fn number(raw: i64, scale: u8) -> Value {
    if raw % unit(scale) == 0 { (raw / unit(scale)).into() } else { (raw as f64 / unit(scale) as f64).into() }
}

fn event_schema(name: &str, data: &Record) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "person_id": reference("Id"),
            "event_id": reference("Id"),
            "type": { "const": name },
            "time": { "type": "string", "format": "date-time" },
            "data": record(data),
        },
        "required": ["person_id", "event_id", "type", "time", "data"],
    })
}

/// Some valid values.
fn example(record: &Record, aliases: bool) -> Value {
    let value = |field: &Field| match &field.kind {
        FieldKind::Integer => number(middle(field), 0),
        FieldKind::Decimal { scale } => number(middle(field) / unit(*scale) * unit(*scale), *scale),
        FieldKind::Category { values } => values[0].clone().into(),
        FieldKind::Text => "text".into(),
        FieldKind::Boolean => true.into(),
    };
    let name = |field: &Field| field.aliases.first().filter(|_| aliases).unwrap_or(&field.name).clone();
    record.fields.iter().map(|field| (name(field), value(field))).collect::<Map<_, _>>().into()
}

/// A value well inside the field's range, not as large as ranges are wide.
fn middle(field: &Field) -> i64 {
    let unit = match field.kind {
        FieldKind::Decimal { scale } => unit(scale),
        _ => 1,
    };
    (field.min.max(0) + 100 * unit).min(field.min / 2 + field.max / 2).max(field.min)
}

fn camel_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(usize::from(!word.is_empty()));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

/// The schemas that are the same for every specification.
fn fixed() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let flag = json!({ "type": "boolean" });
    let count = json!({ "type": "integer", "minimum": 0 });
    let probability = json!({ "type": "number", "minimum": 0, "maximum": 1 });
    let numbers = json!({ "type": "array", "items": { "type": ["number", "null"] } });
    let time = json!({ "type": "string", "format": "date-time" });
    let stored = json!({ "enum": ["log", "kafka", "outbox"] });
    let scored = json!({
        "person_id": { "type": ["string", "null"] },
        "application_id": reference("Id"),
        "decision": { "enum": ["approve", "refer", "decline"] },
        "probability_of_default": nullable(&probability),
        "band": { "type": ["string", "null"] },
        "confidence": nullable(&probability),
        "mode": { "enum": MODES.map(|(_, name)| name) },
        "degraded_reasons": { "type": "array", "items": { "enum": REASONS.map(|(_, name)| name) } },
        "history": reference("History"),
        "recorded": flag,
        "durable": flag,
        "cached_age_seconds": { "type": "number", "minimum": 0 },
        "refer": text,
        "vector": numbers,
    });
    let about = json!({
        "replayed": flag, "request_id": text, "bundle": reference("BundleReference"), "as_of": time,
        "timing_us": reference("Timing"),
    });
    let stages = STAGES.iter().map(|(_, name)| *name).chain(["total"]);
    let timing: Map<String, Value> = stages.map(|stage| (stage.into(), json!({ "type": "number" }))).collect();
    let schemas = json!({
        "Id": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[^\\u0000-\\u001f\\u007f]+$" },
        "ScoreRequest": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "person_id": reference("Id"), "application_id": reference("Id"), "application": reference("Application"),
            },
            "required": ["application"],
        },
        "Score": object(scored.clone()),
        "ScoreAnswer": object(joined(&scored, &about)),
        "ScoreBatchAnswer": object(joined(&about, &json!({
            "count": count, "scored": count, "results": { "type": "array", "items": reference("ScoreBatchItem") },
        }))),
        "ScoreBatchItem": {
            "type": "object",
            "properties": { "index": count },
            "required": ["index"],
            "oneOf": [
                reference("Score"),
                { "properties": { "problem": reference("ItemProblem") }, "required": ["problem"] },
            ],
        },
        "EventAnswer": object(json!({
            "request_id": text, "event_id": reference("Id"),
            "applied": { "enum": ["new", "duplicate", "conflict", "accepted"] },
            "partition": count, "position": { "type": ["integer", "null"] }, "durable": flag, "stored": stored,
        })),
        "EventBatchAnswer": object(json!({
            "request_id": text, "count": count, "new": count, "duplicate": count, "conflict": count, "accepted": count,
            "refused": count,
            "positions": { "type": ["object", "null"], "properties": { "first": count, "last": count } },
            "durable": flag, "stored": stored,
            "problems": {
                "type": "array", "items": object(json!({ "index": count, "problem": reference("ItemProblem") })),
            },
        })),
        "FeaturesAnswer": object(json!({
            "request_id": text, "person_id": reference("Id"), "as_of": time, "history": reference("History"),
            "features": { "type": "array", "items": reference("FeatureValue") },
        })),
        "HeldEvent": object(json!({
            "event_id": reference("Id"), "type": text, "time": time, "arrived_at": time, "position": count,
            "data": { "type": "object" },
        })),
        "TimelineAnswer": object(json!({
            "request_id": text, "person_id": reference("Id"),
            "events": { "type": "array", "items": reference("HeldEvent") }, "next_cursor": { "type": ["string", "null"] },
        })),
        "ExportAnswer": object(json!({
            "request_id": text, "person_id": reference("Id"),
            "history": {
                "type": ["object", "null"],
                "properties": { "events": count, "coarsened": count, "oldest": { "type": ["string", "null"] } },
            },
            "records": { "type": "array", "items": reference("HeldEvent") },
        })),
        "ErasureAnswer": object(json!({
            "request_id": text, "events_erased": count, "records_erased": { "type": ["integer", "null"] },
            "position": { "type": ["integer", "null"] }, "files": text,
        })),
        "DigestAnswer": object(json!({
            "request_id": text, "digest": { "type": "string", "pattern": "^[0-9a-f]{32}$" }, "as_of": time, "people": count,
            "position": count,
        })),
        "CheckpointAnswer": object(json!({
            "request_id": text, "position": count, "people": count, "took_ms": { "type": "number" },
        })),
        "Alert": object(json!({
            "id": text, "rule": { "enum": RULES.each_ref().map(|rule| rule.name) },
            "subject": { "type": ["string", "null"] },
            "severity": { "enum": ["info", "warning", "critical"] }, "state": { "enum": ["firing", "resolved"] },
            "summary": text, "advice": text, "value": { "type": "number" }, "threshold": { "type": "number" },
            "since": time, "resolved": nullable(&time),
        })),
        "AlertsAnswer": object(json!({
            "request_id": text,
            "active": { "type": "array", "items": reference("Alert") },
            "recent": { "type": "array", "items": reference("Alert") },
        })),
        "ReloadRequest": { "type": "object", "additionalProperties": false, "properties": { "path": text } },
        "ReloadAnswer": {
            "type": "object",
            "properties": {
                "request_id": text, "outcome": { "enum": ["swapped", "unchanged", "rolled_back"] },
                "old": reference("BundleReference"), "new": reference("BundleReference"),
                "took_ms": { "type": "object", "additionalProperties": { "type": "number" } },
            },
            "required": ["request_id", "outcome", "old", "new"],
        },
        "FeatureValue": {
            "type": "object",
            "properties": {
                "name": text, "value": { "type": ["number", "null"] }, "from": text, "aggregate": text, "field": text,
                "window": text, "default": { "type": "number" },
            },
            "required": ["name", "value"],
        },
        "History": object(json!({
            "known": flag, "newest_event_age_seconds": { "type": ["number", "null"] }, "truncated": flag, "coarse": flag,
        })),
        "BundleReference": object(json!({ "name": text, "version": text, "hash": text })),
        "Timing": object(Value::Object(timing)),
        "FieldError": {
            "type": "object",
            "properties": { "path": text, "code": text, "given": text, "expected": text, "suggestion": text },
            "required": ["path", "code", "given", "expected"],
        },
        "ItemProblem": {
            "type": "object",
            "properties": {
                "status": count, "code": { "enum": super::codes() }, "detail": text,
                "errors": { "type": "array", "items": reference("FieldError") },
            },
            "required": ["status", "code", "detail"],
        },
        "Problem": {
            "type": "object",
            "properties": {
                "type": text, "title": text, "status": count, "code": { "enum": super::codes() }, "detail": text,
                "request_id": text, "errors": { "type": "array", "items": reference("FieldError") },
            },
            "required": ["type", "title", "status", "code", "detail", "request_id"],
        },
        "Prediccion": {
            "type": "object",
            "properties": { "datos": { "type": "object" }, "timestamp_cliente": { "type": "number" }, "session_id": text },
            "required": ["datos"],
        },
        "Respuesta": {
            "type": "object",
            "properties": {
                "prediccion": { "enum": [0, 1] },
                "probabilidades": { "type": "array", "items": probability, "minItems": 2, "maxItems": 2 },
                "confianza": probability, "tiempo_procesamiento": { "type": "number" }, "request_id": text,
                "replayed": flag,
            },
            "required": ["prediccion", "probabilidades", "confianza", "tiempo_procesamiento", "request_id"],
        },
        "Fallo": {
            "type": "object",
            "properties": {
                "error": text, "codigo": { "enum": ["E001", "E002", "E003", "E429", "E500", "E503"] },
                "tiempo_procesamiento": { "type": "number" }, "request_id": text,
                "errores": { "type": "array", "items": { "type": "object" } },
            },
            "required": ["error", "codigo", "tiempo_procesamiento"],
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// Members that are not in every answer of their kind.
const OPTIONAL: [&str; 4] = ["vector", "partition", "cached_age_seconds", "refer"];

/// An object whose properties are always there, but for those that are [`OPTIONAL`].
fn object(properties: Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<&String> = names.filter(|name| !OPTIONAL.contains(&name.as_str())).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The same schema, or null.
fn nullable(schema: &Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

fn joined(some: &Value, others: &Value) -> Value {
    let properties = [some, others].into_iter().filter_map(Value::as_object).flatten();
    Value::Object(properties.map(|(name, schema)| (name.clone(), schema.clone())).collect())
}
