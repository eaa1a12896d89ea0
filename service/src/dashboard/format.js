// Numbers, times and elements as they stand on the page. What cannot be said of nothing (null) is a dash.

import { language, word } from "./words.js";

const formats = new Map();

const cached = (key, make) => {
  const under = `${language()} ${key}`;
  if (!formats.has(under)) formats.set(under, make());
  return formats.get(under);
};

const digits = (number, options) =>
  cached(JSON.stringify(options), () => new Intl.NumberFormat(language(), options)).format(number);

const isNothing = (number) => number === null || number === undefined || Number.isNaN(number);

const orDash = (show) => (number) => (isNothing(number) ? word("none") : show(number));

export const whole = orDash((number) => digits(number, { maximumFractionDigits: 0 }));

// Three digits that count, and all of a larger number.
export const number = orDash((number) =>
  digits(number, Math.abs(number) >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 }));

export const share = orDash((share) => {
  const most = share !== 0 && share !== 1 && (share < 0.1 || share > 0.99) ? 2 : 1;
  return digits(share, { style: "percent", maximumFractionDigits: most });
});

// 0.00042 -> 420 µs; two values beside each other may have different units.
export const seconds = orDash((seconds) => {
  const [factor, unit] = seconds < 0.001 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  return `${number(seconds * factor)} ${unit}`;
});

// How long something has lasted: the two largest units.
export const lasted = orDash((seconds) => {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => seconds >= length);
  if (first < 0) return "0 s";
  let rest = Math.round(seconds / (units[first + 1]?.[0] ?? 1)) * (units[first + 1]?.[0] ?? 1);
  return units.slice(first, first + 2).map(([length, unit]) => {
    const many = Math.floor(rest / length);
    rest -= many * length;
    return many > 0 ? `${whole(many)} ${unit}` : "";
  }).filter(Boolean).join(" ");
});

export const bytes = orDash((bytes) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  return `${number(bytes / 1024 ** power)} ${units[power]}`;
});

export const rate = orDash((rate) => `${number(rate)}${word("per_second")}`);

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

export const time = (instant) =>
  cached("time", () => new Intl.DateTimeFormat(language(), TIME)).format(instant instanceof Date ? instant : new Date(instant));

// <tag property=value...>children</tag>; `data` and `aria` become attributes.
export function element(tag, { data, aria, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [key, value] of Object.entries(data ?? {})) made.dataset[key] = value;
  for (const [key, value] of Object.entries(aria ?? {})) made.setAttribute(`aria-${key}`, value);
  made.append(...children);
  return made;
}

// A text that stands in a language of its own, with names in backticks.
export const prose = (tag, { text, lang }, className = "") =>
  element(tag, { lang, className }, ...text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part)));

// A table: columns as [title, isNumber], rows of texts or elements; the first of each is its header.
export function table(caption, columns, rows) {
  const head = columns.map(([title, isNumber]) => element("th", { scope: "col", className: isNumber ? "number" : "" }, title));
  const body = rows.map((row) => element("tr", {}, ...row.map((cell, at) => {
    const className = columns[at][1] ? "number" : "";
    return at === 0 ? element("th", { scope: "row", className }, cell) : element("td", { className }, cell);
  })));
  return element("table", {}, element("caption", {}, caption), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

// Terms and what they are.
export const terms = (pairs) =>
  element("dl", { className: "terms" }, ...pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));

// Has it said to who listens to the page: what changed, once.
export function announce(text) {
  document.getElementById("announcement").textContent = text;
}

// Makes an element hold children like these. Of what it has only that is touched which is not so already: what somebody reads, has
// scrolled, selected or given the focus stays theirs.
export function put(container, ...children) {
  liken(container, element("div", {}, ...children));
}

function liken(element, wanted) {
  const [held, nodes] = [[...element.childNodes], [...wanted.childNodes]];
  held.slice(nodes.length).forEach((node) => node.remove());
  nodes.forEach((node, at) => {
    const old = held[at];
    if (old === undefined) return element.append(node);
    if (old.nodeName !== node.nodeName) return old.replaceWith(node);
    if (node.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== node.data) old.data = node.data;
      return;
    }
    likenAttributes(old, node);
    liken(old, node);
  });
}

// Styles go another way: as an attribute the page's policy refuses them.
function likenAttributes(element, wanted) {
  for (const { name } of [...element.attributes]) if (!wanted.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of wanted.attributes) {
    if (name !== "style" && element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
  if (element.style.cssText !== wanted.style.cssText) element.style.cssText = wanted.style.cssText;
}

// A value beside a bar of a length from 0 to 1, which is for the eye alone.
export function barred(length, value, className = "") {
  const filled = element("span", {});
  filled.style.width = `${Math.min(Math.max(length, 0), 1) * 100}%`;
  const bar = element("span", { className: `bar ${className}`, ariaHidden: "true" }, filled);
  return element("span", { className: "barred" }, bar, element("span", { className: "value" }, value));
}
