"""ONNX to LightGBM: the trees of a bundle's model as a text file that `lightgbm.Booster` loads.

For a comparison with services that run LightGBM itself: they have to answer with the very model that is served. It
is the way back from `export`, branch for branch:

- A threshold is a float32 there and a double here, so it is taken as it is, digit for digit.
- Every branch says where a missing value goes, whether its column ever had one or not.
- The calibration is in the leaves already, and the probability is their sum through the same logistic function.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import helper

from . import bundle

#: Bits of LightGBM's `decision_type`: NaN is the missing value, and it goes left.
MISSING_IS_NAN, MISSING_GOES_LEFT = 8, 2


@dataclass
class Tree:
    """One tree in LightGBM's lists: a branch is a place in the first four, a leaf is one in the last."""

    split_feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    decision_type: list[int] = field(default_factory=list)
    #: A branch's place, or a leaf's from -1 downwards.
    left_child: list[int] = field(default_factory=list)
    right_child: list[int] = field(default_factory=list)
    leaf_value: list[float] = field(default_factory=list)

    def add(self, nodes: dict[int, dict], weights: dict[int, float], number: int) -> int:
        """Adds a node and all below it; gives what its parent calls it."""
        node = nodes[number]
        if node["mode"] == "LEAF":
            self.leaf_value.append(weights[number])
            return -len(self.leaf_value)
        if node["mode"] != "BRANCH_LEQ":
            raise ValueError(f"a branch by `{node['mode']}`: LightGBM has `BRANCH_LEQ` only")
        place = len(self.threshold)
        self.split_feature.append(node["feature"])
        self.threshold.append(node["value"])
        self.decision_type.append(MISSING_IS_NAN + MISSING_GOES_LEFT * node["missing_true"])
        self.left_child.append(0)
        self.right_child.append(0)
        self.left_child[place] = self.add(nodes, weights, node["true_id"])
        self.right_child[place] = self.add(nodes, weights, node["false_id"])
        return place

    def to_text(self, number: int) -> str:
        lines = [f"Tree={number}", f"num_leaves={len(self.leaf_value)}", "num_cat=0"]
        # `repr` of a double is the shortest text that is read back as the same one.
        lines += [f"{name}={' '.join(map(repr, values))}" for name, values in vars(self).items()]
        return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", ""])


def to_lightgbm(model: bytes) -> str:
    """The text of a model that `export` has made."""
    loaded = onnx.load_model_from_string(model)
    features = json.loads(next(entry.value for entry in loaded.metadata_props if entry.key == "cauce.features"))
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={len(features) - 1}",
        "objective=binary sigmoid:1",
        f"feature_names={' '.join(features)}",
        f"feature_infos={' '.join(['[-inf:inf]'] * len(features))}",
        "",
        "",
    ]
    trees = [tree.to_text(number) for number, tree in enumerate(trees_of(loaded))]
    return "\n".join(head) + "\n".join(trees) + "\nend of trees\n"


def trees_of(model: onnx.ModelProto) -> Iterator[Tree]:
    [ensemble] = model.graph.node
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in ensemble.attribute}
    if ensemble.op_type != "TreeEnsembleClassifier" or given["post_transform"] != b"LOGISTIC":
        raise ValueError(f"a model of `{ensemble.op_type}`: it has to be a logistic `TreeEnsembleClassifier`")
    nodes, weights = {}, {}
    for tree, number, mode, feature, value, true_id, false_id, missing_true in zip(
        given["nodes_treeids"],
        given["nodes_nodeids"],
        given["nodes_modes"],
        given["nodes_featureids"],
        given["nodes_values"],
        given["nodes_truenodeids"],
        given["nodes_falsenodeids"],
        given["nodes_missing_value_tracks_true"],
        strict=True,
    ):
        nodes.setdefault(tree, {})[number] = {
            "mode": mode.decode(),
            "feature": feature,
            "value": value,
            "true_id": true_id,
            "false_id": false_id,
            "missing_true": missing_true,
        }
    for tree, number, weight in zip(
        given["class_treeids"], given["class_nodeids"], given["class_weights"], strict=True
    ):
        weights.setdefault(tree, {})[number] = weight
    for tree in sorted(nodes):
        made = Tree()
        made.add(nodes[tree], weights[tree], 0)
        yield made


def main() -> None:
    parser = argparse.ArgumentParser(prog="training.booster", description=__doc__)
    parser.add_argument("bundle", type=Path, help="the directory of a bundle")
    parser.add_argument("out", type=Path, help="where to write the text")
    options = parser.parse_args()
    options.out.write_text(to_lightgbm((options.bundle / bundle.MODEL).read_bytes()))


if __name__ == "__main__":
    main()
