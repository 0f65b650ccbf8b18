// Small helpers: elements, numbers, colours.

/** An element with attributes and children; `on…` attributes are listeners, `null` and `false` children are left out. Text is text: it is
 * never read as markup. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else if (name === "vars") Object.entries(value).forEach(([key, it]) => node.style.setProperty(key, it));
    else if (value !== null && value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...present(children));
  return node;
}

/** Nested lists as one, without what is absent. */
export const present = (children) => [children].flat(Infinity).filter((child) => child !== null && child !== false && child !== undefined);

/** A table from its head, rows of cells, and how to open a row; `shown` is the key of the one that is open. */
export function table(head, rows, { open, caption, shown } = {}) {
  const cell = (value) => (value instanceof Node ? h("td", {}, value)
    : h("td", { class: value?.number ? "n" : null, title: value?.title ?? null }, value?.text ?? value ?? ""));
  return h("div", { class: "scroll" }, h("table", {},
    caption && h("caption", {}, caption),
    h("thead", {}, h("tr", {}, head.map((title) => h("th", { scope: "col", class: title.number ? "n" : null }, title.text ?? title)))),
    h("tbody", {}, rows.map((row) => h("tr", open ? {
      tabindex: 0, "data-key": row.key, "aria-current": row.key === shown ? "true" : null,
      onclick: () => open(row.key),
      onkeydown: (event) => { if (event.key === "Enter") open(row.key); },
    } : { class: row.kind ?? null }, row.cells.map(cell))))));
}

/** A right-aligned cell. */
export const n = (text) => ({ number: true, text });

/** The time of day of a number of milliseconds since 1970, with the date where it is another day's. */
export function clock(ms) {
  const [then, now] = [new Date(ms), new Date()];
  const time = then.toLocaleTimeString([], { hour12: false });
  return then.toDateString() === now.toDateString() ? time : `${then.toLocaleDateString()} ${time}`;
}

/** Seconds, in the unit people say. */
export function time(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 120) return `${digits(seconds)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Three digits that count. */
export function digits(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) < 0.01) return value.toExponential(1);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A share as per cent. */
export const percent = (share) => (Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : "–");

/** US dollars for a thousand of something that costs `usd` each. */
export const dollars = (usd) => (Number.isFinite(usd) ? `$${usd < 0.01 ? usd.toExponential(1) : usd.toFixed(3)}` : "–");

/** A colour of a CSS variable, for canvases. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Whether any of the texts contains all words of the filter. */
export function matches(filter, ...texts) {
  const text = texts.join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** Definitions: name and value by turns. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
