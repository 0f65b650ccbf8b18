// Which engine was in which profile, and when.

import { clock, h, time } from "./dom.js";

/** Lanes drawn. */
const LANES = 60;

/** A lane for each engine that may be shifted; shifts are marked. Those that were shifted last come first. */
export function timeline(history, backends) {
  if (backends.length === 0) return null;
  const now = Date.now() / 1e3;
  const shifts = (name) => history.filter((it) => it.backend === name).sort((a, b) => a.began - b.began);
  const lanes = backends.map((it) => ({ ...it, shifts: shifts(it.backend) }))
    .sort((a, b) => (b.shifts.at(-1)?.began ?? 0) - (a.shifts.at(-1)?.began ?? 0) || a.backend.localeCompare(b.backend));
  const began = [...history.map((it) => it.began), ...backends.map((it) => now - (it.switch?.seconds ?? 0))];
  // A little of what was before the first shift; ten minutes at least.
  const start = Math.min(Math.min(...began) - (now - Math.min(...began)) * 0.08, now - 600);
  return h("figure", { class: "lanes" },
    h("figcaption", {}, h("small", {}, `Which profile each engine was in, since ${clock(start * 1e3)}${lanes.length > LANES ? `; ${LANES} of ${lanes.length} engines` : ""}`)),
    lanes.slice(0, LANES).map((lane) => h("div", { class: "lane", "data-lane": lane.backend }, h("span", { title: lane.backend }, lane.backend),
      h("div", { class: "track" }, spans(lane, start, now).map(([kind, text, from, to, title]) => span(kind, text, title ?? text, (from - start) / (now - start), (to - start) / (now - start)))))),
    h("div", { class: "lane axis" }, h("span"), h("div", {}, h("span", {}, clock(start * 1e3)), h("span", {}, clock((start + now) * 500)), h("span", {}, "now"))));
}

function spans({ profile, shifts, switch: under }, start, now) {
  const found = [];
  let from = start;
  let last = shifts[0]?.from ?? under?.from ?? profile;
  for (const it of shifts) {
    const ended = it.began + it.seconds;
    const said = `${it.from} → ${it.to}: ${it.outcome.replaceAll("_", " ")} in ${time(it.seconds)}${it.problem ? `; ${it.problem}` : ""}`;
    found.push(["span", last, from, it.began], [it.outcome === "done" ? "span shift" : "span failed", `→ ${it.to}`, it.began, ended, said]);
    from = ended;
    if (it.outcome === "done") last = it.to;
  }
  if (!under) return [...found, ["span", shifts.length ? last : profile, from, now]];
  const began = now - under.seconds;
  return [...found, ["span", last, from, began], ["span shift", `→ ${under.to}, ${under.step}`, began, now, `${under.from} → ${under.to}: ${under.step} for ${time(under.seconds)}`]];
}

function span(kind, text, title, from, to) {
  const [left, right] = [from, to].map((it) => Math.min(1, Math.max(0, it)) * 100);
  const node = h("div", { class: kind, title }, text);
  node.style.left = `${left}%`;
  node.style.width = `${Math.max(0, right - left)}%`;
  return node;
}
