// The dashboard: connects, shows what comes, speaks the chosen language. What stands where is in index.html.

import { redraw } from "./charts.js";
import { announce, prose, put } from "./format.js";
import { graphs } from "./graphs.js";
import { connect } from "./live.js";
import { panels } from "./panels.js";
import { tiles } from "./tiles.js";
import { trial } from "./trial.js";
import { said, speak, translate, word } from "./words.js";

translate();
const parts = [tiles(), graphs(), panels()];
const form = trial();
let newest = null;
let connection = ["connecting", 0, null];
let waiting = false;

// At most once a frame, and not at all while nobody looks.
function show() {
  if (waiting || newest === null) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const part of parts) part(...newest);
  });
}

// Each second for the eye, and each change once for who listens.
function tell(state, seconds, problem = null) {
  const pill = document.getElementById("connection");
  const changed = pill.dataset.connection !== state;
  connection = [state, seconds, problem];
  pill.dataset.connection = state;
  document.getElementById("connection-text").textContent = word(`connection.${state}`, { seconds });
  const trouble = document.getElementById("trouble");
  trouble.hidden = problem === null;
  if (problem !== null) put(trouble, prose("p", said(`trouble.${problem.code}`, {}, `${problem.code}: ${problem.message}`)));
  document.body.classList.toggle("old", state === "stale" || state === "disconnected");
  if (changed) announce(word(`announce.${state}`));
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.onclick = () => {
    speak(button.dataset.language);
    translate();
    tell(...connection);
    form.translate();
    redraw();
    show();
  };
}

connect((snapshot, points, recent) => {
  newest = [snapshot, points, recent];
  form.serves(snapshot.model.hash);
  show();
}, tell);
