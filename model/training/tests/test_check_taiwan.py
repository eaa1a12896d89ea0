import json

import numpy as np
import pytest

from training import check_taiwan

GOOD = {
    "applications": 30_000,
    "vectors_different": 0,
    "probability_max_difference": 1e-7,
    "auc": 0.79,
    "served_in_full_mode": 30_000,
    "other_order_vectors_different": 0,
    "other_order_probabilities_different": 0,
}


def test_rows_differ_by_one_bit_but_not_by_how_a_missing_value_is_written():
    row = np.array([[1.0, 0.0, np.nan]] * 4, np.float32)
    other = row.copy()
    other[1, 0] = np.nextafter(np.float32(1), np.float32(2))
    other[2, 1] = -0.0
    other[3, 2] = 0.0
    assert check_taiwan.rows_different(row, row) == 0
    assert check_taiwan.rows_different(row, other) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("applications", 29_999), ("vectors_different", 1), ("probability_max_difference", 2e-6), ("auc", 0.78)],
)
def test_a_missed_bar_fails_the_check(name, value):
    assert check_taiwan.report(GOOD) == 0
    assert check_taiwan.report(GOOD | {name: value}) == 1


def test_another_order_holds_the_same_events_and_some_twice():
    events = [str(number).encode() for number in range(100)]
    other = check_taiwan.shuffled(events)
    assert set(other) == set(events) and len(other) == 105 and other[:100] != events


def test_an_application_is_posted_without_its_instant_and_outcome():
    line = {"person_id": "tw-1", "application_id": "1", "application": {}, "as_of": "2005-10-01T00:00:00Z", "label": 1}
    assert "label" not in check_taiwan.application_of(json.dumps(line).encode())
