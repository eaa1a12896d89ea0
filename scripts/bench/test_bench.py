"""What can go wrong without a benchmark: bands, verdicts, what is compared, and runs that fail or take too long."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import history
import pytest
import report
import run
from tables import BENCHES, FIGURES, Bench, Figure, at_most

#: A folder that Python runs; pytest finds its modules beside this file.
TOOL = pathlib.Path(__file__).parent
NOISY = [100.0, 102.0, 98.0, 101.0, 99.0]


@pytest.mark.parametrize(
    ("values", "band"),
    [
        ([], None),
        ([100.0], (100.0, 100.0, 1)),
        # Four give their extremes, five the median and 8.4 × the median deviation.
        ([90.0, 100.0, 100.0, 110.0], (90.0, 110.0, 4)),
        (NOISY, (91.6, 108.4, 5)),
        # One that went astray hardly widens it.
        ([*NOISY, 1_000.0], (88.5, 112.5, 6)),
        # What never moves has one percent all the same.
        ([200.0] * 8, (198.0, 202.0, 8)),
        ([0.0] * 5, (0.0, 0.0, 5)),
    ],
)
def test_band_is_where_earlier_runs_lay(values, band):
    assert history.band(values) == band


@pytest.mark.parametrize(
    ("value", "better", "verdict"),
    [
        (100.0, "lower", "within"),
        (108.0, "lower", "within"),
        (109.0, "lower", "worse"),
        (91.0, "lower", "better"),
        (109.0, "higher", "better"),
        (91.0, "higher", "worse"),
        (91.0, "", "differs"),
    ],
)
def test_verdict_knows_which_way_is_better(value, better, verdict):
    assert history.verdict(value, history.band(NOISY), better) == verdict


def test_figure_with_few_runs_before_it_is_not_judged():
    assert history.verdict(1.0, history.band([]), "lower") == "new"
    assert history.verdict(9.0, history.band([1.0] * 4), "lower") == "too few runs"


def strict_row(kind, runs, value):
    before = [{"f": 100.0 + number % 5} for number in range(runs)]
    return report.row(Figure("f", "", "lower", kind=kind), {"f": value}, before, {}, False)


@pytest.mark.parametrize(
    ("kind", "runs", "value", "fails"),
    [
        ("ratio", history.BAND_RUNS, 200.0, True),
        ("ratio", history.BAND_RUNS, 102.0, False),
        ("ratio", history.BAND_RUNS, 50.0, False),
        ("ratio", history.ENOUGH_RUNS, 200.0, False),
        ("ratio", 0, 200.0, False),
        ("", history.BAND_RUNS, 200.0, False),
    ],
)
def test_only_ratio_worse_than_a_whole_band_fails_a_strict_run(kind, runs, value, fails):
    assert report.fails(strict_row(kind, runs, value)) == fails


@pytest.mark.parametrize(("runs", "most"), [(5, 0.07), (7, 0.05), (10, 0.02), (20, 0.01)])
def test_noise_alone_is_seldom_outside_of_its_band(runs, most):
    noise = random.Random(7)
    draws = [[noise.gauss(100, 5) for _ in range(runs + 1)] for _ in range(2_000)]
    outside = [history.verdict(last, history.band(before), "lower") != "within" for *before, last in draws]
    assert sum(outside) / len(draws) <= most


INFO = {"cpu": "one", "cores": 2, "memory_gib": 24}


@pytest.mark.parametrize(
    ("info", "own", "same"),
    [
        (INFO, "id", True),
        (dict(reversed(INFO.items())), "id", True),
        (INFO | {"cpu": "another"}, "id", False),
        (INFO | {"cores": 4}, "id", False),
        (INFO | {"memory_gib": 48}, "id", False),
        (INFO, "another", False),
    ],
)
def test_machine_is_told_by_what_stays_after_a_restart(info, own, same):
    assert (history.identity(info, own) == history.identity(INFO, "id")) == same


def test_machine_says_what_it_is_and_not_its_id():
    this = history.machine()
    assert this == history.machine()
    assert this.keys() == {"id", "cpu", "cores", "memory_gib"}
    assert this["cpu"] and this["cores"] >= 1


def record(value, machine="here", sizes=None, bench="http"):
    about = {"machine": {"id": machine}, "commit": "c", "date": "d", "bench": bench, "sizes": sizes or {}}
    return about | {"figures": {"f": value}}


def test_only_runs_of_the_same_machine_and_size_are_compared(tmp_path):
    path = tmp_path / "bench" / "history.ndjson"
    others = [record(2, "there"), record(3, sizes={"ROUNDS": "20"}), record(4, bench="engine")]
    history.History(path).add([record(1), *others, record(5)])
    kept = history.History(path)
    assert [run["figures"]["f"] for run in kept.of("http", "here", {})] == [1, 5]
    assert [run["figures"]["f"] for run in kept.of("http", "here", {"ROUNDS": "20"})] == [3]


def test_history_is_bounded_and_survives_lines_it_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "KEPT", 3)
    path = tmp_path / "history.ndjson"
    path.write_text("\n".join(["{", "[]", '{"bench": 1}', json.dumps(record(0))]) + "\n")
    history.History(path).add([record(value) for value in (1, 2, 3)])
    assert [run["figures"]["f"] for run in history.History(path).runs] == [1, 2, 3]


def test_newest_runs_make_the_band(tmp_path):
    kept = history.History(tmp_path / "history.ndjson")
    kept.add([record(value) for value in range(history.BAND_RUNS + 5)])
    assert [run["figures"]["f"] for run in kept.of("http", "here", {})] == list(range(5, history.BAND_RUNS + 5))


@pytest.mark.parametrize(
    ("figure", "value", "full", "said"),
    [
        (at_most("f", "", 5), 5.0, False, "holds"),
        (at_most("f", "", 5), 6.0, False, "MISSED"),
        (at_most("f", "", 0), 0.0, False, "holds"),
        (at_most("f", "", 5)._replace(long=True), 1.0, False, "at full length"),
        (at_most("f", "", 5)._replace(long=True), 6.0, True, "MISSED"),
        (at_most("f", "", 5), None, False, ""),
        (Figure("f", ""), 1.0, True, ""),
        (Figure("f", "", holds=lambda f: f["f"] < f["of another benchmark"]), 1.0, True, "unknown"),
    ],
)
def test_bar_is_judged_where_it_is_stated(figure, value, full, said):
    assert report.holds(figure, value, {"f": value}, full) == said


def test_repeats_are_shown_as_their_median_beside_the_runs_before():
    taken = [{"http_cpu_us": value, "http_bare_cpu_us": 10.0} for value in (30.0, 100.0, 20.0)]
    earlier = [{"http_cpu_us": 30.0}, {"http_cpu_us": 32.0}]
    rows = {row.figure.name: row for row in report.rows("http", taken, earlier, {"inference_raw_us_p50": 12.0}, False)}
    shown = rows["http_cpu_us"]
    assert (shown.value, shown.holds, shown.last, shown.verdict) == (30.0, "holds", 32.0, "too few runs")
    assert rows["http_allocations"].verdict == "not measured at this size"
    text = report.table({"http": list(rows.values())})
    assert "[http]" in text and "-6 %" in text and "not measured at this size" in text


def test_ratios_follow_from_measures_of_one_run_and_are_left_out_without_them():
    assert (
        report.completed("inference", {"inference_us_p50": 12.0, "inference_raw_us_p50": 10.0})["inference_over_raw"]
        == 1.2
    )
    assert report.completed("inference", {"inference_us_p50": 12.0}) == {"inference_us_p50": 12.0}
    assert "http_over_bare" not in report.completed("http", {"http_cpu_us": 1.0, "http_bare_cpu_us": 0.0})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (66.0, "66"),
        (0.98123, "0.981"),
        (19.24, "19.24"),
        (362.46, "362.5"),
        (214_435.2, "214,435"),
    ],
)
def test_number_has_the_digits_that_matter(value, text):
    assert report.number(value) == text


def test_what_could_not_be_measured_is_no_figure(tmp_path):
    path = tmp_path / "http.json"
    path.write_text('{"a": 1, "b": null, "c": true, "d": NaN, "e": "text", "f": 2.5}')
    assert run.numbers(path) == {"a": 1.0, "c": 1.0, "f": 2.5}
    path.write_text("{")
    assert run.numbers(path) == run.numbers(tmp_path / "none") == {}


def test_short_runs_stay_below_ten_minutes_together():
    assert sum(bench.limit_s for bench in BENCHES) < 600
    assert [bench.name for bench in BENCHES] == list(FIGURES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["engin"], "did you mean `engine`?"),
        (["taiwan"], "There are engine, inference, http"),
        (["--repeats", "0"], "1 to 100 would be right"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(arguments, said):
    ended = subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True)
    assert ended.returncode == 2
    assert said in ended.stderr


SIZED = Bench("sized", (), 1, {"ROUNDS": "10", "SEED": None})


@pytest.mark.parametrize(
    ("full", "environment", "sizes"),
    [
        (False, {}, {"ROUNDS": "10"}),
        (False, {"ROUNDS": "3", "OTHER": "1"}, {"ROUNDS": "3"}),
        (True, {}, {}),
        (True, {"ROUNDS": "20", "SEED": "7"}, {"ROUNDS": "20", "SEED": "7"}),
    ],
)
def test_size_is_what_was_asked_for_or_the_short_one(full, environment, sizes):
    assert run.sizes(SIZED, full, environment) == sizes


@pytest.mark.parametrize(
    ("script", "seconds", "fault"),
    [
        ("echo fine", 30, ""),
        ("echo bad; exit 3", 30, "ended with 3"),
        ("sleep 60", 0.3, "took longer than its limit"),
    ],
)
def test_command_is_told_from_one_that_fails_or_takes_too_long(tmp_path, script, seconds, fault):
    assert run.execute(["sh", "-c", script], tmp_path / "log", {}, time.monotonic() + seconds, False) == fault


def test_what_a_command_started_ends_with_it(tmp_path):
    mark = tmp_path / "mark"
    run.execute(["sh", "-c", f"(sleep 1; touch {mark}) & exit 1"], tmp_path / "log", {}, None, False)
    time.sleep(1.5)
    assert not mark.exists()


def test_terminated_run_ends_what_it_has_started(tmp_path):
    # The real command, with a compiler that never ends.
    cargo = tmp_path / "cargo"
    cargo.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    cargo.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    tool = shutil.copytree(TOOL, tmp_path / "scripts" / "bench")
    process = subprocess.Popen([sys.executable, tool, "engine"], env=os.environ | {"PATH": path})
    started = tmp_path / "pid"
    while not (started.exists() and started.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_output_goes_to_the_log_and_in_full_to_the_terminal(tmp_path, capsys):
    log = tmp_path / "log"
    for show in (False, True):
        run.execute(["sh", "-c", f"echo {show} $SIZE"], log, {"SIZE": "7"}, None, show)
    assert log.read_text() == "False 7\nTrue 7\n"
    assert capsys.readouterr().out == "True 7\n"
