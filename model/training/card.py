"""The model card: what the model is for, what it was made of, how good it is and where it ends."""

from .bundle import Policy
from .evaluate import Evaluation
from .metrics import Metrics
from .recipes import Recipe
from .table import Table


def render(recipe: Recipe, table: Table, evaluation: Evaluation, version: str, trained_at: str) -> str:
    sections = [
        f"# {recipe.title} (`{recipe.name}` {version})",
        recipe.purpose.strip(),
        f"Trained {trained_at} · {len(table.labels):,} applications, {table.labels.mean():.1%} defaults · "
        f"{len(table.features)} features · LightGBM, 200 trees × 31 leaves, learning rate 0.03, seed 42.",
        "## Data\n\n" + recipe.data.strip(),
        "## How good it is\n\n" + quality(evaluation),
        "## Whether a probability means what it says\n\n" + calibration(evaluation.model),
        "## What stale history costs\n\n" + staleness(evaluation),
        "## What follows from a score\n\n" + decisions(evaluation, recipe.policy),
        "## By protected group\n\n" + groups(evaluation),
        "## Limits\n\n" + recipe.limits.strip(),
    ]
    return "\n\n".join(sections) + "\n"


def table_of(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def quality(evaluation: Evaluation) -> str:
    entries = {
        "**this model**": evaluation.model,
        "its scorecard (the fallback)": evaluation.scorecard,
        **evaluation.anchors,
    }
    rows = [[name, *figures(metrics)] for name, metrics in entries.items()]
    seeds = ", ".join(f"{auc:.4f}" for auc in evaluation.other_seeds)
    text = (
        "Five stratified folds, seed 42; every application is scored by a model that has not seen it, scores pooled. "
        "AUC with its 95 % interval (DeLong).\n\n"
        + table_of(["model", "AUC", "KS", "Brier", "log loss"], rows)
        + f"\n\nThe same model on two other splits (seeds 43, 44): {seeds}."
    )
    if evaluation.with_protected:
        cost = evaluation.with_protected.value - evaluation.model.auc.value
        text += (
            f"\n\n**What withholding the protected fields costs:** with them added, the same model reaches "
            f"{evaluation.with_protected}: {cost:+.4f} of AUC is what they would be worth."
        )
    return text


def figures(metrics: Metrics) -> list[str]:
    return [str(metrics.auc), f"{metrics.ks:.3f}", f"{metrics.brier:.4f}", f"{metrics.log_loss:.4f}"]


def calibration(metrics: Metrics) -> str:
    of = metrics.calibration
    did = (
        "The slope is off, so Platt's correction with these two numbers is part of the exported model; the table shows "
        "the scores before it."
        if of.is_off()
        else "The slope is 1 within its interval: nothing was corrected."
    )
    rows = [
        [str(n + 1), f"{score:.3f}", f"{share:.3f}", f"{count:,}"]
        for n, (score, share, count) in enumerate(of.reliability)
    ]
    return (
        f"Log-odds of the outcome on log-odds of the score: intercept {of.intercept:+.3f}, slope {of.slope:.3f} "
        f"(standard error {of.slope_error:.3f}); expected calibration error {of.expected_error:.4f}. {did}\n\n"
        + table_of(["tenth of the scores", "mean score", "defaults", "applications"], rows)
    )


def staleness(evaluation: Evaluation) -> str:
    rows = [["nothing", str(evaluation.model.auc), str(evaluation.model.auc)]]
    rows += [[f"the newest {stale.withheld}", str(stale.served), str(stale.retrained)] for stale in evaluation.stale]
    return (
        "The table was made again by `cauce backfill --withhold`, as if the newest events had not arrived: for this "
        "model as it is, and for one that was trained without them too.\n\n"
        + table_of(["withheld", "AUC, this model on stale history", "AUC, trained on stale history"], rows)
    )


def decisions(evaluation: Evaluation, policy: Policy) -> str:
    rows = [
        [outcome.decision, f"{outcome.share:.1%}", f"{outcome.default_rate:.1%}"] for outcome in evaluation.outcomes
    ]
    bands = ", ".join(
        f"{name} below {below:g}" if below is not None else f"{name} from there on" for name, below in policy.bands
    )
    return (
        f"Approve below {policy.approve_below:g}, decline from {policy.decline_from:g}, refer to a person between. "
        f"Bands: {bands}.\n\n" + table_of(["decision", "share of applications", "defaults among them"], rows)
    )


def groups(evaluation: Evaluation) -> str:
    rows = [
        [
            segment.field,
            segment.group,
            f"{segment.applications:,}",
            f"{segment.default_rate:.1%}",
            f"{segment.mean_score:.1%}",
            f"{segment.approved:.1%}",
            str(segment.auc),
        ]
        for segment in evaluation.segments
    ]
    head = ["field", "group", "applications", "defaults", "mean score", "approved", "AUC"]
    return "None of these is in the vector; out-of-fold scores.\n\n" + table_of(head, rows)
