//! The graph: which operators it may have, and how wide each result is.
//!
//! Every value is a table of rows by a known number of columns, so that a result's size follows from the batch and the
//! file's size. Operators whose output size depends on data (`Expand`, `ConstantOfShape`, `Tile`...) or that hold graphs
//! (`Loop`, `If`, `Scan`) have no place in that, and `Concat` of itself over and over meets [`COLUMNS_MAX`].

use std::collections::HashMap;

use super::GuardError;
use super::proto::{Attribute, AttributeValue, Graph, Interface, Node, Tensor};
use super::trees;
use crate::onnx::{CLASSES, INPUT, OUTPUT};

/// As messages list them.
pub(super) const ALLOWED: [&str; 17] = [
    "ai.onnx.ml.TreeEnsembleClassifier",
    "ai.onnx.ml.TreeEnsembleRegressor",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Sigmoid",
    "Softmax",
    "Clip",
    "Cast",
    "Identity",
    "Concat",
    "Reshape",
    "MatMul",
    "Gemm",
    "Flatten",
];

const COLUMNS_MAX: usize = 4096;

/// What a name in the graph stands for.
#[derive(Clone, Copy)]
enum Named<'g> {
    /// One row an application, this many columns.
    Rows(usize),
    /// One number an application: the labels of a classifier.
    Labels,
    Constant(&'g Tensor<'g>),
}

/// Checks inputs, outputs and every node in order; a name must be defined above its use, so there are no cycles.
pub(super) fn check(graph: &Graph, width: usize) -> Result<(), GuardError> {
    check_interface("its inputs must be exactly", &graph.inputs, INPUT, width)?;
    check_interface("its outputs must be exactly", &graph.outputs, OUTPUT, CLASSES)?;
    let mut names = HashMap::from([(INPUT, Named::Rows(width))]);
    for tensor in &graph.initializers {
        if names.insert(tensor.name, Named::Constant(tensor)).is_some() {
            return Err(GuardError::Initializer { name: tensor.name.to_owned(), problem: "stands twice" });
        }
    }
    for (position, node) in graph.nodes.iter().enumerate() {
        let problem = |problem| GuardError::Node { node: position, operator: node.label(), problem };
        let inputs = node.inputs.iter().map(|name| names.get(name).copied());
        let inputs: Vec<Named> =
            inputs.collect::<Option<_>>().ok_or_else(|| problem("an input that nothing above it gives"))?;
        let results = results(node, &inputs, &problem)?;
        if node.outputs.len() > results.len() {
            return Err(problem("too many outputs"));
        }
        for (&name, result) in node.outputs.iter().zip(results) {
            // An empty name is an output that nobody wants.
            if !name.is_empty() && names.insert(name, result).is_some() {
                return Err(problem("an output whose name is taken"));
            }
        }
    }
    match names.get(OUTPUT) {
        Some(Named::Rows(CLASSES)) => Ok(()),
        _ => Err(GuardError::Interface { what: "its nodes must give", expected: format!("`{OUTPUT}` [N, {CLASSES}]") }),
    }
}

/// The rows must be open: a fixed batch would refuse every other one.
fn check_interface(what: &'static str, given: &[Interface], name: &str, width: usize) -> Result<(), GuardError> {
    match given {
        [one] if one.name == name && one.is_float && one.dimensions == [None, Some(width as i64)] => Ok(()),
        _ => Err(GuardError::Interface { what, expected: format!("`{name}`, float [N, {width}] with N left open") }),
    }
}

fn results<'g>(
    node: &Node,
    inputs: &[Named<'g>],
    problem: &dyn Fn(&'static str) -> GuardError,
) -> Result<Vec<Named<'g>>, GuardError> {
    use Named::{Constant, Labels, Rows};
    let columns = match (node.label().as_str(), inputs) {
        ("ai.onnx.ml.TreeEnsembleClassifier", [Rows(width)]) => {
            return Ok(vec![Labels, Rows(trees::check_classifier(node, *width)?)]);
        }
        ("ai.onnx.ml.TreeEnsembleRegressor", [Rows(width)]) => trees::check_regressor(node, *width)?,
        ("Sigmoid" | "Identity" | "Neg", [Rows(width)]) => allow(node, &[]).map(|()| *width)?,
        ("Softmax" | "Flatten", [Rows(width)]) => allow(node, &[("axis", &[1, -1])]).map(|()| *width)?,
        // To float or double.
        ("Cast", [Rows(width)]) => allow(node, &[("to", &[1, 11])]).map(|()| *width)?,
        ("Clip", [Rows(width), limits @ ..]) if limits.iter().all(is_scalar) => allow(node, &[]).map(|()| *width)?,
        ("Add" | "Sub" | "Mul" | "Div", [left, right]) => {
            allow(node, &[])?;
            match (broadcast_columns(left), broadcast_columns(right)) {
                (Some(left), Some(right)) if left == right || right == 1 => left,
                (Some(1), Some(right)) => right,
                _ => return Err(problem("its inputs do not have columns that match")),
            }
        }
        ("Concat", [_, ..]) => {
            allow(node, &[("axis", &[1, -1])])?;
            let widths = inputs.iter().map(|input| if let Rows(width) = input { Some(*width) } else { None });
            widths.sum::<Option<usize>>().ok_or_else(|| problem("an input that is not made of rows"))?
        }
        ("Reshape", [Rows(width), Constant(shape)]) => {
            allow(node, &[])?;
            match shape.shape[..] {
                [-1 | 0, columns] if columns == *width as i64 => *width,
                _ => return Err(problem("it may only keep the columns: its shape must be [-1, columns]")),
            }
        }
        ("MatMul", [Rows(width), Constant(weights)]) => match weights.dimensions[..] {
            [rows, columns] if rows == *width => allow(node, &[]).map(|()| columns)?,
            _ => return Err(problem("its weights do not match the columns")),
        },
        ("Gemm", [Rows(width), Constant(weights), bias @ ..]) => gemm(node, *width, weights, bias, problem)?,
        (known, _) if ALLOWED.contains(&known) => return Err(problem("its inputs are not what it may take here")),
        (other, _) => return Err(GuardError::Operator(other.to_owned())),
    };
    if columns == 0 || columns > COLUMNS_MAX {
        return Err(problem("its result has no or too many columns"));
    }
    Ok(vec![Rows(columns)])
}

fn gemm(
    node: &Node,
    width: usize,
    weights: &Tensor,
    bias: &[Named],
    problem: &dyn Fn(&'static str) -> GuardError,
) -> Result<usize, GuardError> {
    let scaled = ["alpha", "beta"];
    let known = |name: &str| scaled.contains(&name) || ["transA", "transB"].contains(&name);
    let mut transposed = false;
    for attribute in &node.attributes {
        match (attribute.name, &attribute.value) {
            ("alpha" | "beta", AttributeValue::Float(factor)) if factor.is_finite() => {}
            ("transA", AttributeValue::Int(0)) => {}
            ("transB", AttributeValue::Int(given @ 0..=1)) => transposed = *given == 1,
            (name, _) if known(name) => return Err(refused(node, attribute, "has a value that is not allowed")),
            _ => return Err(refused(node, attribute, "is not allowed")),
        }
    }
    let columns = match (transposed, &weights.dimensions[..]) {
        (false, &[rows, columns]) | (true, &[columns, rows]) if rows == width => columns,
        _ => return Err(problem("its weights do not match the columns")),
    };
    match bias {
        [] => Ok(columns),
        [bias @ Named::Constant(_)] if broadcast_columns(bias).is_some_and(|given| given == 1 || given == columns) => {
            Ok(columns)
        }
        _ => Err(problem("its bias does not match the columns")),
    }
}

/// Integer attributes and the values they may have; any other attribute is refused.
fn allow(node: &Node, allowed: &[(&str, &[i64])]) -> Result<(), GuardError> {
    for attribute in &node.attributes {
        let Some((_, values)) = allowed.iter().find(|(name, _)| *name == attribute.name) else {
            return Err(refused(node, attribute, "is not allowed"));
        };
        if !matches!(attribute.value, AttributeValue::Int(value) if values.contains(&value)) {
            return Err(refused(node, attribute, "has a value that is not allowed"));
        }
    }
    Ok(())
}

pub(super) fn refused(node: &Node, attribute: &Attribute, problem: &'static str) -> GuardError {
    GuardError::Attribute { operator: node.label(), attribute: attribute.name.to_owned(), problem }
}

fn is_scalar(named: &Named) -> bool {
    matches!(named, Named::Constant(tensor) if tensor.dimensions.iter().all(|&dimension| dimension == 1))
}

/// The columns an operand has when it is spread over rows: a constant may have one row only.
fn broadcast_columns(named: &Named) -> Option<usize> {
    match named {
        Named::Rows(width) => Some(*width),
        Named::Labels => None,
        Named::Constant(tensor) => match tensor.dimensions[..] {
            [] => Some(1),
            [columns] | [1, columns] => Some(columns),
            _ => None,
        },
    }
}
