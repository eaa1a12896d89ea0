"""Puts figures beside their bars, and beside those of earlier runs on the same machine."""

import statistics
from typing import NamedTuple

from history import BAND_RUNS, Band, band, verdict
from tables import FIGURES, Figure, Figures

LEGEND = """
ratio: of two measures of one run, which is what can be quoted; limit: what this machine allows, in the same run;
all others: this machine, now. The band is where the runs before lay: their extremes, and from five on their median and
deviation, outside of which a figure is better or worse."""
HEAD = ("figure", "value", "unit", "kind", "bar", "", "last run", "change", "band (runs)", "")


class Row(NamedTuple):
    figure: Figure
    #: The median of this command's runs; None where none could measure it.
    value: float | None
    holds: str
    last: float | None
    band: Band | None
    verdict: str


def rows(bench: str, taken: list[Figures], earlier: list[Figures], others: Figures, full: bool) -> list[Row]:
    """`taken` are this command's runs, `earlier` those before it; bars may look at the figures of `others`."""
    now = medians(taken)
    return [row(figure, now, earlier, others | now, full) for figure in FIGURES[bench]]


def row(figure: Figure, now: Figures, earlier: list[Figures], known: Figures, full: bool) -> Row:
    value = now.get(figure.name)
    before = [run[figure.name] for run in earlier if figure.name in run]
    lay = band(before)
    said = verdict(value, lay, figure.better) if value is not None else "not measured at this size"
    return Row(figure, value, holds(figure, value, known, full), before[-1] if before else None, lay, said)


def fails(row: Row) -> bool:
    """Whether a worse figure is believed. Where all is noise, one of 66 figures is worse in five of six runs after
    five, and one of the 16 ratios in one of forty after as many as make a whole band."""
    return row.verdict == "worse" and row.figure.kind == "ratio" and row.band.runs == BAND_RUNS


def holds(figure: Figure, value: float | None, known: Figures, full: bool) -> str:
    if figure.holds is None or value is None:
        return ""
    if figure.long and not full:
        return "at full length"
    try:
        return "holds" if figure.holds(known) else "MISSED"
    except KeyError:
        return "unknown"


def medians(taken: list[Figures]) -> Figures:
    names = {name for figures in taken for name in figures}
    return {name: statistics.median(figures[name] for figures in taken if name in figures) for name in names}


def completed(bench: str, figures: Figures) -> Figures:
    """With the figures that follow from others."""
    whole = dict(figures)
    for figure in FIGURES[bench]:
        if figure.of:
            try:
                whole[figure.name] = figure.of(whole)
            except (KeyError, ZeroDivisionError):
                continue
    return whole


def table(blocks: dict[str, list[Row]]) -> str:
    """All rows under one head, with columns as wide as they need."""
    cells = [HEAD, *(texts(row) for rows in blocks.values() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    # Numbers to the right.
    right = {1, 6, 7}
    lines = [
        "  ".join(f"{text:>{width}}" if at in right else f"{text:<{width}}" for at, (text, width) in enumerate(line))
        for line in (tuple(zip(line, widths, strict=True)) for line in cells)
    ]
    head, rest = lines[0].rstrip(), iter(lines[1:])
    parts = [head] + [text for name, rows in blocks.items() for text in (f"[{name}]", *(next(rest) for _ in rows))]
    return "\n".join(part.rstrip() for part in parts)


def texts(row: Row) -> tuple[str, ...]:
    figure, change = row.figure, ""
    if row.last and row.value is not None:
        change = f"{(row.value / row.last - 1) * 100:+.0f} %"
    lay = (
        f"{number(row.band.low)} to {number(row.band.high)} ({row.band.runs})" if row.band and row.band.runs > 1 else ""
    )
    name, value, last = figure.name, number(row.value), number(row.last)
    return (name, value, figure.unit, figure.kind, figure.bar, row.holds, last, change, lay, row.verdict)


def number(value: float | None) -> str:
    """Four digits, as far as there are so many."""
    if value is None:
        return ""
    size = abs(value)
    digits = 0 if size >= 1_000 or value == int(value) else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{digits}f}"


def document(blocks: dict[str, list[Row]]) -> dict:
    """The same for machines."""
    return {name: {row.figure.name: fields(row) for row in rows} for name, rows in blocks.items()}


def fields(row: Row) -> dict:
    lay = row.band._asdict() if row.band else None
    of_figure = {"value": row.value, "unit": row.figure.unit, "kind": row.figure.kind, "bar": row.figure.bar}
    of_run = {"holds": row.holds, "last": row.last, "band": lay, "verdict": row.verdict}
    return {name: field for name, field in (of_figure | of_run).items() if field not in ("", None)}
