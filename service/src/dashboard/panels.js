// What is beside tiles and charts: alerts, decisions, the bundle, resources, where time goes, how good answers are.

import { announce, barred, bytes, element, lasted, number, prose, put, rate, seconds, share, table, terms, time, whole } from "./format.js";
import { name, readable, said, word } from "./words.js";

// So many alerts are shown that are over.
const RESOLVED = 5;

// Makes them; what shows a snapshot in them, and the alerts that are over.
export function panels() {
  const alerts = alertList();
  return (snapshot, points, recent) => {
    alerts(snapshot.alerts, recent);
    show("decisions", decisions(snapshot));
    show("mix", mix(snapshot));
    show("bundle", bundle(snapshot));
    show("resources", resources(snapshot));
    show("stages", stages(snapshot));
    show("quality", quality(snapshot));
    document.getElementById("served").textContent = [snapshot.model.name, snapshot.model.version].filter(Boolean).join(" ");
    document.getElementById("measured").textContent = word("measured", { time: time(snapshot.timestamp) });
  };
}

const show = (id, parts) => put(document.getElementById(id), ...parts);

// What begins and what ends is announced, and nothing else of the list: its numbers change all the time.
function alertList() {
  let told = null;
  return (firing, recent) => {
    const missing = (some, others) => some.filter(({ id }) => !others.some((other) => other.id === id));
    const changes = told === null ? [] : [
      ...missing(firing, told).map((alert) => word("announce.alert", { alert: called(alert) })),
      ...missing(told, firing).map((alert) => word("announce.resolved", { alert: called(alert) })),
    ];
    if (changes.length > 0) announce(changes.join(". "));
    told = firing;
    document.getElementById("alerts-count").textContent = firing.length > 0 ? whole(firing.length) : "";
    show("alerts", firing.length > 0 ? firing.map(alert) : [element("li", { className: "quiet" }, word("alerts.none"))]);
    show("resolved", recent.slice(0, RESOLVED).map(alert));
    document.getElementById("resolved-title").hidden = recent.length === 0;
  };
}

const called = ({ rule, subject }) => [name("alert", rule), subject].filter(Boolean).join(": ");

// How the numbers of a rule are written.
const UNITS = { latency: seconds, lag: seconds, errors: share, degraded: share, memory: share, failed_events: share };

function alert({ id, rule, subject, severity, summary, advice, value, threshold, since, resolved }) {
  const write = UNITS[rule] ?? number;
  const badge = element("span", { className: `badge ${severity}` }, name("severity", severity));
  const when = resolved ? word("alert.resolved", { time: time(resolved) }) : word("alert.since", { time: time(since) });
  const title = element("strong", {}, called({ rule, subject }));
  const about = said(`alert_summary.${rule}`, { value: write(value), threshold: write(threshold), subject: subject ?? "" }, summary);
  const parts = [element("p", {}, badge, " ", title, " ", element("span", { className: "quiet" }, when)), prose("p", about)];
  if (!resolved) parts.push(prose("p", said(`alert_advice.${rule}`, {}, advice), "quiet"));
  return element("li", { data: { alert: id, severity } }, ...parts);
}

const decided = {
  "decision.all": ({ decisions }) => whole(decisions),
  "decision.approve": ({ approved, decisions }) => part(approved, decisions),
  "decision.refer": ({ referred, decisions }) => part(referred, decisions),
  "decision.decline": ({ declined, decisions }) => part(declined, decisions),
  "decision.default": ({ predicted_default_share: predicted }) => share(predicted),
  "decision.probability": ({ mean_probability: mean }) => share(mean),
  "decision.confidence": ({ mean_confidence: mean }) => share(mean),
};

const part = (count, all) => (all > 0 ? `${whole(count)} (${share(count / all)})` : whole(count));

function decisions({ business, window_seconds: covered }) {
  const { today, today_since: since, window } = business;
  if (today.decisions === 0 && window.decisions === 0) return [element("p", { className: "quiet" }, word("decisions.none"))];
  const columns = [[""], [word("column.today"), true], [word("column.window", { window: lasted(covered) }), true]];
  const rows = Object.entries(decided).map(([name, write]) => [word(name), write(today), write(window)]);
  const caption = `${word("decisions")}, ${word("decisions.since", { time: time(since) })}`;
  return [scrolled(table(caption, columns, rows))];
}

function mix({ business, window_seconds: covered }) {
  const { window, products, segments } = business;
  if (window.decisions === 0) return [element("p", { className: "quiet" }, word("decisions.none"))];
  const bands = window.bands.map(({ name, count }) => [readable(name), barred(count / window.decisions, whole(count)), share(count / window.decisions)]);
  const columns = [[word("answer.band")], [word("column.count"), true], [word("column.share"), true]];
  return [
    scrolled(table(word("mix.bands", { window: lasted(covered) }), columns, bands)),
    ...groups(word("mix.products"), products), ...segments.flatMap(({ field, groups: of }) => groups(readable(field), of)),
  ];
}

function groups(caption, groups) {
  if (groups.length === 0) return [];
  const columns = [[word("column.name")], [word("decision.all"), true], [word("decision.approve"), true], [word("decision.default"), true]];
  const rows = groups.map(({ name, decisions, approved, predicted_default_share: predicted }) =>
    [name === "other" ? word("other") : name, whole(decisions), part(approved, decisions), share(predicted)]);
  return [scrolled(table(caption, columns, rows))];
}

function bundle({ model }) {
  const about = terms([
    [word("bundle.name"), model.name], [word("bundle.version"), model.version],
    [word("bundle.hash"), element("code", { title: model.hash }, model.hash.slice(0, 12))],
  ]);
  if (model.drift.length === 0) return [about, element("p", { className: "quiet" }, word("bundle.no_drift"))];
  const columns = [[word("column.feature")], [word("column.psi"), true], [word("column.missing"), true], [word("column.missing_reference"), true]];
  const most = Math.max(...model.drift.map(({ psi }) => psi), 0.25);
  const rows = model.drift.map(({ feature, psi, missing, missing_reference: before }) => [
    element("code", {}, feature),
    barred(psi / most, number(psi), psi > 0.25 ? "bad" : psi > 0.1 ? "fair" : ""),
    share(missing), share(before),
  ]);
  return [about, scrolled(table(word("bundle.drift", { samples: whole(model.samples) }), columns, rows))];
}

function resources({ resources }) {
  const { kafka, breakers } = resources;
  const pairs = [
    ["cpu", share(resources.cpu_ratio)],
    ["memory", word("resource.of", { used: bytes(resources.memory_bytes), limit: bytes(resources.memory_limit_bytes) })],
    ["connections", whole(resources.open_connections)],
    ["in_flight", whole(resources.in_flight)],
    ["queue", `${whole(resources.queue_records)} · ${bytes(resources.queue_bytes)} · ${seconds(resources.queue_age_seconds)}`],
    ["event_loop", seconds(resources.event_loop_delay_seconds)],
    ["people", whole(resources.people)],
    ["history", bytes(resources.history_memory_bytes)],
    ["log", bytes(resources.log_bytes)],
    ["state", bytes(resources.state_bytes)],
    ["checkpoint", lasted(resources.checkpoint_age_seconds)],
    ...(kafka ? [["freshness", seconds(kafka.freshness_seconds)]] : []),
  ];
  const states = breakers.map(({ dependency, state }) =>
    element("li", { data: { breaker: dependency, state } }, `${dependency} `, element("strong", {}, name("breaker", state))));
  return [
    terms(pairs.map(([name, value]) => [word(`resource.${name}`), value])),
    element("h3", {}, word("breakers")), element("ul", { className: "chips" }, ...states),
  ];
}

const PERCENTILES = ["p50", "p95", "p99", "max"];

function stages({ performance }) {
  const columns = PERCENTILES.map((percentile) => [percentile, true]);
  const times = (of) => PERCENTILES.map((percentile) => seconds(of[percentile]));
  const stages = performance.stages.map(({ stage, seconds }) => [name("stage", stage), ...times(seconds)]);
  const routes = performance.routes.map(({ method, route, per_second: per, seconds }) => [
    element("code", {}, `${method} ${route}`), rate(per), ...times(seconds),
  ]);
  return [
    scrolled(table(word("stages.scoring"), [[word("column.stage")], ...columns], stages)),
    scrolled(table(word("stages.routes"), [[word("column.route")], [word("column.rate"), true], ...columns], routes)),
  ];
}

function quality({ quality }) {
  const pairs = [
    [word("quality.success"), share(quality.success_rate)],
    [word("quality.errors"), share(quality.error_rate)],
    [word("quality.client_errors"), share(quality.client_error_rate)],
    [word("quality.timeouts"), share(quality.timeout_rate)],
    ...quality.cache.map(({ level, hits, hit_rate: rate }) => [`${word("quality.cache")} ${level}`, `${share(rate)} (${whole(hits)})`]),
    [word("quality.events"), `${whole(quality.events)} · ${share(quality.events_refused_rate)}`],
  ];
  const counts = (caption, counted) => (counted.length === 0 ? [] : [scrolled(table(word(caption), [[word("column.name")], [word("column.count"), true]],
    counted.map(({ name, count }) => [element("code", {}, name), whole(count)])))]);
  const tables = [...counts("quality.codes", quality.errors), ...counts("quality.reasons", quality.reasons)];
  return [terms(pairs), ...(tables.length > 0 ? tables : [element("p", { className: "quiet" }, word("quality.no_errors"))])];
}

// A table that may be wider than a phone scrolls by itself, with the keyboard too.
const scrolled = (table) =>
  element("div", { className: "rows", tabIndex: 0, role: "region", ariaLabel: table.caption.textContent }, table);
