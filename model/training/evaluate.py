"""All that the model card says in numbers, measured out of fold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from . import fit, metrics, scorecard
from .bundle import Policy
from .metrics import Interval, Metrics
from .people import Source
from .table import Table

MORE_SEEDS = (43, 44)


@dataclass
class Stale:
    """What it costs when the newest events have not arrived."""

    withheld: str
    #: The model as it is, served a history without them.
    served: Interval
    #: A model that was trained without them too.
    retrained: Interval


@dataclass
class Segment:
    field: str
    group: str
    applications: int
    default_rate: float
    mean_score: float
    approved: float
    auc: Interval


@dataclass
class Outcome:
    decision: str
    share: float
    default_rate: float


@dataclass
class Evaluation:
    #: Out of fold, corrected as the exported model is.
    probabilities: np.ndarray
    model: Metrics
    other_seeds: list[float]
    scorecard: Metrics
    anchors: dict[str, Metrics]
    with_protected: Interval | None
    stale: list[Stale]
    outcomes: list[Outcome]
    segments: list[Segment]


def evaluate(
    table: Table, source: Source, policy: Policy, spans: list[str], stale_table: Callable[[str], Table]
) -> Evaluation:
    labels = table.labels
    folds = fit.folds(labels, source.groups)
    model = fit.out_of_fold(table.rows, labels, folds)
    measured = metrics.measure(labels, model.probabilities)
    slope, intercept = measured.calibration.correction()
    probabilities = expit(slope * logit(model.probabilities) + intercept)

    # One table at a time: they are large.
    def stale(span: str) -> Stale:
        rows = stale_table(span).rows
        served = metrics.auc(labels, fit.predict(model.boosters, rows, folds))
        return Stale(span, served, metrics.auc(labels, fit.out_of_fold(rows, labels, folds).probabilities))

    return Evaluation(
        probabilities=probabilities,
        model=measured,
        other_seeds=[auc_of_seed(table, source, seed) for seed in MORE_SEEDS],
        scorecard=metrics.measure(labels, scorecard.out_of_fold(table.features, table.rows, labels, folds)),
        anchors={name: metrics.measure(labels, anchor(folds)) for name, anchor in source.anchors.items()},
        with_protected=auc_with_protected(table, source, folds),
        stale=[stale(span) for span in spans],
        outcomes=outcomes(labels, probabilities, policy),
        segments=segments(labels, probabilities, source, policy),
    )


def auc_of_seed(table: Table, source: Source, seed: int) -> float:
    folds = fit.folds(table.labels, source.groups, seed)
    return metrics.auc(table.labels, fit.out_of_fold(table.rows, table.labels, folds).probabilities).value


def auc_with_protected(table: Table, source: Source, folds: fit.Folds) -> Interval | None:
    """The same model with the protected columns added, which no bundle ever sees."""
    if source.protected is None:
        return None
    rows = np.column_stack([table.rows, source.protected.astype(np.float32)])
    return metrics.auc(table.labels, fit.out_of_fold(rows, table.labels, folds).probabilities)


def outcomes(labels: np.ndarray, probabilities: np.ndarray, policy: Policy) -> list[Outcome]:
    decided = np.digitize(probabilities, [policy.approve_below, policy.decline_from])
    of = [(name, decided == number) for number, name in enumerate(["approve", "refer", "decline"])]
    return [Outcome(name, float(rows.mean()), float(labels[rows].mean()) if rows.any() else 0.0) for name, rows in of]


def segments(labels: np.ndarray, probabilities: np.ndarray, source: Source, policy: Policy) -> list[Segment]:
    rows = []
    for field, values in source.segments.items():
        for group in np.unique(values):
            of = values == group
            if 0 < labels[of].sum() < of.sum():
                rows.append(
                    Segment(
                        field=field,
                        group=str(group),
                        applications=int(of.sum()),
                        default_rate=float(labels[of].mean()),
                        mean_score=float(probabilities[of].mean()),
                        approved=float((probabilities[of] < policy.approve_below).mean()),
                        auc=metrics.auc(labels[of], probabilities[of]),
                    )
                )
    return rows
