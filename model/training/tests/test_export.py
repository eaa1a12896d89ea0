import numpy as np
import pytest

from training import export, fit

from .examples import NAMES, rows_and_labels


@pytest.fixture(scope="module")
def booster():
    return fit.train(*rows_and_labels())


def struck(rows):
    return np.where(np.random.default_rng(3).random(rows.shape) < 0.4, np.float32(np.nan), rows)


def test_the_exported_model_is_the_trained_one_for_known_and_missing_values(booster):
    model = export.to_onnx(booster, NAMES, {})
    rows, _ = rows_and_labels()
    for given in (rows, struck(rows), np.full_like(rows[:1], np.nan)):
        assert np.max(np.abs(export.probabilities(model, given) - booster.predict(given))) <= 1e-6


def test_rows_that_stand_on_a_threshold_stay_on_their_side(booster):
    model = export.to_onnx(booster, NAMES, {})
    # LightGBM takes values within 1e-35 of zero for zero.
    edges = sorted({export.float32_below(node) for node in thresholds(booster) if abs(node) > 1e-30})
    around = np.array(
        [(edge, np.nextafter(np.float32(edge), np.float32(np.inf))) for edge in edges], np.float32
    ).ravel()
    given = np.repeat(around[:, None], len(NAMES), axis=1)
    assert np.max(np.abs(export.probabilities(model, given) - booster.predict(given))) <= 1e-6


def test_a_calibration_is_part_of_the_model(booster):
    rows, _ = rows_and_labels()
    model = export.to_onnx(booster, NAMES, {}, slope=1.2, intercept=-0.1)
    expected = 1 / (1 + np.exp(-(1.2 * booster.predict(rows, raw_score=True) - 0.1)))
    assert np.max(np.abs(export.probabilities(model, rows) - expected)) <= 1e-6


def test_training_twice_gives_the_same_bytes(booster):
    again = fit.train(*rows_and_labels())
    assert export.to_onnx(again, NAMES, {"cauce.trained_at": "2026-11-22"}) == export.to_onnx(
        booster, NAMES, {"cauce.trained_at": "2026-11-22"}
    )


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1.0000000180025095e-35, 1e300, -1e300, 16777217.0, 0.5])
def test_a_threshold_is_rounded_down(threshold):
    below = np.float32(export.float32_below(threshold))
    assert float(below) <= threshold
    with np.errstate(over="ignore"):
        assert float(np.nextafter(below, np.float32(np.inf))) > threshold


def thresholds(booster):
    open_nodes = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while open_nodes:
        node = open_nodes.pop()
        if "threshold" in node:
            yield node["threshold"]
            open_nodes += [node["left_child"], node["right_child"]]
