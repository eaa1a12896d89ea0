"""Builds and runs benchmarks: each within its limit, with its output in a file, and whatever became of others."""

import contextlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from tables import Bench, Figures

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "target" / "bench"
#: What the benchmarks of the whole service start; they would build it themselves, and that would be measured.
SERVICE = ("--workspace", "--bin", "cauce")


class Outcome(NamedTuple):
    #: Why there are no figures, in a few words; empty where all is well.
    fault: str
    seconds: float
    figures: Figures


def log(bench: Bench) -> pathlib.Path:
    return FOLDER / "log" / f"{bench.name}.txt"


def sizes(bench: Bench, full: bool, environment: dict[str, str] = os.environ) -> dict[str, str]:
    """What sets the size of a run: what the user asks for before what the table says."""
    asked = {name: environment.get(name, "" if full else short or "") for name, short in bench.sizes.items()}
    return {name: value for name, value in asked.items() if value}


def build(bench: Bench, show: bool) -> str:
    """What was wrong; the log begins with what the compiler said."""
    log(bench).parent.mkdir(parents=True, exist_ok=True)
    log(bench).write_text("")
    commands = [cargo(*target, "--no-run") for target in bench.targets]
    starts = [SERVICE] if any(package == "cauce-tests" for package, _ in bench.targets) else []
    starts += [bench.starts] if bench.starts else []
    commands += [["cargo", "build", "--quiet", "--profile", "release", *what] for what in starts]
    ended = [execute(command, log(bench), {}, None, show) for command in commands]
    return next((f"did not compile: {fault}" for fault in ended if fault), "")


def measure(bench: Bench, full: bool, limit_s: float) -> Outcome:
    """One run, of all its targets; a full one takes as long as it takes."""
    written = FOLDER / f"{bench.file or bench.name}.json"
    # What another run wrote is not this one's.
    written.unlink(missing_ok=True)
    begin = time.monotonic()
    end = None if full else begin + limit_s
    fault = ""
    for target in bench.targets:
        fault = fault or execute(cargo(*target), log(bench), sizes(bench, full), end, full)
    figures = {} if fault else numbers(written)
    if not fault and not figures:
        fault = f"wrote no figures to {written.relative_to(ROOT)}"
    return Outcome(fault, time.monotonic() - begin, figures)


def cargo(package: str, bench: str, *more: str) -> list[str]:
    return ["cargo", "bench", "--package", package, "--bench", bench, *more]


def execute(command: list[str], output: pathlib.Path, settings: dict, end: float | None, show: bool) -> str:
    """Runs it and all that it starts, until `end` at most; what was wrong."""
    with output.open("ab") as sink, output.open("rb") as source:
        source.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None and (end is None or time.monotonic() < end):
                time.sleep(0.1)
                pass_on(source, show)
            pass_on(source, show)
            code = process.poll()
        finally:
            # Servers of a benchmark that failed or was ended would take the machine from the next.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code is None:
        return "took longer than its limit"
    return f"ended with {code}" if code else ""


def pass_on(source, show: bool) -> None:
    if show:
        sys.stdout.write(source.read().decode(errors="replace"))
        sys.stdout.flush()


def numbers(path: pathlib.Path) -> Figures:
    """The figures of a file; what could not be measured is null there, and not here."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    numeric = {name: float(value) for name, value in document.items() if isinstance(value, int | float)}
    return {name: value for name, value in numeric.items() if math.isfinite(value)}
