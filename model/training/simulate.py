"""The made-up bank of `cauce-loadtest simulate`, to train on; loadtest/src/simulate.rs says how it is drawn."""

import json
import subprocess
from pathlib import Path

import numpy as np

from .people import Source

SEED = 20260701
PEOPLE = 9_000


def source(directory: Path, loadtest: Path) -> Source:
    """Writes the events and applications of the made-up bank."""
    bank = ["--people", PEOPLE, "--seed", SEED, "--from", "2025-10-01", "--to", "2026-07-01"]
    subprocess.run([loadtest, "simulate", *map(str, bank), "--out", directory], check=True)
    return read(directory)


def read(directory: Path) -> Source:
    """What stands beside a history that is in files already."""
    with (directory / "applications.ndjson").open(encoding="utf-8") as lines:
        applications = [json.loads(line) for line in lines]
    ages = np.array([line["application"]["age"] for line in applications])
    names = np.array(["under 30", "30 to 39", "40 to 54", "55 and over"])
    return Source(
        events=directory / "events.ndjson",
        applications=directory / "applications.ndjson",
        groups=np.array([line["person_id"] for line in applications]),
        segments={"age": names[np.digitize(ages, [30, 40, 55])]},
    )
