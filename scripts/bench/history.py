"""What earlier runs on this machine gave, and whether a figure lies where theirs did.

Figures of other machines, and of runs of another size, say nothing about this one: they are kept, and never compared.
"""

import hashlib
import json
import os
import pathlib
import platform
import statistics
from typing import NamedTuple

#: So many runs of a benchmark make a band; older ones are of other code.
BAND_RUNS = 20
#: From so many on, the band is the median and a multiple of the median deviation: one astray does not widen it. The
#: extremes of fewer say too little: of two runs and a third, the third is outside in two of three cases.
ENOUGH_RUNS = 5
#: Of normal noise, 1 in 20 is outside after five runs, 1 in 100 after ten: the deviation of few is uncertain itself.
DEVIATIONS = 6.0
#: No band is narrower than this part of its median, or figures that hardly ever move would be news.
NARROWEST = 0.01
#: Lines that are kept, one for each run of a benchmark.
KEPT = 2_000


class Band(NamedTuple):
    low: float
    high: float
    runs: int


def band(values: list[float]) -> Band | None:
    """Where a figure lay in the runs before, as far as they can tell."""
    if not values:
        return None
    if len(values) < ENOUGH_RUNS:
        return Band(min(values), max(values), len(values))
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    spread = max(DEVIATIONS * (1 + 2 / len(values)) * deviation, NARROWEST * abs(middle))
    return Band(middle - spread, middle + spread, len(values))


def verdict(value: float, before: Band | None, better: str) -> str:
    if before is None:
        return "new"
    if before.runs < ENOUGH_RUNS:
        return "too few runs"
    if before.low <= value <= before.high:
        return "within"
    if not better:
        return "differs"
    return "better" if (value < before.low) == (better == "lower") else "worse"


def machine() -> dict:
    """What tells this machine from others and is the same after a restart. The system's own id is in the hash alone."""
    info = {"cpu": cpu_model(), "cores": os.cpu_count(), "memory_gib": memory_gib()}
    return {"id": identity(info, read("/etc/machine-id").strip()), **info}


def identity(info: dict, own: str) -> str:
    return hashlib.sha256(json.dumps([info, own], sort_keys=True).encode()).hexdigest()[:12]


def cpu_model() -> str:
    lines = (line for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name"))
    return next((line.partition(":")[2].strip() for line in lines), platform.machine())


def memory_gib() -> int:
    """Rounded: how much the kernel keeps for itself changes with its version."""
    lines = (line.split() for line in read("/proc/meminfo").splitlines() if line.startswith("MemTotal:"))
    return round(next((int(words[1]) for words in lines), 0) / 2**20)


def read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


class History:
    """A line for each run of a benchmark, the newest last."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.runs = [run for line in read(path).splitlines() if (run := parsed(line))]

    def of(self, bench: str, machine_id: str, sizes: dict) -> list[dict]:
        """The newest runs that can be compared with one of this machine and these sizes."""
        key = (bench, machine_id, sizes)
        same = [run for run in self.runs if (run["bench"], run["machine"]["id"], run["sizes"]) == key]
        return same[-BAND_RUNS:]

    def add(self, runs: list[dict]) -> None:
        """Written whole beside the old one, so that a run that is ended here leaves one of the two."""
        self.runs = (self.runs + runs)[-KEPT:]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text("".join(json.dumps(run) + "\n" for run in self.runs))
        beside.replace(self.path)


def parsed(line: str) -> dict | None:
    """A run; nothing where the line is not one of this form."""
    try:
        run = json.loads(line)
        run["bench"], run["machine"]["id"], run["sizes"], run["commit"], run["date"], run["figures"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return run
