// What the traffic looks like, and which profiles engines were in.

import { digits, h, matches, n, percent, table, time } from "./dom.js";
import { timeline } from "./timeline.js";

export const NEEDS = ["workload", "controller", "fleet"];

/** The view. */
export function draw(state) {
  const halved = state.workload ? `, halved every ${time(state.workload.half_life_s)}` : "";
  return [h("h2", {}, "Workload windows", h("small", {}, ` what comes now: older requests count less${halved}; lengths in tokens`)), windows(state), ...profiles(state)];
}

function windows(state) {
  const found = Object.entries(state.workload?.models ?? {}).filter(([model]) => matches(state.filter, model));
  if (found.length === 0) return h("p", { class: "bar" }, "No request yet.");
  const lengths = (q) => n(q ? [q.p50, q.p90, q.p99].map(whole).join(" / ") : "–");
  const row = (name, it, kind) => ({ kind, cells: [name, n(digits(it.rate_per_s)), n(digits(it.burstiness)), n(digits(it.concurrency)),
    lengths(it.prompt_tokens), lengths(it.output_tokens), n(percent(it.prefix_share))] });
  const rows = found.flatMap(([model, it]) => [row(model, it), ...Object.entries(it.routes ?? {}).map(([route, window]) => row(`route ${route}`, window, "below"))]);
  return table(["model", n("requests/s"), n("burstiness"), n("concurrency"), n("prompt p50 / p90 / p99"), n("output p50 / p90 / p99"), n("prefix shared")], rows);
}

const whole = (value) => (Number.isFinite(value) ? String(Math.round(value)) : "–");

function profiles(state) {
  const controller = state.controller;
  if (!controller || controller.off) return [h("h2", {}, "Profiles"), h("p", { class: "bar" }, controller?.off ?? "No backend has `profiles` to be shifted into.")];
  const backends = controller.backends.filter((it) => matches(state.filter, it.backend, it.profile));
  const names = new Set(backends.map((it) => it.backend));
  return [
    h("h2", {}, "Profiles", h("small", {}, ` ${controller.mode === "act" ? "the controller shifts engines" : "the controller only advises"}${controller.paused ? "; paused" : ""}`)),
    backends.length === 0 ? h("p", { class: "bar" }, "No backend has `profiles` to be shifted into.") : null,
    under(backends.filter((it) => it.switch)),
    timeline(controller.history?.filter((it) => names.has(it.backend)) ?? [], backends),
    advice(controller.plan?.advice?.filter((it) => names.has(it.backend)) ?? []),
  ];
}

function under(found) {
  return found.length === 0 ? null : table(["backend", "from", "to", "step", n("for"), "why"], found.map(({ backend, switch: it }) => ({
    cells: [backend, it.from, it.to, it.step + (it.rolling_back ? ", rolling back" : ""), n(time(it.seconds)), it.reason] })), { caption: "Switches under way" });
}

function advice(found) {
  if (found.length === 0) return h("p", { class: "bar" }, "No advice yet: too little traffic was seen.");
  return table(["backend", "profile", n("gain"), "verdict"],
    found.map((it) => ({ kind: it.verdict?.verdict === "running" ? "chosen" : null, cells: [it.backend, it.profile, n(it.gain === null ? "–" : percent(it.gain)), verdict(it.verdict)] })), { caption: "What the controller thinks of every profile" });
}

/** A verdict's name, and its numbers. */
function verdict(it) {
  const { verdict: name, ...rest } = typeof it === "string" ? { verdict: it } : it;
  const numbers = Object.entries(rest).map(([key, value]) => `${key.replace(/_s$/, "").replaceAll("_", " ")} ${typeof value === "number" && key.endsWith("_s") ? time(value) : value}`);
  return [name.replaceAll("_", " "), ...numbers].join(", ");
}
