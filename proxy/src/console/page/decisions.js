// Decisions as they are made, and why.

import { clock, digits, dollars, facts, h, matches, n, percent, present, table, time } from "./dom.js";
import { get } from "./stream.js";

export const NEEDS = ["decisions"];
const SHOWN = 200;
/** Explanations kept. */
const KEPT = 200;
/** Full explanations, by the decision's key: an object, or an error's text. */
const explained = new Map();

/** The view. */
export function draw(state, actions) {
  const found = state.decisions
    .filter((it) => matches(state.filter, it.backend, it.model, it.route, it.hardware ?? "", it.profile ?? "", it.fallback ?? "", it.id))
    .slice(0, SHOWN);
  const rows = found.map((it) => ({ key: it.key, cells: [
    clock(it.at_ms), it.route, it.model, it.backend, it.hardware ?? "", it.profile ?? "",
    n(it.prompt_tokens), n(it.cached_tokens || ""),
    n(`${time(it.predicted?.ttft_s)} → ${time(it.actual?.ttft_s)}`),
    n(`${time(it.predicted?.e2e_s)} → ${time(it.actual?.e2e_s)}`),
    reason(it),
  ] }));
  const waiting = state.waiting.length ? `; ${state.waiting.length} new ones wait` : "; new ones wait";
  return [
    h("p", { class: "bar" },
      h("button", { type: "button", id: "hold", onclick: actions.hold, "aria-pressed": String(state.held) }, state.held ? "Run ( p )" : "Hold ( p )"),
      ` ${found.length} of ${state.decisions.length} shown${state.held ? waiting : ""}`),
    state.decisions.length === 0 ? h("p", { class: "empty" }, "No decision yet; they appear as requests end.")
      : found.length === 0 ? h("p", { class: "empty" }, `No decision has ${state.filter} in it.`)
        : table(["at", "route", "model", "backend", "hardware", "profile", n("prompt"), n("cached"), n("TTFT predicted → was"), n("E2E predicted → was"), "why"], rows, { open: actions.open, shown: state.open }),
  ];
}

/** Less probable choices were drawn; the rest is what exploration leaves. */
const SURE = 0.9;
const FALLBACKS = { none: null, no_bundle: "no bundle", low_confidence: "learner unsure" };

/** In a few words, why it went there. */
function reason(it) {
  if (it.outcome && it.outcome !== "ok") return it.outcome.replaceAll("_", " ");
  if (it.attempt > 1) return `attempt ${it.attempt}`;
  if (it.explored) return "explored";
  // Among near-ties the warmest cache, then the less loaded of two drawn.
  const rank = it.propensity < SURE || it.candidates?.findIndex((one) => one.chosen) > 0 ? "near the best" : "best";
  if (it.fallback && it.fallback !== "none") return `${rank}, by the prior (${FALLBACKS[it.fallback] ?? it.fallback.replaceAll("_", " ")})`;
  return Number.isFinite(it.confidence) ? `${rank}, confidence ${percent(it.confidence)}` : rank;
}

/** Fetches every number of a decision. */
export function opened(state, key, changed) {
  if (explained.has(key)) return;
  const it = state.decisions.find((decision) => decision.key === key);
  if (!it) return;
  if (explained.size >= KEPT) explained.delete(explained.keys().next().value);
  // One id may have several attempts, and several requests where clients name theirs alike.
  get(`/decisions/${encodeURIComponent(it.id)}?attempt=${it.attempt}&at_ms=${it.at_ms}`)
    .then((it) => explained.set(key, it), (error) => explained.set(key, error.message))
    .finally(changed);
}

/** One decision. */
export function detail(state, key) {
  const it = state.decisions.find((decision) => decision.key === key);
  const more = explained.get(key);
  if (!it && typeof more !== "object") return h("p", {}, "This decision is no longer kept.");
  const decision = typeof more === "object" ? more : it;
  const sure = Number.isFinite(decision.confidence) ? `${percent(decision.confidence)}` : null;
  return [
    h("h2", {}, decision.backend),
    h("p", { class: "mono" }, decision.id),
    facts([
      ["Why", reason(decision)], ["Attempt", decision.attempt > 1 || decision.outcome !== "ok" ? decision.attempt : null], ["Objective", decision.objective], ["Route", decision.route], ["Candidates", decision.considered],
      ["Bundle", decision.bundle], ["Confidence", sure],
      ["Chance of this choice", Number.isFinite(decision.propensity) ? percent(decision.propensity) : null],
      ["Prompt tokens", `${decision.prompt_tokens}, ${decision.cached_tokens} predicted in the cache`],
      ["Output tokens", `${digits(decision.expected_output_tokens)} expected, ${decision.actual?.output_tokens ?? "–"} came`],
      ["TTFT", `${time(decision.predicted?.ttft_s)} predicted, ${time(decision.actual?.ttft_s)} measured`],
      ["TPOT", `${time(decision.predicted?.tpot_s)} predicted, ${time(decision.actual?.tpot_s)} measured`],
      ["E2E", `${time(decision.predicted?.e2e_s)} predicted, ${time(decision.actual?.e2e_s)} measured`],
      ["Cost (estimated)", decision.predicted?.cost_usd && dollars(decision.predicted.cost_usd)],
      ["Energy (estimated)", decision.predicted?.energy_j && `${digits(decision.predicted.energy_j)} J`],
    ]),
    typeof more === "string" ? h("p", { class: "bad" }, more) : null,
    more?.candidates ? candidates(more) : null,
  ];
}

/** What a candidate's numbers are made from, a line each. */
function made({ prior, learned, load, recent_failures: failures, cost_usd: cost, energy_j: energy }) {
  return present([
    prior && `prior: TTFT ${time(prior.ttft_s)}, TPOT ${time(prior.tpot_s)}`,
    learned && `learner: TTFT × ${digits(learned.ttft_factor)}, TPOT × ${digits(learned.tpot_factor)}, confidence ${percent(learned.confidence)}`,
    load && `load ${time(load.age_s)} old: ${digits(load.decoding)} decoding, ${digits(load.prefill_tokens)} prompt tokens to come`,
    failures > 0 && `recent failures: ${digits(failures)}`,
    Number.isFinite(cost) && `cost (estimated): ${dollars(cost)}`,
    Number.isFinite(energy) && `energy (estimated): ${digits(energy)} J`,
  ]).join("\n");
}

function candidates(decision) {
  const rows = decision.candidates.map((it, index) => ({ kind: it.chosen ? "chosen" : null, cells: [
    n(index + 1),
    h("span", { class: "stack", title: made(it) }, it.chosen ? `▸ ${it.backend}` : it.backend ?? "–", h("small", {}, [it.hardware, it.profile].filter(Boolean).join(" · "))),
    n(digits(it.score)), n(time(it.predicted?.ttft_s)), n(time(it.predicted?.tpot_s)),
    n(time(it.predicted?.e2e_s)), n(time(it.priced_s)), n(it.cached_tokens), n(digits(it.sequences_in_flight)),
    it.meets_slo ? "kept" : "missed",
  ] }));
  return table([n("#"), "candidate", n("score"), n("TTFT"), n("TPOT"), n("E2E"), n("delays"), n("cached"), n("in flight"), "limits"], rows,
    { caption: `The candidates, best first, by the objective ${decision.objective}: the lower the score the better` });
}
