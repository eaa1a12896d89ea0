"""How good probabilities are: ranking with its interval, sharpness, and whether they mean what they say."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.metrics import brier_score_loss, log_loss, roc_curve

BINS = 10
Z_95 = float(norm.ppf(0.975))


@dataclass
class Interval:
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass
class Calibration:
    """Log-odds of the outcome as intercept + slope × log-odds of the score: 0 and 1 when scores mean what they say."""

    intercept: float
    slope: float
    slope_error: float
    expected_error: float
    #: Mean score, share of defaults, and number in each tenth of the scores.
    reliability: list[tuple[float, float, int]]

    def is_off(self) -> bool:
        return abs(self.slope - 1) > Z_95 * self.slope_error

    def correction(self) -> tuple[float, float]:
        """Platt's slope and intercept for the model's log-odds; none where the scores are right as they are."""
        return (self.slope, self.intercept) if self.is_off() else (1.0, 0.0)


@dataclass
class Metrics:
    auc: Interval
    ks: float
    brier: float
    log_loss: float
    calibration: Calibration


def measure(labels: np.ndarray, probabilities: np.ndarray) -> Metrics:
    false, true, _ = roc_curve(labels, probabilities)
    return Metrics(
        auc=auc(labels, probabilities),
        ks=float(np.max(true - false)),
        brier=float(brier_score_loss(labels, probabilities)),
        log_loss=float(log_loss(labels, probabilities)),
        calibration=calibration(labels, probabilities),
    )


def auc(labels: np.ndarray, probabilities: np.ndarray) -> Interval:
    """With the 95 % interval of DeLong, DeLong and Clarke-Pearson (1988), computed by ranks."""
    bad, good = probabilities[labels == 1], probabilities[labels == 0]
    together = rankdata(np.concatenate([bad, good]))
    ranked_bad = (together[: len(bad)] - rankdata(bad)) / len(good)
    ranked_good = 1 - (together[len(bad) :] - rankdata(good)) / len(bad)
    value = float(ranked_bad.mean())
    error = float(np.sqrt(ranked_bad.var(ddof=1) / len(bad) + ranked_good.var(ddof=1) / len(good)))
    return Interval(value, value - Z_95 * error, min(value + Z_95 * error, 1.0))


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> Calibration:
    intercept, slope, slope_error = platt(labels, probabilities)
    tenths = np.array_split(np.argsort(probabilities, kind="stable"), BINS)
    reliability = [(float(probabilities[rows].mean()), float(labels[rows].mean()), len(rows)) for rows in tenths]
    expected_error = sum(abs(score - share) * count for score, share, count in reliability) / len(labels)
    return Calibration(intercept, slope, slope_error, expected_error, reliability)


def platt(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float, float]:
    """Intercept, slope and the slope's standard error of a logistic regression on the log-odds, by Newton's method."""
    inputs = np.column_stack([np.ones(len(labels)), logit(np.clip(probabilities, 1e-9, 1 - 1e-9))])
    coefficients = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = expit(inputs @ coefficients)
        information = (inputs * (fitted * (1 - fitted))[:, None]).T @ inputs
        step = np.linalg.solve(information, inputs.T @ (labels - fitted))
        coefficients += step
        if np.max(np.abs(step)) < 1e-12:
            break
    return float(coefficients[0]), float(coefficients[1]), float(np.sqrt(np.linalg.inv(information)[1, 1]))
