// Bundles of the meta-learner: what decides, what is on trial, what lies ready; and going back.

import { clock, digits, facts, h, n, table } from "./dom.js";
import { post } from "./stream.js";

export const NEEDS = ["bundles"];
let said = "";

function ask(path, question, actions) {
  if (!confirm(question)) return;
  post(path).then((error) => { said = error ?? "Done."; }, (error) => { said = error.message; }).finally(actions.changed);
}

/** The view. */
export function draw(state, actions) {
  const it = state.bundles;
  if (!it) return [h("p", { class: "empty" }, "Nothing is known of bundles yet.")];
  const button = (text, path, question, off) => h("button", { type: "button", disabled: off ? "" : null, onclick: () => ask(path, question, actions) }, text);
  const before = (it.bundles ?? []).find((bundle) => bundle.status === "previous");
  return [
    it.off ? h("p", { class: "bad" }, `Bundles are not used: ${it.off}`) : null,
    h("h2", {}, "Deciding now"),
    it.active ? facts([
      ["Bundle", it.active.id], ["Made", it.active.created], ["Candidates asked per decision", it.active.candidates],
      ["Head, µs by candidates", Object.entries(it.active.head_us_by_candidates ?? {}).sort(([a], [b]) => a - b).map(([size, us]) => `${size}: ${digits(us)}`).join(", ")],
      ["Descriptions without vector", it.active.descriptions_without_vector?.length ? it.active.descriptions_without_vector.join(", ") : null],
    ]) : h("p", { class: "bar" }, "No bundle: prior × calibration decides."),
    it.shadow ? [h("h2", {}, "In shadow"), facts([["Bundle", it.shadow.id], ...Object.entries(it.shadow.decisions).map(([name, count]) => [`Decisions ${name}`, String(count)])])] : null,
    h("h2", {}, "In the folder", it.pinned ? h("small", {}, ` pinned to ${it.pinned}`) : null),
    h("p", { class: "bar" },
      button("Roll back", "/bundles/rollback", `Go back to ${before?.id ?? "the bundle that decided before"}?`, it.off), " ",
      button("Follow the newest", "/bundles/newest", "Unpin, and let the newest bundle decide?", it.off), " ",
      h("span", { role: "status" }, said)),
    it.bundles?.length ? table(["bundle", "made", "stands", "why", ""], it.bundles.map((bundle) => ({ kind: bundle.status === "active" ? "chosen" : null, cells: [
      bundle.id, bundle.created, bundle.status, bundle.reason ?? "",
      bundle.status === "active" || bundle.status === "incomplete" ? "" : n(button("Activate", `/bundles/${encodeURIComponent(bundle.id)}/activate`, `Let ${bundle.id} decide?`, it.off)),
    ] }))) : h("p", { class: "bar" }, "Nothing lies there."),
    history(it.history ?? []),
  ];
}

/** Which decided from when to when; kept over restarts in the folder of bundles. */
function history(turns) {
  if (turns.length === 0) return null;
  const until = (index) => (index + 1 < turns.length ? clock(turns[index + 1].at * 1e3) : "now");
  const rows = turns.map((turn, index) => ({ cells: [clock(turn.at * 1e3), until(index), turn.bundle ?? (turn.started ? "Gearshift started: the prior" : "none: the prior"), turn.created ?? ""] }));
  return [h("h2", {}, "What decided", h("small", {}, " kept over restarts where the folder can be written")), table(["from", "to", "bundle", "made"], rows.reverse())];
}
