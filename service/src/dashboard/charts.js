// Charts, each with a table that says the same. uPlot draws them; where it was not built in, the tables stand alone.

import { element, put, share, table, time } from "./format.js";
import { word } from "./words.js";

const HEIGHT = 210;
// Seconds that an axis spans at least, and points further apart than this have a gap between them.
const SPAN = 60;
const GAP = 2.5;

const Plot = globalThis.uPlot;

// All there are: redrawn when colours or language change.
const drawn = new Set();

export function redraw() {
  for (const chart of drawn) chart.redraw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// A chart in a card of its own. `series` are { word, colour }; `shape` is LINES, STACK or BARS;
// `format` writes a value, `label` what a row is of, `note` what the data says on the whole.
export function chart({ id, title, note, series, shape, format, label, column = "column.time" }) {
  const [heading, about] = [element("h3", { id: `${id}-title` }), element("p", { className: "quiet" })];
  const button = element("button", { type: "button", aria: { expanded: "false", controls: `${id}-rows` } });
  const legend = element("ul", { className: "legend" });
  const plot = element("div", { className: "plot", role: "img" });
  const rows = element("div", { className: "rows", id: `${id}-rows`, role: "region", tabIndex: 0, hidden: Boolean(Plot) });
  const card = element("article", { className: "card chart", id, aria: { labelledby: `${id}-title` } },
    element("div", { className: "head" }, element("div", {}, heading, about), ...(Plot ? [button] : [])), legend, ...(Plot ? [plot] : []), rows);
  let [data, uplot] = [{ x: [], columns: series.map(() => []) }, null];

  const values = (at) => series.map((_, which) => format(data.columns[which][at] ?? null));
  const showLegend = (at) => put(legend, ...values(at).map((value, which) => {
    const swatch = element("span", { className: `swatch ${series[which].colour}`, ariaHidden: "true" });
    return element("li", {}, swatch, ` ${word(series[which].word)} `, ...(at === null ? [] : [element("strong", {}, value)]));
  }));
  const showRows = () => {
    if (rows.hidden) return;
    const columns = [[word(column)], ...series.map((one) => [word(one.word), true])];
    const lines = data.x.map((x, at) => [label(x, at), ...values(at)]);
    put(rows, table(word("chart.of", { chart: word(title) }), columns, shape.newestFirst ? lines.reverse() : lines));
  };
  // What the legend tells of when no place of the chart is pointed at.
  const newest = () => (shape.tellsNewest ? Math.max(data.x.length - 1, 0) : null);
  const draw = () => {
    heading.textContent = word(title);
    about.textContent = data.x.length > 0 ? note(data) : word("chart.waiting");
    button.textContent = word("chart.table");
    button.setAttribute("aria-label", word("chart.of", { chart: word(title) }));
    rows.setAttribute("aria-label", word("chart.of", { chart: word(title) }));
    showLegend(uplot?.cursor.idx ?? newest());
    showRows();
    if (!Plot) return;
    plot.setAttribute("aria-label", word("chart.now", { chart: word(title), values: legend.textContent }));
    uplot ??= new Plot(options({ plot, series, shape, format, label, showLegend, newest, data: () => data }), [[]], plot);
    uplot.setData(shape.stack(data));
  };

  button.onclick = () => {
    rows.hidden = !rows.hidden;
    plot.hidden = !rows.hidden;
    button.setAttribute("aria-expanded", String(!rows.hidden));
    showRows();
  };
  if (Plot) new ResizeObserver(() => !plot.hidden && uplot?.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(plot);
  const made = {
    card,
    show(next) {
      data = next;
      draw();
    },
    redraw() {
      uplot?.destroy();
      uplot = null;
      draw();
    },
  };
  drawn.add(made);
  return made;
}

// Lines over time.
export const LINES = {
  newestFirst: true,
  tellsNewest: true,
  stack: ({ x, columns }) => [x, ...columns],
  series: (one) => ({ stroke: colour(one.colour), width: 2, points: { show: false, filter: alone } }),
  x: { time: true, range: (_, from, to) => spanned(from, to, 0) },
  y: (_, __, most) => [0, most > 0 ? most * 1.1 : 1],
};

// Shares of each second, one upon the other: the whole is drawn first, and what is below over it.
export const STACK = {
  ...LINES,
  stack: ({ x, columns }) => {
    const sums = columns.map((_, last) => x.map((_, at) =>
      columns[0][at] === null ? null : columns.slice(0, last + 1).reduce((sum, column) => sum + column[at], 0)));
    return [x, ...sums.reverse()];
  },
  isReversed: true,
  series: (one) => ({ fill: colour(one.colour), width: 0, points: { show: false }, paths: Plot.paths.bars({ size: [0.9] }) }),
  x: { time: true, range: (_, from, to) => spanned(from, to, 0.5) },
  y: () => [0, 1],
};

// Bars beside each other, one group a row.
export const BARS = {
  stack: ({ x, columns }) => [x, ...columns],
  series: (one, at) => ({
    fill: colour(one.colour), width: 0, points: { show: false }, paths: Plot.paths.bars({ size: [0.4], align: at === 0 ? -1 : 1 }),
  }),
  x: { time: false, range: (chart) => [-0.5, Math.max(chart.data[0].length, 1) - 0.5] },
  y: LINES.y,
};

// A line without axes, as wide as its place.
export function spark(place, name) {
  if (!Plot) return { show() {} };
  let [data, uplot] = [[[], []], null];
  const draw = () => {
    uplot ??= new Plot({
      width: Math.max(place.clientWidth, 1), height: 34, legend: { show: false }, cursor: { show: false },
      padding: [3, 0, 3, 0], axes: [{ show: false }, { show: false }],
      scales: { x: LINES.x, y: { range: (_, least, most) => (most > least ? [least, most] : [most - 1, most + 1]) } },
      series: [{}, { stroke: colour(name), width: 1.5, points: { show: false, filter: alone } }],
    }, data, place);
    uplot.setData(data);
  };
  new ResizeObserver(() => uplot?.setSize({ width: Math.max(place.clientWidth, 1), height: 34 })).observe(place);
  drawn.add({
    redraw() {
      uplot?.destroy();
      uplot = null;
      draw();
    },
  });
  return {
    show(x, values) {
      data = [x, values];
      draw();
    },
  };
}

function options({ plot, series, shape, format, label, showLegend, newest, data }) {
  const [text, line] = [colour("quiet"), colour("line")];
  const axis = { stroke: text, font: "12px system-ui, sans-serif", ticks: { show: false }, grid: { stroke: line, width: 1 } };
  const ordered = shape.isReversed ? [...series].reverse() : series;
  const names = (_, splits) => splits.map((at) => (Number.isInteger(at) && at in data().x ? label(data().x[at], at) : ""));
  return {
    width: Math.max(plot.clientWidth, 1),
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: shape.x, y: { range: shape.y } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 78, values: shape.x.time ? (_, splits) => splits.map((at) => time(new Date(at * 1000))) : names },
      { ...axis, size: 62, space: 36, values: (_, splits) => splits.map((value) => (shape === STACK ? share(value) : format(value))) },
    ],
    series: [{}, ...ordered.map(shape.series)],
    hooks: { setCursor: [(chart) => showLegend(chart.cursor.idx ?? newest())] },
  };
}

// The newest minute at least.
const spanned = (from, to, margin) => (from === null ? [0, SPAN] : [Math.min(from, to - SPAN) - margin, to + margin]);

// The points of a line that have no neighbour: without a dot they would not be seen.
function alone(chart, which) {
  const values = chart.data[which];
  const isNothing = (at) => values[at] === null || values[at] === undefined;
  return [...values.keys()].filter((at) => !isNothing(at) && isNothing(at - 1) && isNothing(at + 1));
}

// How many a second: a point is of about one.
export const perSecond = (name) => (point) => point[name] / (point.seconds || 1);

// Points as columns over time, with a gap where seconds are missing.
export function over(points, ...columns) {
  const x = [];
  const filled = columns.map(() => []);
  for (const point of points) {
    const at = Date.parse(point.timestamp) / 1000;
    if (x.length > 0 && at - x.at(-1) > GAP) {
      x.push(x.at(-1) + 1);
      filled.forEach((column) => column.push(null));
    }
    x.push(at);
    filled.forEach((column, which) => column.push(columns[which](point)));
  }
  return { x, columns: filled };
}
