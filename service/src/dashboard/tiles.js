// The state with what is wrong, and the key figures, each over its last minutes.

import { over, perSecond, spark } from "./charts.js";
import { element, lasted, number, prose, put, rate, seconds, share, whole } from "./format.js";
import { name, said, word } from "./words.js";

const of = (part, whole) => (whole > 0 ? part / whole : null);

// Each tile: its figure, a note, one value a second, and the problems that are about it.
const TILES = [
  {
    id: "p95",
    problems: ["latency"],
    figure: ({ performance }) => seconds(performance.response_seconds.p95),
    note: ({ performance: { response_seconds: { p50, p99 } } }) => word("tile.p95.note", { p50: seconds(p50), p99: seconds(p99) }),
    point: (point) => point.response_seconds.p95,
  },
  {
    id: "throughput",
    problems: ["throughput"],
    figure: ({ performance }) => rate(performance.requests_per_second),
    note: ({ performance }) => word("tile.throughput.note", { scores: rate(performance.scores_per_second) }),
    point: perSecond("requests"),
  },
  {
    id: "success",
    problems: ["errors"],
    figure: ({ quality }) => share(quality.success_rate),
    note: ({ quality }) => word("tile.success.note", { errors: share(quality.error_rate), client: share(quality.client_error_rate) }),
    point: (point) => of(point.requests - point.errors, point.requests),
  },
  {
    id: "confidence",
    problems: [],
    figure: ({ business }) => share(business.window.mean_confidence),
    note: ({ business }) => word("tile.confidence.note", { mean: share(business.window.mean_probability) }),
    point: (point) => point.mean_confidence,
  },
  {
    id: "degraded",
    problems: [],
    figure: ({ quality }) => share(quality.degraded_rate),
    note: ({ performance }) => word("tile.degraded.note", { count: whole(performance.over_budget) }),
    point: (point) => of(point.degraded, point.scores),
  },
  {
    id: "lag",
    problems: [],
    figure: ({ resources }) => seconds(resources.kafka ? resources.kafka.lag_seconds : resources.queue_age_seconds),
    note: ({ resources: { kafka, queue_records } }) =>
      (kafka ? word("tile.lag.kafka", { records: whole(kafka.lag_records) }) : word("tile.lag.queue", { records: whole(queue_records) })),
    point: (point) => point.lag_seconds ?? point.queue_records,
  },
];

// How values of a problem are written.
const UNITS = { latency: seconds, errors: share, throughput: rate, memory: share, cache_hits: share };

// Makes the tiles; what shows a snapshot in them.
export function tiles() {
  const made = TILES.map(tile);
  document.getElementById("tiles").append(...made.map(({ card }) => card));
  return (snapshot, points) => {
    showState(snapshot);
    for (const { show } of made) show(snapshot, points);
  };
}

function tile({ id, figure, note, point, problems }) {
  const title = element("h3", { data: { word: `tile.${id}` } }, word(`tile.${id}`));
  const [value, about] = [element("p", { className: "figure", textContent: word("none") }), element("p", { className: "quiet" })];
  const place = element("div", { className: "spark", ariaHidden: "true" });
  const card = element("article", { className: "card tile", data: { tile: id } }, title, value, about, place);
  const line = spark(place, "main");
  return {
    card,
    show(snapshot, points) {
      value.textContent = figure(snapshot);
      about.textContent = note(snapshot);
      card.classList.toggle("wrong", snapshot.problems.some(({ kind }) => problems.includes(kind)));
      const { x, columns } = over(points, point);
      line.show(x, columns[0]);
    },
  };
}

function showState({ state, problems, uptime_seconds: uptime, window_seconds: window }) {
  document.getElementById("state").dataset.state = state;
  document.getElementById("state-name").textContent = name("state", state);
  document.getElementById("state-facts").textContent = word("state.facts", { uptime: lasted(uptime), window: lasted(window) });
  document.getElementById("wrong").hidden = problems.length === 0;
  put(document.getElementById("problems"), ...problems.map(told));
}

function told({ kind, value, limit, detail, recommendation }) {
  const write = UNITS[kind] ?? number;
  const problem = said(`problem.${kind}`, { value: write(value), limit: write(limit) }, detail);
  return element("li", { data: { problem: kind } }, prose("strong", problem), prose("p", said(`advice.${kind}`, {}, recommendation), "quiet"));
}
