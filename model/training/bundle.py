"""The bundle on disk: the files the service loads whole or not at all, and the hash of each."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .scorecard import Scorecard

#: Written by people; the rest is made here.
SPECIFICATION, REASONS = "features.toml", "reasons.toml"
MODEL, SCORECARD, REFERENCE, CARD, MANIFEST = (
    "model.onnx",
    "scorecard.json",
    "reference.json",
    "MODEL_CARD.md",
    "bundle.json",
)

TENTHS = np.linspace(0.1, 0.9, 9)
GOLDEN_REAL, GOLDEN_MISSING = 24, 8


@dataclass
class Policy:
    """What follows from a probability."""

    approve_below: float
    decline_from: float
    #: Name and exclusive upper limit, lowest risk first; the last has none.
    bands: list[tuple[str, float | None]]

    def to_json(self) -> dict:
        thresholds = {"approve_below": self.approve_below, "decline_from": self.decline_from}
        return {"thresholds": thresholds, "bands": [{"name": name, "below": below} for name, below in self.bands]}


def write(out: Path, sources: Path, name: str, version: str, made: dict[str, bytes]) -> str:
    """Writes the files and their manifest; gives the bundle's hash. `made` has all but the files that people write."""
    out.mkdir(parents=True, exist_ok=True)
    for file in (SPECIFICATION, REASONS):
        if out.resolve() != sources.resolve():
            shutil.copyfile(sources / file, out / file)
    for file, content in made.items():
        (out / file).write_bytes(content)
    files = {
        file: hashlib.sha256((out / file).read_bytes()).hexdigest() for file in sorted([SPECIFICATION, REASONS, *made])
    }
    manifest = json.dumps({"format": 1, "name": name, "version": version, "files": files}, indent=2) + "\n"
    (out / MANIFEST).write_text(manifest)
    return hashlib.sha256(manifest.encode()).hexdigest()


def reference(
    policy: Policy, names: list[str], rows: np.ndarray, probabilities: np.ndarray, golden: list[dict]
) -> dict:
    """What the training saw: `shares[i]` of the rows lie below `edges[i]`, the last share above all."""
    features = [{"name": name, **distribution(rows[:, column])} for column, name in enumerate(names)]
    scores = distribution(probabilities)
    del scores["missing"]
    return {"format": 1, **policy.to_json(), "features": features, "scores": scores, "golden": golden}


def distribution(values: np.ndarray) -> dict:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, TENTHS, method="nearest")) if len(known) else np.empty(0)
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    missing = 1 - len(known) / len(values)
    return {
        "edges": [*map(float, edges)],
        "shares": [round(float(n) / len(values), 6) for n in counts],
        "missing": round(missing, 6),
    }


def golden_vectors(rows: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Real rows from the safest to the worst, and some of them again with values struck out."""
    order = np.argsort(probabilities, kind="stable")
    real = rows[order[np.linspace(0, len(order) - 1, GOLDEN_REAL).astype(int)]]
    struck = real[:: GOLDEN_REAL // GOLDEN_MISSING].copy()
    struck[np.random.default_rng(7).random(struck.shape) < 0.3] = np.nan
    return np.concatenate([real, struck])


def golden_rows(vectors: np.ndarray, probabilities: np.ndarray, scorecard: Scorecard) -> list[dict]:
    together = zip(vectors, probabilities, scorecard.probabilities(vectors), strict=True)
    return [
        {
            "vector": [None if np.isnan(value) else float(value) for value in vector],
            "probability": float(probability),
            "scorecard": float(points),
        }
        for vector, probability, points in together
    ]


def to_lines(value: dict) -> bytes:
    """JSON with one line for each entry of its lists: a diff shows what changed."""
    parts = []
    for key, content in value.items():
        if isinstance(content, list) and content and isinstance(content[0], dict):
            rows = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in content)
            parts.append(f'"{key}": [\n{rows}\n]')
        else:
            parts.append(f'"{key}": {json.dumps(content, allow_nan=False)}')
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()
