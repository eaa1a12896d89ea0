// The four charts.

import { BARS, LINES, STACK, chart, over, perSecond } from "./charts.js";
import { number, seconds, share, time, whole } from "./format.js";
import { word } from "./words.js";

const MODES = ["full", "cached", "fallback", "refer"];

const at = (second) => time(new Date(second * 1000));

// Makes them; what shows a snapshot in them.
export function graphs() {
  const eachSecond = () => word("chart.seconds");
  // What the bins of the newest snapshot are called.
  let shown = [];
  const response = chart({
    id: "chart-response", title: "chart.response", note: eachSecond, shape: LINES, format: seconds, label: at,
    series: ["p50", "p95", "p99"].map((name, place) => ({ word: `series.${name}`, colour: `series-${place + 1}` })),
  });
  const throughput = chart({
    id: "chart-throughput", title: "chart.throughput", note: eachSecond, shape: LINES, format: number, label: at,
    series: ["requests", "scores", "errors"].map((name, place) => ({ word: `series.${name}`, colour: ["series-4", "series-1", "bad"][place] })),
  });
  const modes = chart({
    id: "chart-modes", title: "chart.modes", note: () => word("chart.share"), shape: STACK, format: share, label: at,
    series: MODES.map((name) => ({ word: `mode.${name}`, colour: `mode-${name}` })),
  });
  const scores = chart({
    id: "chart-scores", title: "chart.scores", note: ({ psi, samples }) => word("chart.psi", { psi: number(psi), samples: whole(samples) }),
    shape: BARS, format: share, label: (_, which) => shown[which], column: "column.below",
    series: [{ word: "series.reference", colour: "reference" }, { word: "series.live", colour: "series-1" }],
  });
  document.getElementById("charts").append(...[response, throughput, modes, scores].map(({ card }) => card));
  return ({ model }, points) => {
    response.show(over(points, ...["p50", "p95", "p99"].map((name) => (point) => point.response_seconds[name])));
    throughput.show(over(points, ...["requests", "scores", "errors"].map(perSecond)));
    modes.show(over(points, ...MODES.map((_, place) => (point) => (point.scores > 0 ? point.modes[place] / sum(point.modes) : null))));
    shown = model.scores.bins.map(({ below }) => (below === null ? share(1) : share(below)));
    scores.show({
      x: model.scores.bins.map((_, place) => place),
      columns: [model.scores.bins.map(({ reference }) => reference), model.scores.bins.map(({ live }) => live)],
      psi: model.scores.psi,
      samples: model.scores.samples,
    });
  };
}

const sum = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
