import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from training import bundle, scorecard
from training.metrics import calibration
from training.recipes import RECIPES

from .examples import NAMES, rows_and_labels

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"
POLICY = bundle.Policy(0.1, 0.4, [("A", 0.1), ("B", None)])


@pytest.fixture(scope="module")
def card():
    return scorecard.train(NAMES, *rows_and_labels())


def test_a_scorecard_is_calibrated_by_its_own_fit(card):
    rows, labels = rows_and_labels()
    probabilities = card.probabilities(rows)
    assert probabilities.mean() == pytest.approx(labels.mean(), abs=1e-3)
    assert calibration(labels, probabilities).slope == pytest.approx(1, abs=0.1)


def test_points_are_zero_on_average_and_absence_is_ordinary_where_training_never_saw_it(card):
    rows, _ = rows_and_labels()
    assert all(abs(bins.of(rows[:, column]).mean()) < 1e-5 for column, bins in enumerate(card.features))
    assert card.features[0].missing == 0.0 != card.features[2].missing


def test_bins_rise_in_float32_and_the_last_is_open(card):
    for feature in card.to_json()["features"]:
        *edges, last = [row["below"] for row in feature["bins"]]
        assert last is None and edges == sorted(set(edges)) == [float(np.float32(edge)) for edge in edges]


def test_a_value_on_an_edge_falls_above_it(card):
    bins = card.features[0]
    edge = bins.edges[0]
    assert list(bins.of(np.array([np.nextafter(edge, np.float32(-np.inf)), edge]))) == list(bins.points[:2])


def test_shares_and_missing_make_a_whole():
    rows, _ = rows_and_labels()
    for column in range(len(NAMES)):
        found = bundle.distribution(rows[:, column])
        assert len(found["shares"]) == len(found["edges"]) + 1
        assert sum(found["shares"]) + found["missing"] == pytest.approx(1, abs=1e-5)
    assert bundle.distribution(np.full(5, np.nan)) == {"edges": [], "shares": [0.0], "missing": 1.0}


def test_golden_rows_have_missing_values_among_them_and_none_becomes_a_number(card):
    rows, _ = rows_and_labels()
    vectors = bundle.golden_vectors(rows, card.probabilities(rows))
    golden = bundle.golden_rows(vectors, np.full(len(vectors), 0.5, np.float32), card)
    read = json.loads(bundle.to_lines(bundle.reference(POLICY, NAMES, rows, card.probabilities(rows), golden)))[
        "golden"
    ]
    back = np.array([[np.nan if value is None else value for value in row["vector"]] for row in read], np.float32)
    assert np.array_equal(back, vectors, equal_nan=True) and np.isnan(back).any()


def test_the_manifest_names_the_hash_of_every_file(tmp_path):
    sources, out = tmp_path / "sources", tmp_path / "out"
    sources.mkdir()
    (sources / bundle.SPECIFICATION).write_text("name")
    (sources / bundle.REASONS).write_text("reasons")
    digest = bundle.write(out, sources, "example", "2026.11.1", {bundle.MODEL: b"model"})
    assert_whole(out, digest)


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_bundles_are_whole(name):
    assert_whole(ARTIFACTS / name, None)


def assert_whole(directory, digest):
    content = (directory / bundle.MANIFEST).read_bytes()
    for file, expected in json.loads(content)["files"].items():
        assert hashlib.sha256((directory / file).read_bytes()).hexdigest() == expected
    assert digest is None or hashlib.sha256(content).hexdigest() == digest
