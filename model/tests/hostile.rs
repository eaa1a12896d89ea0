//! Hostile and broken model files, with `bundle.json` recomputed as an attacker would: refused, quickly and by name, or
//! not different where it can be seen.

use cauce_model::OnnxModel;

use crate::support::Fixture;
use crate::support::encode::{Message, ModelFile, int, interface, node, tensor, text};
use crate::support::forest::{Forest, Random};

const WIDTH: usize = 5;

fn refuses(expected: &str, change: impl FnOnce(&mut ModelFile)) {
    let mut fixture = Fixture::new(3, 4, WIDTH);
    change(&mut fixture.model);
    let refusal = fixture.refusal();
    assert!(refusal.starts_with("`model.onnx`: ") && refusal.contains(expected), "expected `{expected}` in: {refusal}");
}

fn refuses_trees(expected: &str, change: impl FnOnce(&mut Forest)) {
    let mut fixture = Fixture::new(3, 4, WIDTH);
    change(&mut fixture.forest);
    for nodes in [fixture.forest.classifier(), fixture.forest.regressor()] {
        fixture.model.nodes = nodes;
        fixture.model.initializers = vec![tensor("one", &[1], &[1.0])];
        let refusal = fixture.refusal();
        assert!(refusal.contains(expected), "expected `{expected}` in: {refusal}");
    }
}

/// Appends a node that works on the model's input and leads nowhere.
fn aside(operator: &str, attributes: Vec<Message>) -> impl FnOnce(&mut ModelFile) {
    let node = node(operator, &["features"], &["aside"], attributes);
    move |model| model.nodes.push(node)
}

#[test]
fn external_data_are_refused_wherever_they_point() {
    for location in ["../secret", "/etc/passwd", "symlink", "hard-link"] {
        let entry = Message::new().text(1, "location").text(2, location);
        let external = tensor("aside", &[1], &[]).message(13, entry).int(14, 1);
        let in_attribute = Message::new().text(1, "value").message(5, external.clone()).int(20, 4);
        refuses(": external data", |model| model.initializers.push(external));
        refuses(": tensors in attributes", |model| model.nodes.push(node("Constant", &[], &["x"], vec![in_attribute])));
    }
    let located = tensor("aside", &[1], &[1.0]).int(14, 1);
    refuses(": external data", |model| model.initializers.push(located));
}

#[test]
fn functions_and_sub_graphs_are_refused() {
    refuses(": functions", |model| model.extra = Message::new().message(25, Message::new().text(1, "f")));
    refuses(": training information", |model| model.extra = Message::new().message(20, Message::new()));
    let body = Message::new().text(1, "body").message(6, Message::new()).int(20, 5);
    refuses(": sub-graphs", aside("Loop", vec![body]));
    refuses("operator set other than", |model| {
        model.extra = Message::new().message(8, Message::new().text(1, "com.example").int(2, 1));
    });
}

#[test]
fn operators_of_unbounded_cost_are_refused() {
    for operator in ["Expand", "ConstantOfShape", "Tile", "Loop", "If", "Scan", "Sin", "com.microsoft.Gelu"] {
        refuses(&format!("operator `{operator}` is not allowed"), aside(operator, vec![]));
    }
    refuses("more than 64 operators", |model| {
        let sin = |i: usize| node("Sin", &[&format!("x{i}")], &[&format!("x{}", i + 1)], vec![]);
        model.nodes = (0..200_000).map(sin).collect();
    });
    refuses("no or too many columns", |model| {
        let double = |i: usize| {
            let from = if i == 0 { "features".to_owned() } else { format!("x{i}") };
            node("Concat", &[&from, &from], &[&format!("x{}", i + 1)], vec![int("axis", 1)])
        };
        model.nodes.extend((0..40).map(double));
    });
}

#[test]
fn trees_that_are_no_trees_are_refused() {
    // The root of the first tree.
    const BRANCH: usize = 0;
    refuses_trees("no such feature", |forest| forest.feature_ids[BRANCH] = WIDTH as i64);
    refuses_trees("no such feature", |forest| forest.feature_ids[BRANCH] = -1);
    refuses_trees("reached twice", |forest| forest.true_ids[BRANCH] = 0);
    refuses_trees("reached twice", |forest| forest.true_ids[BRANCH] = forest.false_ids[BRANCH]);
    refuses_trees("a child that does not exist", |forest| forest.false_ids[BRANCH] = 99);
    refuses_trees("nothing leads to", |forest| forest.modes[BRANCH] = "LEAF");
    refuses_trees("no such mode", |forest| forest.modes[BRANCH] = "BRANCH_LEAF");
    refuses_trees("must be a number", |forest| forest.values[BRANCH] = f32::NAN);
    refuses_trees("must be finite", |forest| forest.leaf_weights[0] = f32::INFINITY);
    refuses_trees("belongs to no leaf", |forest| forest.leaf_node_ids[0] = 0);
    refuses_trees("no such class or target", |forest| forest.leaf_outputs[0] = 2);
    refuses_trees("has that node already", |forest| forest.node_ids[1] = 0);
    refuses_trees("is not that of `nodes_treeids`", |forest| forest.values.truncate(1));
    refuses_trees("differ in length", |forest| forest.leaf_weights.truncate(1));
    refuses_trees("0 and 1 are allowed", |forest| forest.missing_true[0] = 2);
    refuses_trees("there are no nodes", |forest| *forest = Forest::default());
}

#[test]
fn initializers_hold_what_their_dimensions_say() {
    refuses("negative or too large", |model| model.initializers.push(tensor("x", &[-1], &[1.0])));
    refuses("negative or too large", |model| model.initializers.push(tensor("x", &[1 << 40, 1 << 40], &[1.0])));
    refuses("as many values as", |model| model.initializers.push(tensor("x", &[2], &[1.0])));
    refuses("as many values as", |model| model.initializers.push(tensor("x", &[], &[])));
    refuses("in one way", |model| model.initializers.push(tensor("x", &[1], &[1.0]).bytes(4, &[0; 4])));
    refuses("stands twice", |model| model.initializers = vec![tensor("x", &[1], &[1.0]); 2]);
}

#[test]
fn inputs_and_outputs_are_those_of_the_vector() {
    let open = |name, width| vec![interface(name, &[None, Some(width)])];
    refuses("`features`, float [N, 5]", |model| model.inputs = open("features", 6));
    refuses("`features`, float [N, 5]", |model| model.inputs = open("inputs", 5));
    refuses("with N left open", |model| model.inputs = vec![interface("features", &[Some(1), Some(5)])]);
    refuses("`probabilities`, float [N, 2]", |model| model.outputs = open("probabilities", 3));
    refuses("`probabilities`, float [N, 2]", |model| model.outputs.extend(open("label", 2)));
    refuses("its nodes must give", |model| model.nodes.clear());
    refuses("an input that nothing above it gives", |model| model.nodes.push(node("Neg", &["later"], &["x"], vec![])));
    refuses("whose name is taken", |model| model.nodes.push(node("Neg", &["features"], &["features"], vec![])));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let graph = Message::new().message(7, Message::new());
    refuses("given twice", |model| model.extra = graph);
    refuses("a field 99", |model| model.extra = Message::new().int(99, 1));
    refuses("an unknown wire type", |model| model.extra = Message(vec![0x0b]));
    refuses("not of its type", aside("Neg", vec![Message::new().text(1, "axis").int(3, 1).int(20, 1)]));
    refuses("is not allowed", aside("Neg", vec![int("axis", 1)]));
    refuses("value that is not allowed", aside("Softmax", vec![int("axis", 0)]));
    for garbage in [&b""[..], b"\x00", b"not a model", &[0xff; 64]] {
        assert!(Fixture::new(3, 4, WIDTH).load_bytes(garbage).is_err());
    }
}

#[test]
fn outputs_that_are_no_probabilities_are_refused() {
    let mut fixture = Fixture::new(3, 4, WIDTH).with_regressor();
    fixture.model.nodes[1] = node("Identity", &["log_odds"], &["default"], vec![]);
    assert!(fixture.refusal().contains("is no probability"), "{}", fixture.refusal());
    let mut fixture = Fixture::new(3, 4, WIDTH).with_regressor();
    fixture.model.nodes[2] = node("Identity", &["default"], &["rest"], vec![]);
    assert!(fixture.refusal().contains("is no probability"), "{}", fixture.refusal());
    // Weights of class 1 instead of 0 look right, and give 0.5 for the other class whatever the row.
    let mut fixture = Fixture::new(3, 4, WIDTH);
    fixture.forest.leaf_outputs.fill(1);
    fixture.model.nodes = fixture.forest.classifier();
    assert!(fixture.refusal().contains("is no probability"), "{}", fixture.refusal());
    refuses("not with such a value", |model| {
        model.nodes[0] = model.nodes[0].clone().message(5, text("post_transform", "PROBIT"));
    });
}

/// Bytes flipped or cut off anywhere: either the bundle is refused, or its golden rows are what they were.
#[test]
fn a_damaged_model_is_refused_or_scores_the_same() {
    let fixture = Fixture::new(6, 5, WIDTH);
    let sound = fixture.model.bytes();
    let mut random = Random::new(11);
    let mut loaded = 0;
    for round in 0..1500 {
        let mut damaged = sound.clone();
        match round % 4 {
            0 => damaged.truncate(random.below(sound.len())),
            1 => damaged[random.below(sound.len())] = random.below(256) as u8,
            _ => damaged[random.below(sound.len())] ^= 1 << random.below(8),
        }
        let Ok(bundle) = fixture.load_bytes(&damaged) else { continue };
        loaded += 1;
        let mut model = OnnxModel::new(&bundle).expect("a session");
        for golden in &bundle.reference().golden {
            let probability = model.probabilities(&golden.vector).expect("a probability")[0];
            assert!((probability - golden.probability).abs() <= 1e-6, "in round {round}");
        }
    }
    // Names, remarks and thresholds that no golden row is near to may change; little else.
    assert!(loaded < 500, "{loaded} of 1500 damaged models loaded");
}
