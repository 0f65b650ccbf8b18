// Decisions as they are made, and why.

import { digits, dollars, facts, h, matches, n, percent, table, time } from "./dom.js";
import { get } from "./stream.js";

const SHOWN = 200;
/** Full explanations, by request id: an object, or an error's text. */
const explained = new Map();

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

/** The view. */
export function draw(state, actions) {
  const found = state.decisions
    .filter((it) => matches(state.filter, it.backend, it.model, it.route, it.hardware ?? "", it.profile ?? "", it.fallback ?? "", it.id))
    .slice(0, SHOWN);
  const rows = found.map((it) => ({ key: it.id, cells: [
    clock(it.at_ms), it.route, it.model, it.backend, it.hardware ?? "", it.profile ?? "",
    n(`${it.prompt_tokens}${it.cached_tokens ? ` (${it.cached_tokens} cached)` : ""}`),
    n(`${time(it.predicted?.ttft_s)} → ${time(it.actual?.ttft_s)}`),
    n(`${time(it.predicted?.e2e_s)} → ${time(it.actual?.e2e_s)}`),
    reason(it),
  ] }));
  return [
    h("p", { class: "bar" },
      h("button", { type: "button", onclick: actions.hold, "aria-pressed": String(state.held) }, state.held ? "Run ( p )" : "Hold ( p )"),
      ` ${found.length} of ${state.decisions.length} shown${state.held ? "; new ones are not taken in" : ""}`),
    found.length === 0 ? h("p", { class: "empty" }, "No decision yet; they appear as requests are answered.")
      : table(["at", "route", "model", "backend", "hardware", "profile", n("prompt tokens"), n("TTFT predicted → was"), n("E2E predicted → was"), "why"], rows, { open: actions.open }),
  ];
}

/** In a few words, why it went there. */
function reason(it) {
  if (it.explored) return "explored";
  if (it.outcome && it.outcome !== "ok") return it.outcome.replace("_", " ");
  if (it.fallback) return `best, by the prior (${it.fallback.replaceAll("_", " ")})`;
  return Number.isFinite(it.confidence) ? `best, confidence ${percent(it.confidence)}` : "best";
}

/** Fetches every number of a decision. */
export function opened(state, id, changed) {
  if (explained.has(id)) return;
  get(`/decisions/${encodeURIComponent(id)}`)
    .then((it) => explained.set(id, it), (error) => explained.set(id, error.message))
    .finally(changed);
}

/** One decision. */
export function detail(state, id) {
  const it = state.decisions.find((decision) => decision.id === id);
  const more = explained.get(id);
  if (!it && typeof more !== "object") return h("p", {}, "This decision is no longer kept.");
  const decision = typeof more === "object" ? more : it;
  return [
    h("h2", {}, decision.backend),
    h("p", { class: "mono" }, decision.id),
    facts([
      ["Why", reason(decision)], ["Objective", decision.objective], ["Candidates", decision.considered],
      ["Chance of this choice", Number.isFinite(decision.propensity) ? percent(decision.propensity) : null],
      ["Prompt tokens", `${decision.prompt_tokens}, ${decision.cached_tokens} predicted in the cache`],
      ["Output tokens", `${decision.expected_output_tokens} expected, ${decision.actual?.output_tokens ?? "–"} came`],
      ["TTFT", `${time(decision.predicted?.ttft_s)} predicted, ${time(decision.actual?.ttft_s)} measured`],
      ["TPOT", `${time(decision.predicted?.tpot_s)} predicted, ${time(decision.actual?.tpot_s)} measured`],
      ["E2E", `${time(decision.predicted?.e2e_s)} predicted, ${time(decision.actual?.e2e_s)} measured`],
      ["Cost", decision.predicted?.cost_usd && dollars(decision.predicted.cost_usd)],
      ["Energy (modelled)", decision.predicted?.energy_j && `${digits(decision.predicted.energy_j)} J`],
    ]),
    typeof more === "string" ? h("p", { class: "bad" }, more) : null,
    more?.candidates && candidates(more),
  ];
}

function candidates(decision) {
  const rows = decision.candidates.map((it) => ({ key: it.backend, cells: [
    it.backend === decision.backend ? `▸ ${it.backend}` : it.backend, n(digits(it.score)), n(time(it.predicted?.ttft_s)), n(time(it.predicted?.tpot_s)),
    n(time(it.predicted?.e2e_s)), n(it.cached_tokens), n(digits(it.sequences_in_flight)),
    it.meets_slo ? "" : "misses",
  ] }));
  return table(["candidate", n("score"), n("TTFT"), n("TPOT"), n("E2E"), n("cached"), n("in flight"), "limits"], rows, { caption: "The candidates, best first" });
}
