"""The model: 200 small trees, the same bits every time they are trained, and what they say about rows they have not
seen.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

#: Two threads, fixed: the order in which LightGBM adds up histograms, and so the last bits, depend on their number.
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.8,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "seed": 42,
    "verbosity": -1,
}
TREES = 200
FOLDS = 5
SEED = 42

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class OutOfFold:
    """What models trained on the other folds say, and those models."""

    probabilities: np.ndarray
    boosters: list[lightgbm.Booster]


def folds(labels: np.ndarray, groups: np.ndarray, seed: int = SEED) -> Folds:
    """Stratified; where people have several applications, all of one person's stand in one fold."""
    if len(np.unique(groups)) == len(groups):
        split = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    else:
        split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, groups)
    return list(split)


def train(rows: np.ndarray, labels: np.ndarray) -> lightgbm.Booster:
    return lightgbm.train(PARAMETERS, lightgbm.Dataset(rows, labels), TREES)


def out_of_fold(rows: np.ndarray, labels: np.ndarray, folds: Folds) -> OutOfFold:
    boosters = [train(rows[trained], labels[trained]) for trained, _ in folds]
    return OutOfFold(predict(boosters, rows, folds), boosters)


def predict(boosters: list[lightgbm.Booster], rows: np.ndarray, folds: Folds) -> np.ndarray:
    """Each row by the booster that has not seen it; the rows may be stale ones."""
    probabilities = np.empty(len(rows))
    for booster, (_, tested) in zip(boosters, folds, strict=True):
        probabilities[tested] = booster.predict(rows[tested])
    return probabilities
