"""The fallback: additive points on binned features, which a person can read and which cannot fail.

Bins come from a small tree on each feature alone, points from one L2-regularised logistic regression on all bins;
that regression is the calibration. Points of a feature are centred on the training rows, so that zero points mean "as
usual" and a value that training never saw missing adds nothing when it is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from .fit import Folds

BINS_MAX = 6
BIN_SHARE_MIN = 0.02
REGULARISATION = 1.0
#: Fewer decimals would show in the sum; more are noise in the file.
DECIMALS = 6


@dataclass
class Bins:
    name: str
    #: Rising float32 values: a value falls in the first bin whose edge is above it.
    edges: np.ndarray
    points: np.ndarray
    missing: float

    def of(self, values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), self.missing, self.points[np.searchsorted(self.edges, values, side="right")])


@dataclass
class Scorecard:
    intercept: float
    features: list[Bins]

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        return expit(self.intercept + sum(bins.of(rows[:, column]) for column, bins in enumerate(self.features)))

    def to_json(self) -> dict:
        return {"format": 1, "intercept": self.intercept, "features": [feature_json(bins) for bins in self.features]}


def feature_json(bins: Bins) -> dict:
    edges = [*map(float, bins.edges), None]
    rows = [{"below": below, "points": float(points)} for below, points in zip(edges, bins.points, strict=True)]
    return {"name": bins.name, "missing": bins.missing, "bins": rows}


def train(names: list[str], rows: np.ndarray, labels: np.ndarray) -> Scorecard:
    edges = [edges_of(rows[:, column], labels) for column in range(rows.shape[1])]
    coded = [codes(rows[:, column], own) for column, own in enumerate(edges)]
    columns = [code == value for code, own in zip(coded, edges, strict=True) for value in range(len(own) + 2)]
    model = LogisticRegression(C=REGULARISATION, solver="newton-cholesky").fit(
        np.column_stack(columns).astype(np.float64), labels
    )
    weights, intercept, features, first = model.coef_[0], float(model.intercept_[0]), [], 0
    for name, own, code in zip(names, edges, coded, strict=True):
        points = weights[first : first + len(own) + 2]
        first += len(points)
        centre = float(points[code].mean())
        intercept += centre
        points = np.round(points - centre, DECIMALS)
        missing = float(points[-1]) if np.any(code == len(points) - 1) else 0.0
        features.append(Bins(name, own, points[:-1], missing))
    return Scorecard(round(intercept, DECIMALS), features)


def edges_of(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where a small tree on this feature alone would cut."""
    known = ~np.isnan(values)
    leaf = max(int(BIN_SHARE_MIN * len(values)), 1)
    if known.sum() < 2 * leaf:
        return np.empty(0, np.float32)
    tree = DecisionTreeClassifier(max_leaf_nodes=BINS_MAX, min_samples_leaf=leaf, random_state=0)
    tree = tree.fit(values[known, None], labels[known]).tree_
    return np.unique(tree.threshold[tree.feature >= 0].astype(np.float32))


def codes(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value; one more for a missing value."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def out_of_fold(names: list[str], rows: np.ndarray, labels: np.ndarray, folds: Folds) -> np.ndarray:
    probabilities = np.empty(len(labels))
    for trained, tested in folds:
        probabilities[tested] = train(names, rows[trained], labels[trained]).probabilities(rows[tested])
    return probabilities
