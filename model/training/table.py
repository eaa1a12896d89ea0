"""The training table: made by `cauce backfill`, only read here."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from .people import Source

FIXED_COLUMNS = ["person_id", "application_id", "as_of", "label"]


@dataclass
class Table:
    """One row an application, in the order of the applications file."""

    features: list[str]
    #: Hex SHA-256 of the canonical specification that made it.
    specification: str
    application_ids: list[str]
    rows: np.ndarray
    labels: np.ndarray


def backfill(cauce: Path, specification: Path, source: Source, out: Path, withhold: str | None = None) -> Table:
    """What the service would have computed; with `withhold`, had the newest events not arrived yet."""
    command = [
        cauce,
        "backfill",
        "--spec",
        specification,
        "--events",
        source.events,
        "--applications",
        source.applications,
    ]
    subprocess.run([*command, "--out", out, *(["--withhold", withhold] if withhold else [])], check=True)
    return read(out)


def read(path: Path) -> Table:
    table = pyarrow.parquet.read_table(path)
    metadata = table.schema.metadata
    features = json.loads(metadata[b"cauce.features"])
    if table.column_names != FIXED_COLUMNS + features:
        raise ValueError(f"the columns of `{path}` are not those that its `cauce.features` names")
    rows = np.column_stack([table.column(name).to_numpy() for name in features])
    if rows.dtype != np.float32:
        raise ValueError(
            f"the features of `{path}` are {rows.dtype}, float32 is right: a vector is what the model eats"
        )
    return Table(
        features=features,
        specification=metadata[b"cauce.specification"].decode(),
        application_ids=table.column("application_id").to_pylist(),
        rows=np.ascontiguousarray(rows),
        labels=table.column("label").to_numpy().astype(np.int64),
    )
