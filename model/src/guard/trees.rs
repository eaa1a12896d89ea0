//! Tree ensembles: that their parallel lists describe trees, over features that exist, with numbers that are numbers.
//!
//! ONNX Runtime takes the first node of each run of equal tree ids for a root and follows ids from there. A child that does
//! not exist, a node with two parents, a feature beyond the vector or a NaN weight loads without a word in most versions
//! and scores wrongly or fails on some row later. Here every node must be reached exactly once from the root of its tree.

use std::collections::HashMap;

use super::GuardError;
use super::operators::refused;
use super::proto::{AttributeValue, Node};

const TREES_MAX: usize = 4096;
const DEPTH_MAX: u32 = 64;

/// The lists of one ensemble: entry i of each `nodes_` list is about node i, entry i of each leaf list about weight i.
#[derive(Default)]
struct Ensemble<'n> {
    tree_ids: &'n [i64],
    node_ids: &'n [i64],
    feature_ids: &'n [i64],
    modes: &'n [&'n [u8]],
    values: &'n [f32],
    true_ids: &'n [i64],
    false_ids: &'n [i64],
    missing_true: &'n [i64],
    hitrates: &'n [f32],
    leaf_tree_ids: &'n [i64],
    leaf_node_ids: &'n [i64],
    leaf_outputs: &'n [i64],
    leaf_weights: &'n [f32],
    base_values: &'n [f32],
    outputs: usize,
}

/// A classifier; gives the number of its classes.
pub(super) fn check_classifier(node: &Node, width: usize) -> Result<usize, GuardError> {
    let mut ensemble = Ensemble::default();
    for attribute in &node.attributes {
        match (attribute.name, &attribute.value) {
            ("class_treeids", AttributeValue::Ints(given)) => ensemble.leaf_tree_ids = given,
            ("class_nodeids", AttributeValue::Ints(given)) => ensemble.leaf_node_ids = given,
            ("class_ids", AttributeValue::Ints(given)) => ensemble.leaf_outputs = given,
            ("class_weights", AttributeValue::Floats(given)) => ensemble.leaf_weights = given,
            ("classlabels_int64s", AttributeValue::Ints(given)) => ensemble.outputs = given.len(),
            ("post_transform", AttributeValue::Text(b"NONE" | b"LOGISTIC" | b"SOFTMAX")) => {}
            (name, value) if ensemble.take(name, value) => {}
            _ => return Err(refused(node, attribute, "is not allowed, or not with such a value")),
        }
    }
    unrepeated(node)?;
    ensemble.check(width)
}

/// A regressor; gives the number of its targets.
pub(super) fn check_regressor(node: &Node, width: usize) -> Result<usize, GuardError> {
    let mut ensemble = Ensemble { outputs: 1, ..Ensemble::default() };
    for attribute in &node.attributes {
        match (attribute.name, &attribute.value) {
            ("target_treeids", AttributeValue::Ints(given)) => ensemble.leaf_tree_ids = given,
            ("target_nodeids", AttributeValue::Ints(given)) => ensemble.leaf_node_ids = given,
            ("target_ids", AttributeValue::Ints(given)) => ensemble.leaf_outputs = given,
            ("target_weights", AttributeValue::Floats(given)) => ensemble.leaf_weights = given,
            ("n_targets", AttributeValue::Int(given @ 1..=64)) => ensemble.outputs = *given as usize,
            ("aggregate_function", AttributeValue::Text(b"SUM" | b"AVERAGE")) => {}
            ("post_transform", AttributeValue::Text(b"NONE" | b"LOGISTIC")) => {}
            (name, value) if ensemble.take(name, value) => {}
            _ => return Err(refused(node, attribute, "is not allowed, or not with such a value")),
        }
    }
    unrepeated(node)?;
    ensemble.check(width)
}

fn unrepeated(node: &Node) -> Result<(), GuardError> {
    for (position, attribute) in node.attributes.iter().enumerate() {
        if node.attributes[..position].iter().any(|other| other.name == attribute.name) {
            return Err(refused(node, attribute, "stands twice"));
        }
    }
    Ok(())
}

fn wrong<T>(attribute: &'static str, entry: usize, problem: &'static str) -> Result<T, GuardError> {
    Err(GuardError::Trees { attribute, entry, problem })
}

impl<'n> Ensemble<'n> {
    /// The attributes that both kinds share.
    fn take(&mut self, name: &str, value: &'n AttributeValue<'n>) -> bool {
        match (name, value) {
            ("nodes_treeids", AttributeValue::Ints(given)) => self.tree_ids = given,
            ("nodes_nodeids", AttributeValue::Ints(given)) => self.node_ids = given,
            ("nodes_featureids", AttributeValue::Ints(given)) => self.feature_ids = given,
            ("nodes_modes", AttributeValue::Texts(given)) => self.modes = given,
            ("nodes_values", AttributeValue::Floats(given)) => self.values = given,
            ("nodes_truenodeids", AttributeValue::Ints(given)) => self.true_ids = given,
            ("nodes_falsenodeids", AttributeValue::Ints(given)) => self.false_ids = given,
            ("nodes_missing_value_tracks_true", AttributeValue::Ints(given)) => self.missing_true = given,
            ("nodes_hitrates", AttributeValue::Floats(given)) => self.hitrates = given,
            ("base_values", AttributeValue::Floats(given)) => self.base_values = given,
            _ => return false,
        }
        true
    }

    fn check(&self, width: usize) -> Result<usize, GuardError> {
        self.check_lengths()?;
        self.check_nodes(width)?;
        let index = self.index()?;
        self.check_structure(&index)?;
        self.check_leaves(&index)?;
        Ok(self.outputs)
    }

    fn check_lengths(&self) -> Result<(), GuardError> {
        let nodes = self.tree_ids.len();
        let optional = |length: usize| if length == 0 { nodes } else { length };
        let lengths = [
            ("nodes_nodeids", self.node_ids.len()),
            ("nodes_featureids", self.feature_ids.len()),
            ("nodes_modes", self.modes.len()),
            ("nodes_values", self.values.len()),
            ("nodes_truenodeids", self.true_ids.len()),
            ("nodes_falsenodeids", self.false_ids.len()),
            ("nodes_missing_value_tracks_true", optional(self.missing_true.len())),
            ("nodes_hitrates", optional(self.hitrates.len())),
        ];
        if let Some((attribute, length)) = lengths.into_iter().find(|&(_, length)| length != nodes || length == 0) {
            return wrong(attribute, length, "its length is not that of `nodes_treeids`, or there are no nodes");
        }
        let weights = self.leaf_weights.len();
        let same = [self.leaf_tree_ids, self.leaf_node_ids, self.leaf_outputs].iter().all(|list| list.len() == weights);
        if !same || weights == 0 {
            return wrong("leaf weights", weights, "their lists differ in length, or there are none");
        }
        if self.outputs == 0 || ![0, 1, self.outputs].contains(&self.base_values.len()) {
            return wrong("base_values", self.base_values.len(), "there must be none, or one an output");
        }
        Ok(())
    }

    fn check_nodes(&self, width: usize) -> Result<(), GuardError> {
        for node in 0..self.tree_ids.len() {
            if !matches!(self.missing_true.get(node), None | Some(0 | 1)) {
                return wrong("nodes_missing_value_tracks_true", node, "0 and 1 are allowed");
            }
            match self.modes[node] {
                b"LEAF" => continue,
                b"BRANCH_LEQ" | b"BRANCH_LT" | b"BRANCH_GTE" | b"BRANCH_GT" | b"BRANCH_EQ" | b"BRANCH_NEQ" => {}
                _ => return wrong("nodes_modes", node, "no such mode"),
            }
            if !usize::try_from(self.feature_ids[node]).is_ok_and(|feature| feature < width) {
                return wrong("nodes_featureids", node, "no such feature in the vector");
            }
            if self.values[node].is_nan() {
                return wrong("nodes_values", node, "a threshold must be a number");
            }
        }
        match self.base_values.iter().position(|value| !value.is_finite()) {
            Some(at) => wrong("base_values", at, "it must be finite"),
            None => Ok(()),
        }
    }

    /// From tree and node id to place in the lists.
    fn index(&self) -> Result<HashMap<(i64, i64), usize>, GuardError> {
        let mut index = HashMap::with_capacity(self.tree_ids.len());
        for (place, (&tree, &node)) in self.tree_ids.iter().zip(self.node_ids).enumerate() {
            if index.insert((tree, node), place).is_some() {
                return wrong("nodes_nodeids", place, "the tree has that node already");
            }
        }
        Ok(index)
    }

    /// Every run of tree ids is one tree, rooted at its first node.
    fn check_structure(&self, index: &HashMap<(i64, i64), usize>) -> Result<(), GuardError> {
        let starts = |&place: &usize| place == 0 || self.tree_ids[place] != self.tree_ids[place - 1];
        let roots: Vec<usize> = (0..self.tree_ids.len()).filter(starts).collect();
        if roots.len() > TREES_MAX {
            return Err(GuardError::TooMany { what: "trees", limit: TREES_MAX });
        }
        let mut seen = vec![false; self.tree_ids.len()];
        let mut open: Vec<(usize, u32)> = roots.into_iter().map(|root| (root, 0)).collect();
        while let Some((place, depth)) = open.pop() {
            if std::mem::replace(&mut seen[place], true) {
                return wrong("nodes_truenodeids", place, "the node is reached twice: this is no tree");
            }
            if depth > DEPTH_MAX {
                return wrong("nodes_truenodeids", place, "the tree is too deep");
            }
            if self.modes[place] == b"LEAF" {
                continue;
            }
            for child in [self.true_ids[place], self.false_ids[place]] {
                match index.get(&(self.tree_ids[place], child)) {
                    Some(&child) => open.push((child, depth + 1)),
                    None => return wrong("nodes_truenodeids", place, "a child that does not exist"),
                }
            }
        }
        match seen.iter().position(|seen| !seen) {
            Some(place) => wrong("nodes_nodeids", place, "nothing leads to the node"),
            None => Ok(()),
        }
    }

    /// Weights belong to leaves, and no leaf is without one.
    fn check_leaves(&self, index: &HashMap<(i64, i64), usize>) -> Result<(), GuardError> {
        let mut weighted = vec![false; self.tree_ids.len()];
        for weight in 0..self.leaf_weights.len() {
            match index.get(&(self.leaf_tree_ids[weight], self.leaf_node_ids[weight])) {
                Some(&place) if self.modes[place] == b"LEAF" => weighted[place] = true,
                _ => return wrong("leaf weights", weight, "it belongs to no leaf"),
            }
            if !usize::try_from(self.leaf_outputs[weight]).is_ok_and(|output| output < self.outputs) {
                return wrong("leaf weights", weight, "no such class or target");
            }
            if !self.leaf_weights[weight].is_finite() {
                return wrong("leaf weights", weight, "it must be finite");
            }
        }
        match (0..weighted.len()).find(|&place| self.modes[place] == b"LEAF" && !weighted[place]) {
            Some(place) => wrong("leaf weights", place, "the leaf has none"),
            None => Ok(()),
        }
    }
}
