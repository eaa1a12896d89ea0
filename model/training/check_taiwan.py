"""Scores all 30,000 real applications over HTTP and holds the answers to what training computed.

The release binary serves the Taiwan bundle with its clock frozen at the applications' instant. All events are posted,
then every application is scored: some one by one, the rest in batches. The served vectors have to be the rows of the
training table bit for bit (F2), the served probabilities those of ONNX Runtime in Python. A second instance that gets
the same events in another order, some of them twice, has to give the same bits (F1). The figures go to
target/check/taiwan.json.
"""

import argparse
import contextlib
import http.client
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import export, fit, metrics, taiwan
from .__main__ import ARTIFACTS, ROOT, TOLERANCE, say
from .people import rfc3339
from .table import backfill

BATCH = 1_000
SINGLY = 3_000
AUC_BAR = 0.785


@dataclass
class Served:
    """What an instance answered, in the order of the applications file."""

    vectors: np.ndarray
    probabilities: np.ndarray
    in_full_mode: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="check_taiwan", description=__doc__)
    parser.add_argument("--csv", type=Path, help="your own copy of the Taiwan table, instead of fetching it")
    parser.add_argument("--cauce", type=Path, default=ROOT / "target" / "release" / "cauce")
    options = parser.parse_args()
    work = ROOT / "target" / "check"
    work.mkdir(parents=True, exist_ok=True)

    source = taiwan.source(work, options.csv)
    bundle = ARTIFACTS / "taiwan"
    table = backfill(options.cauce, bundle / "features.toml", source, work / "taiwan.parquet")
    expected = export.probabilities((bundle / "model.onnx").read_bytes(), table.rows)
    events = source.events.read_bytes().splitlines()
    applications = [application_of(line) for line in source.applications.read_bytes().splitlines()]

    say(f"posting {len(events):,} events, scoring {len(applications):,} applications")
    served = serve_and_score(options.cauce, bundle, events, applications)
    say("the same once more: shuffled, with repetitions")
    again = serve_and_score(options.cauce, bundle, shuffled(events), applications)
    say("training five folds on the served vectors")
    auc = metrics.auc(
        table.labels,
        fit.out_of_fold(served.vectors, table.labels, fit.folds(table.labels, source.groups)).probabilities,
    )

    figures = {
        "applications": len(applications),
        "vectors_different": rows_different(served.vectors, table.rows),
        "probability_max_difference": float(np.max(np.abs(served.probabilities - expected))),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "events": len(events),
        "served_in_full_mode": served.in_full_mode,
        "other_order_vectors_different": rows_different(again.vectors, served.vectors),
        "other_order_probabilities_different": int(np.sum(again.probabilities != served.probabilities)),
    }
    (work / "taiwan.json").write_text(json.dumps(figures, indent=2) + "\n")
    return report(figures)


def report(figures: dict) -> int:
    bars = {
        "applications": figures["applications"] == 30_000,
        "vectors_different": figures["vectors_different"] == 0,
        "probability_max_difference": figures["probability_max_difference"] <= TOLERANCE,
        "auc": figures["auc"] >= AUC_BAR,
        "served_in_full_mode": figures["served_in_full_mode"] == figures["applications"],
        "other_order_vectors_different": figures["other_order_vectors_different"] == 0,
        "other_order_probabilities_different": figures["other_order_probabilities_different"] == 0,
    }
    for name, value in figures.items():
        verdict = "" if name not in bars else "holds" if bars[name] else "MISSED"
        print(f"{name:<38} {value:>14,.9g} {verdict}")
    return 0 if all(bars.values()) else 1


def application_of(line: bytes) -> dict:
    """As a front-end sends it: without the instant and the outcome that stand in the file."""
    record = json.loads(line)
    return {key: record[key] for key in ("person_id", "application_id", "application")}


def shuffled(events: list[bytes]) -> list[bytes]:
    dealer = random.Random(42)
    events = events + dealer.sample(events, len(events) // 20)
    dealer.shuffle(events)
    return events


def rows_different(a: np.ndarray, b: np.ndarray) -> int:
    """By their bits, so that -0 is not 0; any NaN is a missing value."""
    same = (a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))
    return int(np.sum(~same.all(axis=1)))


def serve_and_score(cauce: Path, bundle: Path, events: list[bytes], applications: list[dict]) -> Served:
    with serving(cauce, bundle) as connection:
        for batch in slices(events):
            answer = post(connection, "/v1/events/batch", "application/x-ndjson", b"\n".join(batch))
            if answer["refused"]:
                raise SystemExit(f"{answer['refused']} events were refused: {answer['problems'][:1]}")
        answers = [
            post(connection, "/v1/score?vector=true", "application/json", encode(one)) for one in applications[:SINGLY]
        ]
        for batch in slices(applications[SINGLY:]):
            answers += post(connection, "/v1/score/batch?vector=true", "application/json", encode(batch))["results"]
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    if problems:
        raise SystemExit(f"{len(problems)} applications were not scored: {problems[0]}")
    if [answer["application_id"] for answer in answers] != [one["application_id"] for one in applications]:
        raise SystemExit("the answers do not stand in the order of the applications")
    return Served(
        vectors=np.array(
            [[np.nan if value is None else value for value in answer["vector"]] for answer in answers], np.float32
        ),
        probabilities=np.array([answer["probability_of_default"] for answer in answers], np.float32),
        in_full_mode=sum(answer["mode"] == "full" for answer in answers),
    )


def slices(items: list) -> Iterator[list]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@contextlib.contextmanager
def serving(cauce: Path, bundle: Path) -> Iterator[http.client.HTTPConnection]:
    """A server of its own on a free port and with data of its own, stopped at the end; the clock stands where the
    applications do."""
    clock = rfc3339(taiwan.AS_OF)
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="cauce-"))
        command = [cauce, "serve", "--bundle", bundle, "--clock", clock, "--listen", "127.0.0.1:0", "--data", data]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        try:
            address = next(
                (
                    line.rsplit("http://")[1].strip()
                    for line in server.stdout
                    if line.startswith("listening on http://")
                ),
                None,
            )
            if address is None:
                raise SystemExit("the server did not start")
            connection = http.client.HTTPConnection(address, timeout=60)
            yield connection
            connection.close()
        finally:
            server.terminate()


def post(connection: http.client.HTTPConnection, path: str, content_type: str, body: bytes) -> dict:
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status >= 300:
        raise SystemExit(f"{path} answered {response.status}: {answer}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
