// What the traffic looks like, and which profiles engines were in.

import { digits, h, matches, n, percent, table, time } from "./dom.js";

/** The view. */
export function draw(state) {
  return [h("h2", {}, "Workload windows", h("small", {}, " decayed; lengths in tokens")), windows(state), ...profiles(state)];
}

function windows(state) {
  const found = Object.entries(state.workload?.models ?? {}).map(([model, it]) => ({ model, ...it })).filter((it) => matches(state.filter, it.model));
  if (found.length === 0) return h("p", { class: "empty" }, "No request yet.");
  const lengths = (q) => n(q ? `${digits(q.p50)} / ${digits(q.p90)} / ${digits(q.p99)}` : "–");
  return table(["model", n("requests/s"), n("burstiness"), n("concurrency"), n("prompt p50 / p90 / p99"), n("output p50 / p90 / p99"), n("prefix shared")],
    found.map((it) => ({ cells: [it.model, n(digits(it.rate_per_s)), n(digits(it.burstiness)), n(digits(it.concurrency)),
      lengths(it.prompt_tokens), lengths(it.output_tokens), n(percent(it.prefix_share))] })));
}

function profiles(state) {
  const controller = state.controller;
  if (!controller || controller.off) return [h("h2", {}, "Profiles"), h("p", { class: "empty" }, controller?.off ?? "No backend has `profiles` to be shifted into.")];
  return [
    h("h2", {}, "Profiles", h("small", {}, ` mode: ${controller.mode}${controller.paused ? ", paused" : ""}`)),
    under(controller.backends.filter((it) => it.switch)),
    timeline(controller.history ?? [], state.fleet.backends),
    advice(controller.plan?.advice ?? []),
  ];
}

function under(found) {
  return found.length === 0 ? null : table(["backend", "from", "to", "step", n("for"), "why"], found.map(({ backend, switch: it }) => ({
    cells: [backend, it.from, it.to, it.step + (it.rolling_back ? ", rolling back" : ""), n(time(it.seconds)), it.reason] })), { caption: "Switches under way" });
}

function advice(found) {
  if (found.length === 0) return h("p", { class: "empty" }, "No advice yet: too little traffic was seen.");
  return table(["backend", "profile", n("gain"), "verdict"],
    found.map((it) => ({ cells: [it.backend, it.profile, n(it.gain === null ? "–" : percent(it.gain)), verdict(it.verdict)] })), { caption: "What the controller thinks of every profile" });
}

/** A verdict's name, and its numbers. */
function verdict(it) {
  const { verdict: name, ...rest } = typeof it === "string" ? { verdict: it } : it;
  const numbers = Object.entries(rest).map(([key, value]) => `${key.replaceAll("_", " ")} ${typeof value === "number" ? digits(value) : value}`);
  return [name.replaceAll("_", " "), ...numbers].join(", ");
}

/** A lane for each engine that was ever shifted: which profile, when; shifts are marked. */
function timeline(history, backends) {
  if (history.length === 0) return h("p", { class: "bar" }, "No shift yet.");
  const now = Date.now() / 1e3;
  const start = Math.min(...history.map((it) => it.began));
  const across = Math.max(now - start, 60);
  const place = (from, to) => ({ left: `${((from - start) / across) * 100}%`, width: `${((to - from) / across) * 100}%` });
  const lanes = [...new Set(history.map((it) => it.backend))].map((backend) => {
    const shifts = history.filter((it) => it.backend === backend).sort((a, b) => a.began - b.began);
    const spans = [];
    let from = start;
    let profile = shifts[0].from;
    for (const it of shifts) {
      const ended = it.began + it.seconds;
      spans.push(["span", profile, from, it.began], [`span ${it.outcome === "done" ? "shift" : "failed"}`, `→ ${it.to}, ${it.outcome.replaceAll("_", " ")}, ${time(it.seconds)}`, it.began, ended]);
      from = ended;
      if (it.outcome === "done") profile = it.to;
    }
    spans.push(["span", backends.find((it) => it.id === backend)?.profile ?? profile, from, now]);
    return h("div", { class: "lane" }, h("span", {}, backend), h("div", { class: "track" }, spans.map(([kind, text, a, b]) => {
      const { left, width } = place(a, b);
      const node = h("div", { class: kind, title: text }, text);
      node.style.left = left;
      node.style.width = width;
      return node;
    })));
  });
  return h("div", { class: "lanes" }, lanes);
}
