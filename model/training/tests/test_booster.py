import lightgbm
import numpy as np
import onnx
import pytest
from onnx import helper

from training import booster, bundle, export, fit
from training.__main__ import ARTIFACTS, TOLERANCE

from .examples import NAMES, rows_and_labels


def struck(rows):
    return np.where(np.random.default_rng(5).random(rows.shape) < 0.3, np.float32(np.nan), rows)


def on_and_beside_thresholds(read, columns):
    """A row for each threshold that holds it in every column, and one with the next float32 above."""
    edges = np.array(sorted({value for tree in read for value in tree.threshold if abs(value) > 1e-30}), np.float32)
    with np.errstate(over="ignore"):
        above = np.nextafter(edges, np.float32(np.inf))
    return np.repeat(np.concatenate([edges, above])[:, None], columns, axis=1)


@pytest.mark.parametrize("name", ["ahorro-valle", "taiwan"])
def test_a_bundle_that_ships_is_the_same_model_in_lightgbm(name):
    model = (ARTIFACTS / name / bundle.MODEL).read_bytes()
    loaded = onnx.load_model_from_string(model)
    again = lightgbm.Booster(model_str=booster.to_lightgbm(model))
    columns = again.num_feature()
    random = np.random.default_rng(7).normal(scale=100, size=(5_000, columns)).astype(np.float32)
    edges = on_and_beside_thresholds(list(booster.trees_of(loaded)), columns)
    for given in (random, struck(random), edges, struck(edges), np.full((1, columns), np.nan, np.float32)):
        assert np.max(np.abs(export.probabilities(model, given) - again.predict(given))) <= TOLERANCE


def test_a_model_comes_back_as_it_was_trained():
    rows, labels = rows_and_labels()
    trained = fit.train(rows, labels)
    again = lightgbm.Booster(model_str=booster.to_lightgbm(export.to_onnx(trained, NAMES, {})))
    assert again.feature_name() == NAMES
    assert np.max(np.abs(again.predict(struck(rows)) - trained.predict(struck(rows)))) <= TOLERANCE


def test_another_kind_of_model_is_refused():
    node = helper.make_node("Identity", ["features"], ["probabilities"])
    graph = helper.make_graph([node], "other", [], [])
    model = helper.make_model(graph)
    with pytest.raises(ValueError, match="`Identity`"):
        list(booster.trees_of(model))
