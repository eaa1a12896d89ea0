"""`python -m training --bundle taiwan`: from a source of data to a bundle that the service loads."""

import argparse
import datetime
import sys
from pathlib import Path

import numpy as np

from . import bundle, card, export, fit, scorecard
from .evaluate import Evaluation, evaluate
from .recipes import RECIPES, Recipe
from .table import Table, backfill

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "model" / "artifacts"
#: ONNX Runtime's own results differ by up to 1.8e-7 with threads and batch sizes.
TOLERANCE = 1e-6


def main() -> None:
    options = arguments()
    recipe = RECIPES[options.bundle]
    work = ROOT / "target" / "training" / recipe.name
    work.mkdir(parents=True, exist_ok=True)
    specification = ARTIFACTS / recipe.name / bundle.SPECIFICATION

    say(f"{recipe.name}: events and applications")
    source = recipe.source(work, options)

    def table(span: str | None) -> Table:
        say("training table" + (f" without the newest {span}" if span else ""))
        return backfill(options.cauce, specification, source, work / f"table{span or ''}.parquet", span)

    fresh = table(None)
    say(f"{fresh.rows.shape[0]:,} rows of {fresh.rows.shape[1]} features; folds, anchors and stale history next")
    evaluation = evaluate(fresh, source, recipe.policy, recipe.withhold, table)
    say(f"AUC {evaluation.model.auc}")
    out = options.out or ARTIFACTS / recipe.name
    version = options.version or f"{options.trained_at.year}.{options.trained_at.month}.1"
    made = files(recipe, fresh, evaluation, version, options.trained_at.isoformat())
    digest = bundle.write(out, ARTIFACTS / recipe.name, recipe.name, version, made)
    say(f"wrote {out}, bundle hash {digest}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="training", description=__doc__)
    parser.add_argument("--bundle", required=True, choices=RECIPES)
    parser.add_argument("--csv", type=Path, help="your own copy of the Taiwan table, instead of fetching it")
    parser.add_argument(
        "--cauce", type=Path, default=ROOT / "target" / "release" / "cauce", help="the binary that makes the table"
    )
    parser.add_argument(
        "--loadtest",
        type=Path,
        default=ROOT / "target" / "release" / "cauce-loadtest",
        help="the binary that makes up the people of ahorro-valle",
    )
    parser.add_argument("--out", type=Path, help="where to write the bundle; model/artifacts by default")
    parser.add_argument(
        "--trained-at", type=datetime.date.fromisoformat, default=datetime.date.today(), metavar="YYYY-MM-DD"
    )
    parser.add_argument("--version", help="YEAR.MONTH.1 by default")
    return parser.parse_args()


def files(recipe: Recipe, table: Table, evaluation: Evaluation, version: str, trained_at: str) -> dict[str, bytes]:
    """Trains on everything; the content of all files that training makes."""
    slope, intercept = evaluation.model.calibration.correction()
    booster = fit.train(table.rows, table.labels)
    facts = {
        "cauce.specification": table.specification,
        "cauce.trained_at": trained_at,
        "cauce.applications": str(len(table.labels)),
        "cauce.auc": f"{evaluation.model.auc.value:.6f}",
    }
    model = export.to_onnx(booster, table.features, facts, slope, intercept)
    check_export(model, booster, table.rows, slope, intercept)
    points = scorecard.train(table.features, table.rows, table.labels)
    vectors = bundle.golden_vectors(table.rows, evaluation.probabilities)
    golden = bundle.golden_rows(vectors, export.probabilities(model, vectors), points)
    scores = export.probabilities(model, table.rows)
    reference = bundle.reference(recipe.policy, table.features, table.rows, scores, golden)
    return {
        bundle.MODEL: model,
        bundle.SCORECARD: bundle.to_lines(points.to_json()),
        bundle.REFERENCE: bundle.to_lines(reference),
        bundle.CARD: card.render(recipe, table, evaluation, version, trained_at).encode(),
    }


def check_export(model: bytes, booster: object, rows: np.ndarray, slope: float, intercept: float) -> None:
    """The exported model is the trained one, on every row and with values struck out."""
    struck = np.where(np.random.default_rng(1).random(rows.shape) < 0.3, np.float32(np.nan), rows)
    for given in (rows, struck):
        expected = 1 / (1 + np.exp(-(slope * booster.predict(given, raw_score=True) + intercept)))
        difference = float(np.max(np.abs(export.probabilities(model, given) - expected)))
        if difference > TOLERANCE:
            raise SystemExit(f"the exported model differs from the trained one by {difference:.2e}: this is a bug")
    say(f"the ONNX model differs from LightGBM by {difference:.1e} at most")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
