// The configuration that serves, and what the last reload changed.

import { h } from "./dom.js";

const kind = (line) => (line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "same");

/** The view. */
export function draw(state) {
  const it = state.config;
  if (!it) return h("p", { class: "empty" }, "Nothing is known of the configuration yet.");
  const diff = it.last_change ?? [];
  return [
    it.last_reload_error ? [h("h2", { class: "bad" }, "The file on disk was refused; what served before still serves"), h("pre", {}, it.last_reload_error)] : null,
    h("h2", {}, "What the last reload changed"),
    diff.length ? h("pre", {}, diff.map((line) => h("span", { class: kind(line) }, `${line}\n`))) : h("p", { class: "bar" }, "Nothing was reloaded since the start."),
    h("h2", {}, "As it serves", h("small", {}, " secrets are left out")),
    h("pre", {}, JSON.stringify(it.config, null, 2)),
  ];
}
