// A form that scores an application. Its fields are those that the bundle in service declares in /openapi.json, so it fits every bundle.

import { barred, element, number, prose, seconds, share, table, terms } from "./format.js";
import { ask } from "./live.js";
import { language, name, readable, word } from "./words.js";

// How long after the fields could not be read it is tried again.
const AGAIN = 10000;

// Makes the form. `serves` tells of the bundle in service; `translate` shows all in the spoken language.
export function trial() {
  const form = document.getElementById("form");
  const waiting = () => [quiet(word("trial.waiting"))];
  let [fields, policy, hash, shown, hasFailed] = [[], null, null, waiting, false];

  const showAnswer = (parts) => {
    shown = parts;
    document.getElementById("answer").replaceChildren(...shown());
  };
  const showFields = () => {
    const [given, focused] = [[...form.elements].filter(isChanged), document.activeElement.id];
    document.getElementById("fields").replaceChildren(...[PERSON, ...fields].map(row));
    for (const { name, value } of given) fill(control(name), value);
    if (given.some(({ id }) => id === focused)) document.getElementById(focused)?.focus();
  };
  const learn = async () => {
    try {
      const [openapi, bundle] = await Promise.all([ask("openapi.json"), ask("v1/bundle")]);
      [fields, policy] = [declared(openapi), bundle];
      showFields();
      if (hasFailed) showAnswer(waiting);
      hasFailed = false;
    } catch (problem) {
      // Under overload these documents wait behind scores.
      setTimeout(() => { hash = null; }, AGAIN);
      hasFailed = true;
      showAnswer(() => [quiet(word("trial.no_fields", { problem: problem.message }))]);
    }
  };

  form.onsubmit = async (event) => {
    event.preventDefault();
    fields.forEach(({ name }) => mark(name));
    mark(PERSON.name);
    const began = performance.now();
    hasFailed = false;
    try {
      const answer = await fetch("v1/score", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request(fields)),
      });
      const [document, trip] = [await answer.json(), (performance.now() - began) / 1000];
      if (answer.ok) return showAnswer(() => scored(document, trip, policy));
      showAnswer(() => refused(document));
      (document.errors ?? []).map((error) => mark(error.path.split(".").at(-1), error)).find(Boolean)?.focus();
    } catch (problem) {
      showAnswer(() => [quiet(word("trial.no_answer", { problem: problem.message }))]);
    }
  };

  showAnswer(shown);
  return {
    serves(served) {
      if (served === hash) return;
      hash = served;
      learn();
    },
    translate() {
      showFields();
      showAnswer(shown);
    },
  };
}

const quiet = (text) => element("p", { className: "quiet" }, text);
const control = (name) => document.getElementById(`field-${name}`);

// Whether somebody has given a control another value than it came with.
const isChanged = ({ type, value, defaultValue, selectedOptions }) =>
  (type === "select-one" ? !selectedOptions[0]?.defaultSelected : ["text", "number"].includes(type) && value !== defaultValue);

// Gives a control this value, if it is still there and can have it.
function fill(control, value) {
  if (!control || (control.options && ![...control.options].some((option) => option.value === value))) return;
  control.value = value;
}

// Whose application it is; nobody's in particular if it stays empty.
const PERSON = { name: "person_id", isRequired: false, example: "", schema: { type: "string", maxLength: 128 } };

// The fields of an application, as the interface declares them.
function declared(openapi) {
  const { properties, required } = openapi.components.schemas.Application;
  const { example } = openapi.paths["/v1/score"].post.requestBody.content["application/json"];
  return Object.entries(properties).map(([name, schema]) => ({
    name, schema, isRequired: required.includes(name), example: example.application[name],
    // The other name that front-ends use for it.
    alias: /^also `([^`]+)`/.exec(schema.description)?.[1],
  })).sort((one, other) => other.isRequired - one.isRequired);
}

function row({ name, schema, isRequired, example, alias }) {
  const [id, hint] = [`field-${name}`, `hint-${name}`];
  const title = name === PERSON.name ? word("trial.person") : readable(language() === "es" && alias ? alias : name);
  const label = element("label", { htmlFor: id }, title, isRequired ? " *" : "");
  const input = made(schema, example);
  Object.assign(input, { id, name, required: isRequired });
  input.setAttribute("aria-describedby", `${hint} error-${name}`);
  const about = element("p", { id: hint, className: "hint" }, [range(schema), isRequired ? "" : word("trial.optional")].filter(Boolean).join(" · "));
  return element("div", { className: "field" }, label, input, about, element("p", { id: `error-${name}`, className: "error" }));
}

// The control for a type. The service says what is wrong with a value, so ranges are hints here.
function made({ type, enum: values, minimum, maximum, maxLength }, example) {
  if (values || type === "boolean") {
    const options = (values ?? ["true", "false"]).map((value) =>
      element("option", { value, selected: String(example) === value, defaultSelected: String(example) === value }, values ? readable(value) : word(value === "true" ? "yes" : "no")));
    return element("select", {}, element("option", { value: "" }, word("none")), ...options);
  }
  const input = element("input", { autocomplete: "off", defaultValue: example ?? "" });
  if (type === "string") return Object.assign(input, { type: "text", maxLength: maxLength ?? 256 });
  return Object.assign(input, { type: "number", step: type === "integer" ? "1" : "any", min: minimum ?? "", max: maximum ?? "", inputMode: "decimal" });
}

const range = ({ minimum, maximum }) =>
  (minimum === undefined || maximum === undefined ? "" : word("trial.range", { min: number(minimum), max: number(maximum) }));

// What is filled in, in the types that are declared.
function request(fields) {
  const filled = fields.map(({ name, schema }) => [name, value(control(name), schema)]).filter(([, value]) => value !== undefined);
  const person = control(PERSON.name).value;
  return { ...(person && { person_id: person }), application: Object.fromEntries(filled) };
}

function value({ value, validity }, { type }) {
  // What a browser cannot read as a number is sent as it cannot be right, and the service says so.
  if (validity.badInput) return "?";
  if (value === "") return undefined;
  if (type === "boolean") return value === "true";
  return type === "string" ? value : Number(value);
}

// Says at a field what is wrong with it, or that nothing is; the field, if there is one.
function mark(name, error) {
  const field = control(name);
  if (!field) return null;
  field.setAttribute("aria-invalid", String(Boolean(error)));
  document.getElementById(`error-${name}`).textContent = error ? wrong(error) : "";
  return field;
}

const wrong = ({ expected, suggestion }) =>
  [word("field.expected", { expected }), ...(suggestion ? [word("field.suggestion", { suggestion })] : [])].join(" · ");

function refused({ code, title, detail, errors, request_id: id }) {
  const list = (errors ?? []).map((error) => element("li", {}, element("code", {}, error.path), ` ${wrong(error)}`));
  return [
    element("p", { className: "verdict decline", role: "alert" }, word("problem.title", { code })),
    ...[title, detail].map((text) => prose("p", { text, lang: "en" })),
    ...(list.length > 0 ? [element("ul", {}, ...list)] : []),
    quiet(word("problem.request", { id })),
  ];
}

function scored(answer, trip, policy) {
  const { decision, probability_of_default: probability, mode, refer, timing_us: timing } = answer;
  const verdict = element("p", { className: `verdict ${decision}`, data: { decision } }, word(`verdict.${decision}`));
  const parts = probability === null
    ? [element("p", { lang: "en" }, refer ?? "")]
    : [element("p", { className: "figure" }, share(probability)), quiet(word("answer.probability")), ...gauge(probability, policy)];
  const about = [
    [word("answer.band"), answer.band ?? word("none")],
    [word("answer.confidence"), share(answer.confidence)],
    [word("answer.mode"), name("mode", mode)],
    [word("quality.reasons"), answer.degraded_reasons.join(", ") || word("none")],
    [word("answer.history"), word(answer.history.known ? "yes" : "no")],
    [word("answer.recorded"), word(answer.recorded ? "yes" : "no")],
  ];
  return [verdict, ...parts, terms(about), ...timed(timing, trip)];
}

// Where a probability stands between approval and decline.
function gauge(probability, { approve_below: approve, decline_from: decline }) {
  const mark = element("span", { className: "mark" });
  mark.style.insetInlineStart = `${probability * 100}%`;
  const track = element("div", { className: "gauge", ariaHidden: "true" }, mark);
  track.style.setProperty("--approve", `${approve * 100}%`);
  track.style.setProperty("--decline", `${decline * 100}%`);
  return [track, quiet(word("answer.zones", { approve: share(approve), decline: share(decline) }))];
}

function timed({ total, ...stages }, trip) {
  const most = Math.max(...Object.values(stages), 1);
  const rows = Object.entries(stages).map(([stage, took]) => [
    name("stage", stage), barred(took / most, seconds(took / 1e6)),
  ]);
  const caption = word("answer.timing", { total: seconds(total / 1e6), trip: seconds(trip) });
  return [table(caption, [[word("column.stage")], ["", true]], rows)];
}
