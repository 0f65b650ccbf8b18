// Bundles of the meta-learner: what decides, what is on trial, what lies ready; and going back.

import { digits, facts, h, n, table } from "./dom.js";
import { post } from "./stream.js";

let said = "";

function ask(path, question, actions) {
  if (!confirm(question)) return;
  post(path).then((error) => { said = error ?? "Done."; }, (error) => { said = error.message; }).finally(actions.changed);
}

/** The view. */
export function draw(state, actions) {
  const it = state.bundles;
  if (!it) return h("p", { class: "empty" }, "Nothing is known of bundles yet.");
  const button = (text, path, question) => h("button", { type: "button", onclick: () => ask(path, question, actions) }, text);
  return [
    it.off ? h("p", { class: "bad" }, `Bundles are not used: ${it.off}`) : null,
    h("h2", {}, "Deciding now"),
    it.active ? facts([
      ["Bundle", it.active.id], ["Made", it.active.created], ["Candidates asked per decision", it.active.candidates],
      ["Head, µs by candidates", Object.entries(it.active.head_us_by_candidates ?? {}).map(([size, us]) => `${size}: ${digits(us)}`).join(", ")],
      ["Descriptions without vector", it.active.descriptions_without_vector?.length ? it.active.descriptions_without_vector.join(", ") : null],
    ]) : h("p", { class: "bar" }, "No bundle: prior × calibration decides."),
    it.shadow ? [h("h2", {}, "In shadow"), facts([["Bundle", it.shadow.id], ["Decisions", JSON.stringify(it.shadow.decisions)]])] : null,
    h("h2", {}, "In the folder", it.pinned ? h("small", {}, ` pinned to ${it.pinned}`) : null),
    h("p", { class: "bar" },
      button("Roll back", "/bundles/rollback", "Go back to the bundle that decided before?"), " ",
      button("Follow the newest", "/bundles/newest", "Unpin, and let the newest bundle decide?"), " ", said),
    table(["bundle", "made", "stands", "why", ""], (it.bundles ?? []).map((bundle) => ({ cells: [
      bundle.id, bundle.created, bundle.status, bundle.reason ?? "",
      bundle.status === "active" || bundle.status === "incomplete" ? "" : n(button("Activate", `/bundles/${encodeURIComponent(bundle.id)}/activate`, `Let ${bundle.id} decide?`)),
    ] }))),
  ];
}
