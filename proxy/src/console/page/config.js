// The configuration that serves, and what the last reload changed.

import { clock, h, matches } from "./dom.js";

export const NEEDS = ["config"];
/** Lines of one section that are shown: a fleet may have thousands of backends. */
const MOST = 4000;
/** Sections that are open. */
const open = new Set();

const kind = (line) => (line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same");

/** The view. */
export function draw(state, actions) {
  const it = state.config;
  if (!it) return [h("p", { class: "empty" }, "Nothing is known of the configuration yet.")];
  const diff = it.last_change ?? [];
  const when = it.last_change_at ? ` at ${clock(it.last_change_at * 1e3)}` : "";
  return [
    it.last_reload_error ? [h("h2", { class: "bad" }, "The file on disk was refused; what served before still serves"), h("pre", {}, it.last_reload_error)] : null,
    h("h2", {}, "What the last reload changed", h("small", {}, when)),
    diff.length ? h("pre", { id: "diff" }, diff.slice(0, MOST).map((line) => h("span", { class: kind(line) }, `${line}\n`))) : h("p", { class: "bar" }, "Nothing was changed since the start."),
    h("h2", {}, "As it serves", h("small", {}, " secrets are left out; the filter finds lines")),
    ...Object.entries(it.config ?? {}).map(([name, value]) => section(name, value, state.filter, actions)),
  ];
}

/** One section; its text is written only where it is open. */
function section(name, value, filter, actions) {
  const shown = open.has(name) || filter !== "";
  const count = Array.isArray(value) ? h("small", {}, ` ${value.length}`) : null;
  const toggle = (event) => {
    // Opened by what is drawn, not by the browser: the text comes with it.
    event.preventDefault();
    if (!open.delete(name)) open.add(name);
    actions.changed();
  };
  return h("details", { open: shown ? "" : null }, h("summary", { onclick: toggle }, name, count), shown ? h("pre", {}, lines(value, filter)) : null);
}

function lines(value, filter) {
  const all = JSON.stringify(value, null, 2).split("\n").filter((line) => filter === "" || matches(filter, line));
  return all.length > MOST ? [...all.slice(0, MOST), `… ${all.length - MOST} more lines: filter`].join("\n") : all.join("\n");
}
