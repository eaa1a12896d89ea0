"""LightGBM to ONNX: one tree ensemble whose every branch goes the way LightGBM goes, for every float32 and for NaN.

Written from the booster's own dump rather than with a converter, because three things have to be exactly right:

- A threshold is a double, a vector is float32. Rounded *down* to float32, `x <= threshold` stays the same for every
  float32 x; rounded to the nearest, rows that stand on a threshold change sides.
- A missing value goes where training sent it. In a column that never had one, LightGBM takes NaN for zero.
- The output is one float tensor `probabilities` [N, 2] ([no default, default]): no ZipMap, no label.

A calibration is folded into the leaves (the intercept into those of the first tree), so that the graph is one
operator whatever was done.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import lightgbm
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

INPUT, OUTPUT = "features", "probabilities"


@dataclass
class Nodes:
    """The attributes of a TreeEnsembleClassifier, one entry a node."""

    trees: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    missing_true: list[int] = field(default_factory=list)
    leaf_trees: list[int] = field(default_factory=list)
    leaf_ids: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)

    def add(self, tree: int, node: dict, slope: float, intercept: float, ids: Iterator[int]) -> int:
        """Adds a node and all below it; gives its number in the tree."""
        place, number = len(self.ids), next(ids)
        is_leaf = "leaf_value" in node
        for entries, value in (
            (self.trees, tree),
            (self.ids, number),
            (self.modes, "LEAF" if is_leaf else "BRANCH_LEQ"),
            (self.features, 0 if is_leaf else node["split_feature"]),
            (self.values, 0.0 if is_leaf else float32_below(node["threshold"])),
            (self.true_ids, 0),
            (self.false_ids, 0),
            (self.missing_true, 0 if is_leaf else int(missing_goes_left(node))),
        ):
            entries.append(value)
        if is_leaf:
            self.leaf_trees.append(tree)
            self.leaf_ids.append(number)
            self.leaf_weights.append(slope * node["leaf_value"] + intercept)
        else:
            if node["decision_type"] != "<=":
                raise ValueError(f"a split by `{node['decision_type']}`: the vector holds numbers only")
            self.true_ids[place] = self.add(tree, node["left_child"], slope, intercept, ids)
            self.false_ids[place] = self.add(tree, node["right_child"], slope, intercept, ids)
        return number


def float32_below(threshold: float) -> float:
    """The largest float32 that is not above the threshold."""
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def missing_goes_left(node: dict) -> bool:
    if node["missing_type"] == "NaN":
        return node["default_left"]
    if node["missing_type"] == "None":
        return node["threshold"] >= 0.0
    raise ValueError(f"missing values of type `{node['missing_type']}`: only NaN may stand for a missing value")


def to_onnx(
    booster: lightgbm.Booster, features: list[str], metadata: dict[str, str], slope: float = 1.0, intercept: float = 0.0
) -> bytes:
    """The model file; the same booster gives the same bytes."""
    nodes = Nodes()
    for tree, dumped in enumerate(booster.dump_model()["tree_info"]):
        nodes.add(tree, dumped["tree_structure"], slope, intercept if tree == 0 else 0.0, itertools.count())
    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        [INPUT],
        ["label", OUTPUT],
        domain="ai.onnx.ml",
        nodes_treeids=nodes.trees,
        nodes_nodeids=nodes.ids,
        nodes_modes=nodes.modes,
        nodes_featureids=nodes.features,
        nodes_values=nodes.values,
        nodes_truenodeids=nodes.true_ids,
        nodes_falsenodeids=nodes.false_ids,
        nodes_missing_value_tracks_true=nodes.missing_true,
        class_treeids=nodes.leaf_trees,
        class_nodeids=nodes.leaf_ids,
        # One class id for all leaves makes ONNX Runtime take the model as binary and answer [1 - p, p]; it has to be 0:
        # with 1 it answers [0.5, p].
        class_ids=[0] * len(nodes.leaf_ids),
        class_weights=nodes.leaf_weights,
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
    )
    graph = helper.make_graph(
        [ensemble],
        "cauce",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", len(features)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", 2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, producer_name="cauce training", opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {"cauce.features": json.dumps(features), "cauce.missing": "nan", **metadata})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def probabilities(model: bytes, rows: np.ndarray) -> np.ndarray:
    """Of default, by ONNX Runtime on one thread, as served."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: rows})[0][:, 1]
