//! Bundles whose models are slow or fail, on the specification of the default bundle: everything but the model and its golden
//! probabilities is copied from there, so the service takes them like any other.

/// Writes ONNX files.
#[allow(dead_code)]
#[path = "../../model/tests/support/encode.rs"]
mod encode;
/// Trees in the form that ONNX has for them.
#[allow(dead_code)]
#[path = "../../model/tests/support/forest.rs"]
mod forest;

use std::collections::BTreeMap;
use std::fs;

use cauce_model::{Bundle, Limits};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::encode::{Message, ModelFile, int, node, tensor};
use self::forest::Forest;
use super::history::BUNDLE;
use super::{Directory, repository};

/// The least that the service takes: each is run by itself when the bundle is loaded.
const GOLDEN_ROWS: usize = 20;

/// Columns of the slow model's layers, and how many there are: the most that the guard allows.
const COLUMNS: usize = 1024;
const LAYERS: usize = 54;
/// Matrices that the layers take in turn, as many as fit into a file: together they are in no cache.
const MATRICES: usize = 7;
/// ONNX's number for doubles, and for floats.
const DOUBLE: i64 = 11;
const FLOAT: i64 = 1;

/// What the failing model fails on. No golden row and no probe of the loader comes near.
pub(crate) const FAILING_AMOUNT: u64 = 6_666;

/// A model that takes more than 100 ms for a row, in steps of some 2 ms: means of means, of matrices that are read from memory each time.
pub(crate) fn slow(name: &str) -> Directory {
    let log_odds = |amount: f64| -> f64 { if amount <= 5_000.0 { -2.0 } else { -1.0 } };
    let steps = steps(amount_place(), &[5_000.0], &[-2.0, -1.0]);
    let mut nodes = vec![
        steps.regressor().swap_remove(0),
        node("MatMul", &["log_odds", "widen"], &["wide"], vec![]),
        node("Cast", &["wide"], &["layer 0"], vec![int("to", DOUBLE)]),
    ];
    for layer in 0..LAYERS {
        let (input, output) = (format!("layer {layer}"), format!("layer {}", layer + 1));
        let mean = format!("mean {}", layer % MATRICES);
        nodes.push(node("Gemm", &[&input, &mean], &[&output], vec![]));
    }
    nodes.extend([
        node("Cast", &[&format!("layer {LAYERS}")], &["narrow"], vec![int("to", FLOAT)]),
        node("MatMul", &["narrow", "first"], &["result"], vec![]),
        node("Sigmoid", &["result"], &["default"], vec![]),
        node("Sub", &["one", "default"], &["rest"], vec![]),
        node("Concat", &["rest", "default"], &["probabilities"], vec![int("axis", 1)]),
    ]);
    let columns = COLUMNS as i64;
    let mut first = vec![0.0; COLUMNS];
    first[0] = 1.0;
    let mut initializers = vec![
        tensor("widen", &[1, columns], &[1.0; COLUMNS]),
        tensor("first", &[columns, 1], &first),
        tensor("one", &[1], &[1.0]),
    ];
    let mean = |number| doubles(&format!("mean {number}"), &[columns, columns], 1.0 / COLUMNS as f64);
    initializers.extend((0..MATRICES).map(mean));
    bundle(name, nodes, initializers, &|amount| 1.0 / (1.0 + (-log_odds(amount)).exp()))
}

/// A model that says what is no probability of one amount, [`FAILING_AMOUNT`].
pub(crate) fn failing(name: &str) -> Directory {
    let failing = FAILING_AMOUNT as f32;
    let steps = steps(amount_place(), &[failing - 0.5, failing + 0.5], &[0.0625, 2.0, 0.25]);
    let nodes = vec![
        steps.regressor().swap_remove(0),
        node("Sub", &["one", "log_odds"], &["rest"], vec![]),
        node("Concat", &["rest", "log_odds"], &["probabilities"], vec![int("axis", 1)]),
    ];
    let probability = |amount: f64| if amount <= f64::from(failing) - 0.5 { 0.0625 } else { 0.25 };
    bundle(name, nodes, vec![tensor("one", &[1], &[1.0])], &probability)
}

/// One tree over one feature: a value up to each edge, and one above the last.
fn steps(feature: usize, edges: &[f32], values: &[f32]) -> Forest {
    let mut forest = Forest::default();
    let mut push = |mode, edge: Option<f32>, value: f32| {
        let id = forest.node_ids.len() as i64;
        forest.tree_ids.push(0);
        forest.node_ids.push(id);
        forest.modes.push(mode);
        forest.missing_true.push(0);
        forest.feature_ids.push(edge.map_or(0, |_| feature as i64));
        forest.values.push(edge.unwrap_or_default());
        forest.true_ids.push(edge.map_or(0, |_| id + 1));
        forest.false_ids.push(edge.map_or(0, |_| id + 2));
        if edge.is_none() {
            forest.leaf_tree_ids.push(0);
            forest.leaf_node_ids.push(id);
            forest.leaf_outputs.push(0);
            forest.leaf_weights.push(value);
        }
    };
    for (edge, value) in edges.iter().zip(values) {
        push("BRANCH_LEQ", Some(*edge), 0.0);
        push("LEAF", None, *value);
    }
    push("LEAF", None, values[edges.len()]);
    forest
}

fn bundle(name: &str, nodes: Vec<Message>, initializers: Vec<Message>, probability: &dyn Fn(f64) -> f64) -> Directory {
    let directory = Directory::new(name);
    let origin = repository().join(BUNDLE);
    for file in ["features.toml", "scorecard.json", "reasons.toml", "MODEL_CARD.md"] {
        fs::copy(origin.join(file), directory.path(file)).unwrap();
    }
    let metadata = metadata();
    let mut model = ModelFile::new(names(&metadata).len(), nodes);
    model.initializers = initializers;
    let needed = ["cauce.features", "cauce.specification", "cauce.missing"];
    model.metadata = needed.map(|key| (key.to_owned(), metadata[key].clone())).into();
    fs::write(directory.path("model.onnx"), model.bytes()).unwrap();

    let mut reference: Value = serde_json::from_slice(&fs::read(origin.join("reference.json")).unwrap()).unwrap();
    let golden = reference["golden"].as_array_mut().unwrap();
    golden.truncate(GOLDEN_ROWS);
    for row in golden {
        row["probability"] = json!(probability(row["vector"][amount_place()].as_f64().unwrap()));
    }
    directory.write("reference.json", &reference.to_string());
    seal(&directory, name);
    directory
}

/// Writes `bundle.json` for the files as they are.
fn seal(directory: &Directory, name: &str) {
    let files = ["features.toml", "model.onnx", "scorecard.json", "reasons.toml", "reference.json", "MODEL_CARD.md"];
    let hash = |file: &str| {
        let digest = Sha256::digest(fs::read(directory.path(file)).unwrap());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let hashes: BTreeMap<&str, String> = files.iter().map(|file| (*file, hash(file))).collect();
    let manifest = json!({"format": 1, "name": name, "version": "2026.11.1", "files": hashes});
    directory.write("bundle.json", &manifest.to_string());
}

/// What the default model says of itself.
fn metadata() -> BTreeMap<String, String> {
    let bundle = Bundle::load(&repository().join(BUNDLE), &Limits::default()).expect("the default bundle loads");
    bundle.metadata().clone()
}

fn names(metadata: &BTreeMap<String, String>) -> Vec<String> {
    serde_json::from_str(&metadata["cauce.features"]).unwrap()
}

/// Where the amount stands in a vector.
fn amount_place() -> usize {
    let features = fs::read_to_string(repository().join(BUNDLE).join("features.toml")).unwrap();
    let names = features.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    // The first name is that of the specification.
    names.skip(1).position(|name| name == "amount").expect("the default bundle looks at the amount")
}

/// TensorProto of doubles, all the same.
fn doubles(name: &str, dimensions: &[i64], value: f64) -> Message {
    let count = dimensions.iter().product::<i64>() as usize;
    let raw: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), count).flatten().collect();
    let tensor = dimensions.iter().fold(Message::new(), |tensor, &size| tensor.int(1, size));
    tensor.int(2, DOUBLE).text(8, name).bytes(9, &raw)
}
