//! Random tree ensembles: as lists that a test may damage, as ONNX nodes, and evaluated without ONNX Runtime.

use super::encode::{Message, floats, int, ints, node, text, texts};

/// A small generator with a seed, so that a failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    /// Within [-1, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0
    }

    /// Rows of features, one value in twenty missing.
    pub(crate) fn rows(&mut self, count: usize, width: usize) -> Vec<f32> {
        (0..count * width).map(|_| if self.below(20) == 0 { f32::NAN } else { self.unit() }).collect()
    }
}

/// The parallel lists of a tree ensemble.
#[derive(Clone, Default)]
pub(crate) struct Forest {
    pub(crate) tree_ids: Vec<i64>,
    pub(crate) node_ids: Vec<i64>,
    pub(crate) feature_ids: Vec<i64>,
    pub(crate) modes: Vec<&'static str>,
    pub(crate) values: Vec<f32>,
    pub(crate) true_ids: Vec<i64>,
    pub(crate) false_ids: Vec<i64>,
    pub(crate) missing_true: Vec<i64>,
    pub(crate) leaf_tree_ids: Vec<i64>,
    pub(crate) leaf_node_ids: Vec<i64>,
    pub(crate) leaf_outputs: Vec<i64>,
    pub(crate) leaf_weights: Vec<f32>,
}

impl Forest {
    /// Trees grown by splitting a random leaf until there are enough, as a boosted ensemble has them.
    pub(crate) fn random(seed: u64, trees: usize, leaves: usize, width: usize) -> Forest {
        let (mut random, mut forest) = (Random::new(seed), Forest::default());
        for tree in 0..trees {
            let start = forest.node_ids.len();
            let mut open = vec![forest.push(tree, 0)];
            for _ in 1..leaves {
                let branch = open.swap_remove(random.below(open.len()));
                let child = forest.node_ids.len() - start;
                forest.modes[branch] = "BRANCH_LEQ";
                forest.feature_ids[branch] = random.below(width) as i64;
                forest.values[branch] = random.unit() * 0.7;
                forest.true_ids[branch] = child as i64;
                forest.false_ids[branch] = child as i64 + 1;
                forest.missing_true[branch] = random.below(2) as i64;
                open.extend([forest.push(tree, child), forest.push(tree, child + 1)]);
            }
            for leaf in open {
                forest.leaf_tree_ids.push(tree as i64);
                forest.leaf_node_ids.push(forest.node_ids[leaf]);
                forest.leaf_outputs.push(0);
                forest.leaf_weights.push(random.unit() * 2.0 / (trees as f32).sqrt());
            }
        }
        forest
    }

    fn push(&mut self, tree: usize, node: usize) -> usize {
        self.tree_ids.push(tree as i64);
        self.node_ids.push(node as i64);
        self.modes.push("LEAF");
        self.values.push(0.0);
        for list in [&mut self.feature_ids, &mut self.true_ids, &mut self.false_ids, &mut self.missing_true] {
            list.push(0);
        }
        self.node_ids.len() - 1
    }

    /// What a sound runtime makes of a row.
    pub(crate) fn probability(&self, row: &[f32]) -> f32 {
        let place =
            |tree, node| (0..self.node_ids.len()).find(|&i| (self.tree_ids[i], self.node_ids[i]) == (tree, node));
        let mut log_odds = 0.0f64;
        for tree in 0..=self.tree_ids[self.tree_ids.len() - 1] {
            let mut at = place(tree, 0).expect("a root");
            while self.modes[at] != "LEAF" {
                let value = row[self.feature_ids[at] as usize];
                let left = if value.is_nan() { self.missing_true[at] == 1 } else { value <= self.values[at] };
                at = place(tree, if left { self.true_ids[at] } else { self.false_ids[at] }).expect("a child");
            }
            let leaf = (0..self.leaf_weights.len())
                .find(|&i| (self.leaf_tree_ids[i], self.leaf_node_ids[i]) == (tree, self.node_ids[at]));
            log_odds += f64::from(self.leaf_weights[leaf.expect("a weight")]);
        }
        (1.0 / (1.0 + (-log_odds).exp())) as f32
    }

    /// One operator that gives both probabilities.
    pub(crate) fn classifier(&self) -> Vec<Message> {
        let mut attributes = self.nodes();
        attributes.extend([
            ints("class_treeids", &self.leaf_tree_ids),
            ints("class_nodeids", &self.leaf_node_ids),
            ints("class_ids", &self.leaf_outputs),
            floats("class_weights", &self.leaf_weights),
            ints("classlabels_int64s", &[0, 1]),
            text("post_transform", "LOGISTIC"),
        ]);
        vec![node("ai.onnx.ml.TreeEnsembleClassifier", &["features"], &["label", "probabilities"], attributes)]
    }

    /// The sum of the trees first, its sigmoid then, and the other class beside it. Needs an initializer `one`.
    pub(crate) fn regressor(&self) -> Vec<Message> {
        let mut attributes = self.nodes();
        attributes.extend([
            ints("target_treeids", &self.leaf_tree_ids),
            ints("target_nodeids", &self.leaf_node_ids),
            ints("target_ids", &self.leaf_outputs),
            floats("target_weights", &self.leaf_weights),
            int("n_targets", 1),
        ]);
        vec![
            node("ai.onnx.ml.TreeEnsembleRegressor", &["features"], &["log_odds"], attributes),
            node("Sigmoid", &["log_odds"], &["default"], vec![]),
            node("Sub", &["one", "default"], &["rest"], vec![]),
            node("Concat", &["rest", "default"], &["probabilities"], vec![int("axis", 1)]),
        ]
    }

    fn nodes(&self) -> Vec<Message> {
        vec![
            ints("nodes_treeids", &self.tree_ids),
            ints("nodes_nodeids", &self.node_ids),
            ints("nodes_featureids", &self.feature_ids),
            texts("nodes_modes", &self.modes),
            floats("nodes_values", &self.values),
            ints("nodes_truenodeids", &self.true_ids),
            ints("nodes_falsenodeids", &self.false_ids),
            ints("nodes_missing_value_tracks_true", &self.missing_true),
        ]
    }
}
