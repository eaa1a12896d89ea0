//! A receiver of spans: what the service posts by OTLP, read.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::receiver::{Received, Receiver};

const PATH: &str = "/v1/traces";

pub(crate) struct Collector(Receiver);

impl Collector {
    pub(crate) fn start() -> Self {
        Self(Receiver::start(&[]))
    }

    pub(crate) fn url(&self) -> String {
        self.0.url(PATH)
    }

    /// All requests so far.
    pub(crate) fn exports(&self) -> Vec<Received> {
        self.0.received(PATH)
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let read = |export: Received| ExportTraceServiceRequest::decode(&export.body[..]).unwrap().resource_spans;
        let scopes = self.exports().into_iter().flat_map(read).flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// An attribute of a span as text: a list by its items.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    Some(text(value))
}

fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            list.values.iter().filter_map(|item| item.value.as_ref()).map(text).collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}
