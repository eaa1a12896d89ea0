//! What stands between a model file and ONNX Runtime: a walk of the file that lets through only what a tabular model
//! needs.
//!
//! ONNX Runtime trusts its input. A kilobyte of nested functions keeps it loading for minutes, an `Expand` of a hundred
//! bytes takes gigabytes at the first run, external data reads files of the host, a feature index out of range loads and
//! fails later. None of these can be undone by a timeout, because a load cannot be cancelled. So the list here is of what
//! *is* allowed: one graph without sub-graphs or functions, a few operators whose output size follows from the input,
//! initializers held in the file, tree ensembles that are trees. What has to hold for each is in one place: `proto` the
//! messages and their fields, `operators` the graph and its shapes, `trees` the ensembles.
//!
//! The walk reads the wire format itself (`wire`) rather than through generated messages: a generated decoder skips fields
//! it does not know and merges repeated ones, so that it and ONNX Runtime could see two different models in one file. Here
//! an unknown or repeated field is an error.

mod operators;
mod proto;
mod trees;
mod wire;

use std::collections::BTreeMap;

/// Why a model file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    #[error("it is not a well-formed ONNX file: {0}")]
    Malformed(&'static str),
    #[error("`{message}` has a field {field}, which is not allowed{why}")]
    Field { message: &'static str, field: u32, why: &'static str },
    #[error("it has more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("operator `{0}` is not allowed; a tabular model needs only {allowed}", allowed = operators::ALLOWED.join(", "))]
    Operator(String),
    #[error("attribute `{attribute}` of `{operator}` {problem}")]
    Attribute { operator: String, attribute: String, problem: &'static str },
    #[error("{what} {expected}")]
    Interface { what: &'static str, expected: String },
    #[error("node {node} (`{operator}`): {problem}")]
    Node { node: usize, operator: String, problem: &'static str },
    #[error("initializer `{name}` {problem}")]
    Initializer { name: String, problem: &'static str },
    #[error("entry {entry} of `{attribute}`: {problem}")]
    Trees { attribute: &'static str, entry: usize, problem: &'static str },
}

/// Walks a model file for vectors of a width; what it returns are the file's metadata.
pub(crate) fn inspect(model: &[u8], width: usize) -> Result<BTreeMap<String, String>, GuardError> {
    let model = proto::Model::read(model)?;
    operators::check(&model.graph, width)?;
    Ok(model.metadata)
}
