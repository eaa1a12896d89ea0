"""Which benchmarks there are, how small a short run of each is, and how their figures are judged: a table each."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

Figures = Mapping[str, float]


class Bench(NamedTuple):
    name: str
    #: Packages and benchmarks of cargo, in turn; all of them write one file of figures.
    targets: tuple[tuple[str, str], ...]
    #: What a short run may take, beside what those before it have left; one that takes longer is ended.
    limit_s: int
    #: Variables that set its size and the sizes of a short run; None where that has no other than a long one.
    sizes: Mapping[str, str | None] = MappingProxyType({})
    #: What it starts beside the service, as cargo builds it.
    starts: tuple[str, ...] = ()
    #: The name of its file of figures, where that is not its own.
    file: str | None = None


# Together below ten minutes.
BENCHES = [
    Bench("engine", (("cauce-features", "engine"),), 70),
    Bench("inference", (("cauce-model", "inference"),), 15),
    Bench("http", (("cauce", "http"),), 30, {"SET": None}),
    Bench(
        "durable",
        (("cauce-tests", "durable"),),
        90,
        {"ROUNDS": "10", "PEOPLE": "100000", "TURNS": "5", "SEED": None},
    ),
    Bench(
        "kafka",
        (("cauce-tests", "kafka"),),
        110,
        {"KILLS": "4", "EVENTS": "200000", "APPLICATIONS": "40000", "TURNS": "1", "SECONDS": "8", "SEED": None},
    ),
    Bench(
        "budget",
        (("cauce-tests", "budget"),),
        85,
        {"SECONDS": "10", "CONNECTIONS": None, "SLOW": "1000", "RELOADS": "20"},
    ),
    Bench(
        "kpi",
        (("cauce", "kpi"), ("cauce-tests", "kpi")),
        50,
        {"PAIRS": "12", "SECONDS": "1", "CLIENTS": None},
    ),
    Bench(
        "loadtest",
        (("cauce-tests", "loadtest"),),
        120,
        {"SECONDS": "2", "TURNS": "1"},
        starts=("--package", "cauce-loadtest", "--example", "bare"),
        file="workloads",
    ),
    Bench(
        "simulate",
        (("cauce-tests", "simulate"),),
        25,
        {"PEOPLE": "5000", "TURNS": None},
        starts=("--workspace", "--bin", "cauce-loadtest"),
    ),
]


class Figure(NamedTuple):
    name: str
    unit: str
    #: "lower" or "higher" where one of them is better.
    better: str = ""
    bar: str = ""
    #: Whether the bar holds; it may look at other figures of the same run.
    holds: Callable[[Figures], bool] | None = None
    #: "ratio" of two measures of one run; "limit" of the machine; "size" of the run.
    kind: str = ""
    #: How it follows from other figures, where the benchmark does not tell it.
    of: Callable[[Figures], float] | None = None
    #: Whether the bar is stated for a full-length run only.
    long: bool = False


def at_most(name: str, unit: str, most: float, kind: str = "", of: Callable[[Figures], float] | None = None) -> Figure:
    bar = f"≤ {most:,}" if most else "0"
    return Figure(name, unit, "lower", bar, lambda f: f[name] <= most, kind, of)


def at_least(
    name: str, unit: str, least: float, kind: str = "", of: Callable[[Figures], float] | None = None
) -> Figure:
    return Figure(name, unit, "higher", f"≥ {least:,}", lambda f: f[name] >= least, kind, of)


def size(name: str, least: int) -> Figure:
    """How much was done: more is neither better nor worse."""
    return Figure(name, "", "", f"≥ {least:,}", lambda f: f[name] >= least, "size", long=True)


def over(name: str, measure: str, limit: str) -> dict:
    """A ratio's name and how it follows."""
    return {"name": name, "unit": "×", "kind": "ratio", "of": lambda f: f[measure] / f[limit]}


FIGURES = {
    "engine": [
        at_most("apply_ns", "ns", 300),
        at_most("read_ns_p50", "ns", 1_000),
        at_most("read_ns_p99", "ns", 10_000),
        at_least("apply_read_events_per_s", "/s", 1_000_000),
        at_most("late_busy_us_p999", "µs", 50),
        at_most("bytes_per_person", "B", 900),
        at_most("snapshot_bytes_per_event", "B", 8),
    ],
    "inference": [
        Figure("inference_raw_us_p50", "µs", "lower", kind="limit"),
        Figure("inference_us_p50", "µs", "lower"),
        at_most(**over("inference_over_raw", "inference_us_p50", "inference_raw_us_p50"), most=1.15),
    ],
    "http": [
        Figure("http_bare_cpu_us", "µs", "lower", kind="limit"),
        Figure(
            "http_cpu_us",
            "µs",
            "lower",
            "≤ bare + raw inference + 8",
            lambda f: f["http_cpu_us"] <= f["http_bare_cpu_us"] + f["inference_raw_us_p50"] + 8,
        ),
        Figure(**over("http_over_bare", "http_cpu_us", "http_bare_cpu_us"), better="lower"),
        Figure("http_allocations", "", "lower"),
    ],
    "durable": [
        size("crash_rounds", 200),
        at_most("acknowledged_lost", "", 0),
        at_most("applied_twice", "", 0),
        at_least("batch_events_per_s", "/s", 100_000),
        Figure("fdatasync_p50_ms", "ms", "lower", kind="limit"),
        Figure("ack_p50_ms", "ms", "lower"),
        Figure("ack_p99_ms", "ms", "lower"),
        at_most(**over("ack_p99_over_fdatasync", "ack_p99_ms", "fdatasync_p50_ms"), most=2.5),
        at_most("restart_s", "s", 5)._replace(long=True),
        size("people", 1_000_000),
        Figure("bytes_per_person", "B", "lower"),
        at_most("disk_bytes_per_event", "B", 12),
        Figure("scoring_p99_ratio_in_checkpoint", "×", "lower", kind="ratio"),
    ],
    "kafka": [
        size("kills", 50),
        at_most("lost", "", 0),
        at_most("duplicated", "", 0),
        Figure("dead_letters_expected", ""),
        Figure(
            "dead_letters_seen",
            "",
            bar="exactly those expected",
            holds=lambda f: f["dead_letters_seen"] == f["dead_letters_expected"] > 0,
        ),
        Figure("digest_equal", "", "higher", "1: that of a clean run", lambda f: f["digest_equal"] == 1),
        Figure("raw_events_per_s", "/s", "higher", kind="limit"),
        Figure("events_per_s", "/s", "higher"),
        at_least(**over("events_over_raw", "events_per_s", "raw_events_per_s"), least=0.6),
        Figure("batch_inference_per_s", "/s", "higher", kind="limit"),
        Figure("applications_per_s", "/s", "higher"),
        at_least(**over("applications_over_inference", "applications_per_s", "batch_inference_per_s"), least=0.8),
        Figure("end_to_end_p50_ms", "ms", "lower"),
        Figure("end_to_end_p99_ms", "ms", "lower"),
    ],
    "budget": [
        at_least("overload_goodput_ratio", "×", 0.9, "ratio"),
        Figure("admitted_p99_ms", "ms", "lower", "≤ budget", lambda f: f["admitted_p99_ms"] <= f["budget_ms"]),
        Figure("budget_ms", "ms"),
        at_most("refused_p99_ms", "ms", 1),
        at_most("recovery_s", "s", 2),
        at_most("over_budget", "", 0),
        at_most("dropped_connections", "", 0),
        at_most("cache_hit_cost_ratio", "×", 0.15, "ratio"),
        size("reloads", 100),
        at_most("reload_failed", "", 0),
        at_most("reload_p99_ratio", "×", 2, "ratio"),
        at_most("slow_clients_p99_ratio", "×", 1.2, "ratio"),
    ],
    "kpi": [
        at_least("throughput_ratio", "×", 0.98, "ratio"),
        Figure("throughput_ratio_low", "×", "higher", kind="ratio"),
        Figure("throughput_ratio_high", "×", "higher", kind="ratio"),
        Figure("cpu_ratio", "×", "higher", kind="ratio"),
        Figure("dashboard_clients", "", "", "≥ 10", lambda f: f["dashboard_clients"] >= 10),
        at_most("percentile_error_max", "", 0.01),
    ],
    "loadtest": [
        Figure("bare_peak_per_s", "/s", "higher", kind="limit"),
        Figure("service_peak_per_s", "/s", "higher"),
        at_most("service_peak_is_of_generator", "", 0),
        Figure(**over("service_over_bare", "service_peak_per_s", "bare_peak_per_s"), better="higher"),
        Figure("generator_ceiling_per_s", "/s", "higher"),
        at_least(**over("generator_over_service", "generator_ceiling_per_s", "service_peak_per_s"), least=2),
        at_most("p99_ms_at_half_peak", "ms", 2),
        at_most("p999_ms_at_half_peak", "ms", 5),
        *(Figure(f"{kind}_peak_per_s", "/s", "higher") for kind in ("repeats", "batch", "mixed")),
        *(Figure(f"{kind}_p99_ms_at_50", "ms", "lower") for kind in ("repeats", "batch", "mixed")),
    ],
    "simulate": [at_least("simulate_events_per_s", "/s", 200_000)],
}
