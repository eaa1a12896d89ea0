import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training import metrics


def sample(count=4_000, slope=1.0):
    random = np.random.default_rng(5)
    log_odds = random.normal(-1, 1.2, count)
    labels = (random.random(count) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return labels, 1 / (1 + np.exp(-slope * log_odds))


def test_auc_counts_ties_as_half_and_its_interval_holds_it():
    labels, probabilities = sample()
    probabilities = np.round(probabilities, 2)
    auc = metrics.auc(labels, probabilities)
    assert auc.value == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
    assert auc.low < auc.value < auc.high < auc.low + 0.06


def test_scores_that_mean_what_they_say_are_left_alone():
    assert not metrics.calibration(*sample()).is_off()


def test_scores_that_are_too_bold_are_found_out():
    labels, probabilities = sample(slope=2.0)
    calibration = metrics.calibration(labels, probabilities)
    assert calibration.is_off()
    assert calibration.slope == pytest.approx(0.5, abs=0.06)
