// Shows /openapi.json: operations with a form to try them, then schemas. No library, no network but this service.
"use strict";

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const details = (summary, ...children) =>
  element("details", {}, element("summary", {}, ...[summary].flat()), ...children);

const json = (value) => element("pre", { textContent: JSON.stringify(value, null, 2) });

function trial(method, path, example) {
  const body = example === undefined ? null : element("textarea", { value: JSON.stringify(example, null, 2) });
  const address = element("input", { value: path, size: 60 });
  const output = element("pre", { hidden: true });
  const send = async () => {
    const options = { method: method.toUpperCase() };
    if (body) Object.assign(options, { body: body.value, headers: { "Content-Type": "application/json" } });
    const answer = await fetch(address.value, options);
    const text = await answer.text();
    output.hidden = false;
    try {
      output.textContent = `${answer.status}\n${JSON.stringify(JSON.parse(text), null, 2)}`;
    } catch {
      output.textContent = `${answer.status}\n${text}`;
    }
  };
  const button = element("button", { textContent: "Send", onclick: send });
  return element("div", {}, element("p", {}, address, " ", button), ...(body ? [body] : []), output);
}

function operation(path, method, description) {
  const content = description.requestBody?.content?.["application/json"];
  const summary = [
    element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
    element("code", { textContent: path }),
    ` ${description.summary}`,
  ];
  const parts = [];
  if (description.description) parts.push(element("p", { textContent: description.description }));
  parts.push(trial(method, path, content?.example));
  parts.push(details("Definition", json(description)));
  return details(summary, ...parts);
}

async function show() {
  const openapi = await (await fetch("openapi.json")).json();
  document.getElementById("title").textContent = `${openapi.info.title} ${openapi.info.version}`;
  document.getElementById("description").textContent = openapi.info.description;
  const operations = Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, description]) => operation(path, method, description)));
  document.getElementById("operations").append(...operations);
  const schemas = Object.entries(openapi.components.schemas).map(([name, schema]) =>
    details(element("code", { textContent: name }), json(schema)));
  document.getElementById("schemas").append(...schemas);
}

show();
