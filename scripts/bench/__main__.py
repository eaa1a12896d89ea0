"""Runs the benchmarks of the workspace, and holds their figures against bars and earlier runs on the same machine.

`python3 scripts/bench` runs all of them in short form, `python3 scripts/bench engine http` these two, `--repeats 3`
each so often, `--full` at full length. A benchmark that fails or takes too long is named, makes the exit status 1 and
stops no other. A worse figure is told and fails nothing: machines are shared, and timings move. With `--strict` the
exit status is 1 where a ratio of two measures of one run is worse than its last 20 runs on this machine; other figures,
and ratios with fewer runs, are never judged: among so many, one is nearly always outside by chance. What was printed is
in target/bench/log/NAME.txt, the figures in target/bench/NAME.json, this table in target/bench/bench.json, all runs in
target/bench/history.ndjson.
"""

import argparse
import difflib
import json
import os
import signal
import subprocess
import sys
import time

import report
import run
from history import BAND_RUNS, History, machine
from tables import BENCHES, Bench

#: Three benchmarks share a file of figures: what one scored request costs, from the engine to the wire.
SCORING = ("engine", "inference", "http")


def main() -> int:
    options = arguments()
    wanted = [bench for bench in BENCHES if not options.names or bench.name in options.names]
    load, history = os.getloadavg()[0], History(run.FOLDER / "history.ndjson")
    sizes = {bench.name: run.sizes(bench, options.full) for bench in wanted}
    faults = built(wanted, options.full)
    taken = measured([bench for bench in wanted if bench.name not in faults], options, faults)

    this = machine()
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    about = {"machine": this, "load_before": round(load, 1), "commit": revision(), "date": date}
    earlier = {name: history.of(name, this["id"], sizes[name]) for name in taken}
    history.add([about | {"bench": n, "sizes": sizes[n], "figures": f} for n, runs in taken.items() for f in runs])
    blocks = shown(taken, earlier, options.full)
    if blocks:
        print("\n" + report.table(blocks) + report.LEGEND)
    compared(this, load, earlier)
    write("bench", about | {"sizes": sizes, "faults": faults, "figures": report.document(blocks)})
    scoring = {name: value for part in SCORING for name, value in report.medians(taken.get(part, [])).items()}
    if scoring:
        write("scoring", scoring)
    worse = [row.figure.name for rows in blocks.values() for row in rows if report.fails(row)]
    if options.strict and worse:
        print(f"worse than {BAND_RUNS} runs before: {', '.join(worse)}", file=sys.stderr)
    # A run of the size that bars are stated for has all of their figures.
    whole = {name: rows for name, rows in blocks.items() if options.full and not sizes[name]}
    return int(complained(faults, whole) or (options.strict and bool(worse)))


def complained(faults: dict[str, str], whole: dict[str, list[report.Row]]) -> bool:
    """Tells what is not as it should be, and whether anything is."""
    missing = [row.figure.name for rows in whole.values() for row in rows if row.value is None]
    if missing:
        print(f"no figures for {', '.join(missing)}: see the output above", file=sys.stderr)
    for name, fault in faults.items():
        print(f"{name} {fault}: see {run.FOLDER.relative_to(run.ROOT)}/log/{name}.txt", file=sys.stderr)
    return bool(faults or missing)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(bench.name for bench in BENCHES))
    parser.add_argument(
        "--repeats", type=int, default=1, metavar="N", help="runs of each, in turns; the table shows medians"
    )
    parser.add_argument("--full", action="store_true", help="full length, with all output")
    parser.add_argument(
        "--strict", action="store_true", help="exit status 1 where a ratio is worse than the 20 runs before"
    )
    options = parser.parse_args()
    names = [bench.name for bench in BENCHES]
    for name in options.names:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0)[0]
            parser.error(f"there is no benchmark `{name}`: did you mean `{near}`? There are {', '.join(names)}")
    if not 1 <= options.repeats <= 100:
        parser.error(f"`--repeats` is {options.repeats}: 1 to 100 would be right")
    return options


def built(wanted: list[Bench], full: bool) -> dict[str, str]:
    """What did not compile. Compiling is done before and told apart: it says nothing about the service."""
    begin = time.monotonic()
    print("compiling ...", flush=True)
    faults = {bench.name: fault for bench in wanted if (fault := run.build(bench, full))}
    print(f"compiled in {time.monotonic() - begin:.0f} s", flush=True)
    return faults


def measured(
    wanted: list[Bench], options: argparse.Namespace, faults: dict[str, str]
) -> dict[str, list[report.Figures]]:
    """The figures of every run, benchmarks in turns, so that what drifts is in the repeats of all alike."""
    taken, begin, limit_s = {}, time.monotonic(), 0.0
    for repeat in range(options.repeats):
        turn = f" ({repeat + 1} of {options.repeats})" if options.repeats > 1 else ""
        for bench in wanted:
            # What the others have left is there for those that a busy machine makes slow.
            limit_s += bench.limit_s
            limit = "" if options.full else f", at most {limit_s:.0f} s"
            print(f"{bench.name:<10}{turn} runs{limit} ...", end="\n" if options.full else " ", flush=True)
            outcome = run.measure(bench, options.full, limit_s)
            limit_s = max(limit_s - outcome.seconds, 0.0)
            print(f"{outcome.fault or 'done'} after {outcome.seconds:.0f} s", flush=True)
            if outcome.fault:
                faults[bench.name] = outcome.fault
            else:
                taken.setdefault(bench.name, []).append(report.completed(bench.name, outcome.figures))
    print(f"all in {time.monotonic() - begin:.0f} s", flush=True)
    return taken


def shown(taken: dict, earlier: dict, full: bool) -> dict[str, list[report.Row]]:
    every = {name: value for runs in taken.values() for name, value in report.medians(runs).items()}
    before = {name: [run["figures"] for run in runs] for name, runs in earlier.items()}
    return {name: report.rows(name, runs, before[name], every, full) for name, runs in taken.items()}


def compared(this: dict, load: float, earlier: dict) -> None:
    print(f"machine {this['id']}: {this['cpu']}, {this['cores']} cores, {this['memory_gib']} GiB")
    if load > this["cores"] / 2:
        print(f"others use it (load {load:.1f} before this began): its timings say little, its ratios more")
    runs = [run for runs in earlier.values() for run in runs]
    if runs:
        last = max(runs, key=lambda run: run["date"])
        print(f"compared with runs of the same sizes here, the last of commit {last['commit']} on {last['date']}")
    else:
        print("no earlier run of these sizes on this machine: from the second on there is something to compare")


def revision() -> str:
    git = ["git", "-C", str(run.ROOT)]
    try:
        said = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip() + ("-changed" if changed.stdout.strip() else "")


def write(name: str, content: dict) -> None:
    run.FOLDER.mkdir(parents=True, exist_ok=True)
    (run.FOLDER / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    # What a benchmark has started ends with this, however it is ended.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
