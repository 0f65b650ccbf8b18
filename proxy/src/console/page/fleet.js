// The fleet: one cell for each backend, grouped by hardware and profile; its fill is its load.

import { digits, facts, h, matches, percent, time } from "./dom.js";

const BAD = new Set(["down", "hung"]);
const OUT = new Set(["asleep", "draining", "unknown", "probation", "shifting"]);

/** 0–1: how full an engine is, by its KV cache, or by what this router has there. */
export const fullness = (backend) => Math.min(1, Math.max(backend.load?.kv_usage ?? 0, (backend.in_flight?.requests ?? 0) / 64));

const standing = (backend) => (BAD.has(backend.availability) ? "bad" : OUT.has(backend.availability) ? "out" : "ready");

function groups(backends) {
  const found = new Map();
  for (const backend of backends) {
    const key = `${backend.hardware ?? "unknown hardware"} · ${backend.profile ?? "default"}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(backend);
  }
  return [...found.entries()].sort(([a], [b]) => a.localeCompare(b));
}

function cell(backend, actions) {
  const warn = backend.contradicted?.length > 0 || backend.mismatches?.length > 0;
  const label = `${backend.id}: ${backend.availability}, ${backend.in_flight?.requests ?? 0} in flight`;
  return h("button", {
    class: `cell ${standing(backend)}${warn ? " warn" : ""}`, type: "button", "data-key": backend.id,
    title: label, "aria-label": label, vars: { "--full": `${(fullness(backend) * 100).toFixed(0)}%` },
    onclick: () => actions.open(backend.id),
  }, h("i", {}, String(backend.in_flight?.requests ?? 0)), h("span", {}, backend.id));
}

/** The view. */
export function draw(state, actions) {
  const all = state.fleet.backends;
  const backends = all.filter((it) => matches(state.filter, it.id, it.model ?? "", it.hardware ?? "", it.profile ?? "", it.availability));
  const count = (kind) => all.filter((it) => standing(it) === kind).length;
  const tile = (name, value, kind) => h("div", { class: `tile ${kind ?? ""}` }, h("b", {}, value), h("span", {}, name));
  const dense = backends.length > 150;
  return [
    h("section", { class: "tiles" },
      tile("requests in flight", String(state.fleet.in_flight ?? 0)),
      tile("backends ready", `${count("ready")} / ${all.length}`),
      tile("down or hung", String(count("bad")), count("bad") ? "bad" : ""),
      tile("asleep, draining, shifting, on trial", String(count("out"))),
      tile("models", String(state.fleet.models?.length ?? 0))),
    all.length === 0 ? h("p", { class: "empty" }, "No backend yet. They are listed under `backends` in the configuration.") : null,
    ...groups(backends).map(([name, members]) => h("section", {},
      h("h2", {}, name, h("small", {}, ` ${members.length} · ${members.reduce((sum, it) => sum + (it.in_flight?.requests ?? 0), 0)} in flight`)),
      h("div", { class: dense ? "cells dense" : "cells" }, members.map((backend) => cell(backend, actions))))),
  ];
}

/** One backend. */
export function detail(state, id) {
  const it = state.fleet.backends.find((backend) => backend.id === id);
  if (!it) return h("p", {}, `${id} has left the fleet.`);
  const recent = state.decisions.filter((decision) => decision.backend === id);
  return [
    h("h2", {}, it.id),
    h("p", { class: standing(it) }, `${it.availability} for ${time(it.since_seconds)}`),
    facts([
      ["Model", it.model], ["Hardware", it.hardware], ["Profile", it.profile], ["URL", it.url],
      ["In flight here", `${it.in_flight?.requests} requests, ${it.in_flight?.prefill_tokens} prompt tokens, ${it.in_flight?.decoding} decoding`],
      ["Engine says", it.load && `${it.load.running} running, ${it.load.waiting} waiting, KV ${percent(it.load.kv_usage)}, ${time(it.load.age_seconds)} ago`],
      ["Prefix cache", it.prefix_cache && it.prefix_cache.queries > 0 ? `${percent(it.prefix_cache.hits / it.prefix_cache.queries)} of tokens found` : null],
      ["Measured ÷ prior", it.calibration && `TTFT ×${digits(it.calibration.ttft_factor)}, TPOT ×${digits(it.calibration.tpot_factor)}, from ${it.calibration.samples} answers`],
      ["Claims", it.contradicted?.length ? `contradicted by what was measured: ${it.contradicted.join(", ")}` : null],
      ["Last error", it.last_error && `${it.last_error.what}, ${time(it.last_error.age_seconds)} ago`],
      ["Not as configured", it.mismatches?.map((mismatch) => mismatch.message ?? JSON.stringify(mismatch)).join("; ")],
      ["Chosen lately", `${recent.length} of the last ${state.decisions.length} decisions`],
    ]),
  ];
}
