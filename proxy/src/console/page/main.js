// The console: one state, filled by the stream; views draw it when it changes and they are shown.

import { h, present } from "./dom.js";
import { follow, keepToken } from "./stream.js";
import * as fleet from "./fleet.js";
import * as decisions from "./decisions.js";
import * as accuracy from "./accuracy.js";
import * as traffic from "./traffic.js";
import * as bundles from "./bundles.js";
import * as config from "./config.js";

const VIEWS = [
  ["fleet", "Fleet", fleet],
  ["decisions", "Decisions", decisions],
  ["accuracy", "Accuracy", accuracy],
  ["traffic", "Traffic & profiles", traffic],
  ["bundles", "Bundles", bundles],
  ["config", "Configuration", config],
];
/** Decisions kept by the page. */
const KEPT = 2000;

const state = {
  fleet: { backends: [], models: [] },
  decisions: [],
  workload: null,
  controller: null,
  bundles: null,
  config: null,
  held: false,
  filter: "",
  open: null,
};
const $ = (id) => document.getElementById(id);
let shown = VIEWS[0];
let drawing = false;

/** Draws at most once a frame, however fast events come. */
function changed() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  const view = $("view");
  const key = document.activeElement?.dataset?.key;
  const scrolled = view.scrollTop;
  view.replaceChildren(...present(shown[2].draw(state, actions)));
  view.scrollTop = scrolled;
  if (key) view.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  if (!$("detail").hidden) detail();
  shown[2].drawn?.(view, state, actions);
}

function detail() {
  const aside = $("detail");
  const content = state.open && shown[2].detail?.(state, state.open, actions);
  aside.hidden = !content;
  aside.replaceChildren(...present(content ? [close(), content] : []));
}

const close = () => h("button", { class: "close", "aria-label": "Close", onclick: () => actions.open(null) }, "✕");

const actions = {
  open(key) {
    state.open = key;
    $("detail").hidden = !key;
    if (key) shown[2].opened?.(state, key, changed);
    changed();
  },
  hold() {
    state.held = !state.held;
    changed();
  },
  changed,
};

function show(name) {
  shown = VIEWS.find(([id]) => id === name) ?? VIEWS[0];
  state.open = null;
  $("detail").hidden = true;
  for (const tab of $("tabs").children) tab.setAttribute("aria-selected", String(tab.dataset.view === shown[0]));
  if (location.hash.slice(1) !== shown[0]) history.replaceState(null, "", `#${shown[0]}`);
  $("view").scrollTop = 0;
  changed();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("gearshift-theme", name);
  changed();
}

const isDark = () => (document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";
const flip = () => theme(isDark() ? "light" : "dark");

function step(by) {
  const rows = [...$("view").querySelectorAll("[data-key]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}

const KEYS = {
  "/": (event) => { event.preventDefault(); $("filter").focus(); },
  "?": () => $("keys").showModal(),
  t: flip,
  p: actions.hold,
  j: () => step(1),
  k: () => step(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    if (document.activeElement === $("filter")) $("filter").blur();
    else actions.open(null);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, dialog *")) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view) show(view[0]);
  else KEYS[event.key]?.(event);
});

function remember(decision) {
  if (state.held) return;
  state.decisions.unshift(decision);
  if (state.decisions.length > KEPT) state.decisions.length = KEPT;
  changed();
}

const set = (name) => (value) => {
  state[name] = value;
  changed();
};

function askToken() {
  return new Promise((given) => {
    const dialog = $("login");
    dialog.addEventListener("close", () => {
      keepToken($("token").value);
      given();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

$("tabs").append(...VIEWS.map(([id, title], index) => h("button", {
  type: "button", role: "tab", "data-view": id, title: `${title} ( ${index + 1} )`, onclick: () => show(id),
}, title)));
$("filter").addEventListener("input", (event) => {
  state.filter = event.target.value;
  changed();
});
$("theme").addEventListener("click", flip);
$("help").addEventListener("click", () => $("keys").showModal());
addEventListener("hashchange", () => show(location.hash.slice(1)));
addEventListener("resize", changed);
const kept = localStorage.getItem("gearshift-theme");
if (kept) document.documentElement.dataset.theme = kept;
show(location.hash.slice(1));
follow({
  fleet: set("fleet"),
  decision: remember,
  workload: set("workload"),
  controller: set("controller"),
  bundles: set("bundles"),
  config: set("config"),
}, (text) => {
  $("status").textContent = text;
  $("status").className = text === "live" ? "ok" : "bad";
}, askToken);
