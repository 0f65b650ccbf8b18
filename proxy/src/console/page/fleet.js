// The fleet: one cell for each backend, grouped by hardware and profile; its fill is its load.

import { digits, facts, h, matches, percent, time } from "./dom.js";

export const NEEDS = ["fleet"];
const BAD = new Set(["down", "hung"]);
const OUT = new Set(["asleep", "draining", "unknown", "probation", "shifting"]);
/** More cells than these are drawn small. */
const MANY = 150;

/** 0–1: how full an engine is, by its KV cache; what is down holds nothing. */
const fullness = (backend) => (standing(backend) === "bad" ? 0 : Math.min(1, backend.load?.kv_usage ?? 0));

const standing = (backend) => (BAD.has(backend.availability) ? "bad" : OUT.has(backend.availability) ? "out" : "ready");
const doubted = (backend) => backend.contradicted?.length > 0 || backend.mismatches?.length > 0;

function groups(backends) {
  const found = new Map();
  for (const backend of backends) {
    const key = `${backend.hardware ?? "unknown hardware"} · ${backend.profile ?? "default"}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(backend);
  }
  return [...found.entries()].sort(([a], [b]) => a.localeCompare(b));
}

function cell(backend, dense, open) {
  const kind = standing(backend);
  const requests = backend.in_flight?.requests ?? 0;
  const kv = backend.load ? `KV ${percent(backend.load.kv_usage)}` : "not scraped";
  return h("button", {
    class: `cell ${kind}${doubted(backend) ? " warn" : ""}`, type: "button", "data-key": backend.id,
    title: `${backend.id}: ${backend.availability}, ${requests} in flight, ${kv}, ${backend.model}`,
    "aria-label": `${backend.id}: ${backend.availability}, ${requests} in flight`,
    vars: { "--full": `${(fullness(backend) * 100).toFixed(0)}%` },
    onclick: () => open(backend.id),
  }, dense ? null : [
    h("b", {}, backend.id), h("i", {}, String(requests)),
    h("span", {}, backend.model), h("small", {}, kind === "ready" ? kv : backend.availability),
  ]);
}

const LEGEND = [["ready", "ready"], ["out", "asleep, draining, shifting, on trial"], ["bad", "down or hung"]];

function legend() {
  return h("p", { class: "bar legend" }, LEGEND.map(([kind, text]) => h("span", {}, h("i", { class: `key ${kind}` }), text)),
    h("span", {}, h("i", { class: "key fill" }), "KV cache in use"), h("span", {}, h("b", { class: "doubt" }, "!"), "not what it was said to be"));
}

/** The view. */
export function draw(state, actions) {
  if (!state.fleet) return [h("p", { class: "empty" }, "Not connected yet.")];
  const all = state.fleet.backends;
  const backends = all.filter((it) => matches(state.filter, it.id, it.model ?? "", it.hardware ?? "", it.profile ?? "", it.availability));
  const count = (kind) => all.filter((it) => standing(it) === kind).length;
  const tile = (name, value, kind) => h("div", { class: `tile ${kind ?? ""}` }, h("b", {}, value), h("span", {}, name));
  const dense = backends.length > MANY;
  const models = state.fleet.models?.length ?? 0;
  return [
    h("section", { class: "tiles" },
      tile("requests in flight", String(state.fleet.in_flight ?? 0)),
      tile("backends ready", `${count("ready")} / ${all.length}`),
      tile("down or hung", String(count("bad")), count("bad") ? "bad" : ""),
      tile("asleep, draining, shifting, on trial", String(count("out"))),
      tile(models === 1 ? "model" : "models", String(models))),
    legend(),
    all.length === 0 ? h("p", { class: "empty" }, "No backend yet. They are listed under `backends` in the configuration.")
      : backends.length === 0 ? h("p", { class: "empty" }, `No backend has ${state.filter} in its name, model, hardware, profile or state.`) : null,
    h("div", { class: dense ? "groups dense" : "groups" }, groups(backends).map(([name, members]) => h("section", { "data-group": name, vars: { "--members": String(members.length) } },
      h("h2", {}, name, h("small", {}, ` ${members.length} · ${members.reduce((sum, it) => sum + (it.in_flight?.requests ?? 0), 0)} in flight`)),
      h("div", { class: dense ? "cells dense" : "cells" }, members.map((backend) => cell(backend, dense, actions.open)))))),
  ];
}

/** One backend. */
export function detail(state, id) {
  const it = state.fleet?.backends.find((backend) => backend.id === id);
  if (!it) return h("p", {}, `${id} has left the fleet.`);
  const recent = state.decisions.filter((decision) => decision.backend === id);
  const chosen = recent.length === 0 ? null : `${recent.length} of the last ${state.decisions.length} decisions`;
  const calibrated = it.calibration?.samples > 0;
  return [
    h("h2", {}, it.id),
    h("p", { class: standing(it) }, `${it.availability} for ${time(it.since_seconds)}`),
    facts([
      ["Model", it.model], ["Hardware", it.hardware], ["Profile", it.profile], ["URL", it.url],
      ["In flight here", `${it.in_flight?.requests} requests, ${it.in_flight?.prefill_tokens} prompt tokens, ${it.in_flight?.decoding} decoding`],
      ["Engine says", it.load && `${it.load.running} running, ${it.load.waiting} waiting, KV ${percent(it.load.kv_usage)}, ${time(it.load.age_seconds)} ago`],
      ["Prefix cache", it.prefix_cache && it.prefix_cache.queries > 0 ? `${percent(it.prefix_cache.hits / it.prefix_cache.queries)} of tokens found` : null],
      ["Measured ÷ prior", calibrated ? `TTFT ×${digits(it.calibration.ttft_factor)}, TPOT ×${digits(it.calibration.tpot_factor)}, from ${it.calibration.samples} answers` : "no answer yet"],
      ["Drift", calibrated ? `TTFT ×${digits(it.calibration.ttft_drift)}, TPOT ×${digits(it.calibration.tpot_drift)} of what is usual here` : null],
      ["Claims", it.contradicted?.length ? `contradicted by what was measured: ${it.contradicted.join(", ")}` : null],
      ["Not as configured", it.mismatches?.map((mismatch) => `${mismatch.what}: ${mismatch.declared} is configured, the engine says ${mismatch.detected}`).join("; ")],
      ["Checks failed in a row", it.failed_checks || null],
      ["Last error", it.last_error && `${it.last_error.what}, ${time(it.last_error.age_seconds)} ago`],
      ["Chosen lately", chosen],
    ]),
  ];
}
