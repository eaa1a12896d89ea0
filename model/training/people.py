"""What a source of data hands over to training, and the two files that `cauce backfill` reads."""

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: Folds -> out-of-fold probabilities of a model that is no part of the bundle.
Anchor = Callable[[list[tuple[np.ndarray, np.ndarray]]], np.ndarray]


@dataclass
class Source:
    """A history in files, and what stands beside it."""

    events: Path
    applications: Path
    #: Which applications belong together: those of one person never stand on both sides of a fold.
    groups: np.ndarray
    #: Name of a protected field -> its value for every application. For reports only.
    segments: dict[str, np.ndarray]
    #: Models on raw columns, trained on the same folds.
    anchors: dict[str, Anchor] = field(default_factory=dict)
    #: The protected columns as numbers, to measure what withholding them costs; never exported.
    protected: np.ndarray | None = None


def rfc3339(time: datetime.datetime) -> str:
    """Of a naive time, which is UTC."""
    return time.isoformat(timespec="seconds") + "Z"


def pick(*key: object, low: int, high: int) -> int:
    """A fixed pseudo-random integer in low..=high: the same for the same key on every machine."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return low + int.from_bytes(digest, "big") % (high - low + 1)


def write_lines(path: Path, records: Iterable[dict]) -> None:
    with path.open("w", encoding="utf-8") as file:
        encode = json.JSONEncoder(separators=(",", ":")).encode
        file.writelines(encode(record) + "\n" for record in records)


def numbered(events: list[dict]) -> list[dict]:
    """In order of time, with event ids that rise with it: the engine stores such ids in two or three bytes."""
    events.sort(key=lambda event: (event["time"], event["person_id"], event["type"]))
    for number, event in enumerate(events, start=1):
        event["event_id"] = str(number)
    return events
