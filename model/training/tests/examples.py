"""A small table with ties, missing values in one column and a column that never has any."""

import numpy as np

NAMES = ["a", "b", "c"]


def rows_and_labels(count: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    rows = random.normal(size=(count, 3)).astype(np.float32)
    rows[:, 1] = np.round(rows[:, 1], 1)
    log_odds = rows[:, 0] - 0.5 * rows[:, 1] + 0.3 * np.abs(rows[:, 2]) - 1
    rows[random.random(count) < 0.2, 2] = np.nan
    return rows, (random.random(count) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
