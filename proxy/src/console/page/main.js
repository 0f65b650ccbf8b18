// The console: one state, filled by the stream; the view that is shown is drawn when something it shows has changed.

import { h, present } from "./dom.js";
import { patch } from "./patch.js";
import { follow, keepToken } from "./stream.js";
import { onKeys } from "./keys.js";
import * as fleet from "./fleet.js";
import * as decisions from "./decisions.js";
import * as accuracy from "./accuracy.js";
import * as traffic from "./traffic.js";
import * as bundles from "./bundles.js";
import * as config from "./config.js";

/** Each view exports `NEEDS` (what of the state it shows), `draw`, and maybe `drawn`, `opened`, `detail`. */
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
  fleet: null,
  decisions: [],
  workload: null,
  controller: null,
  bundles: null,
  config: null,
  held: false,
  /** Decisions that came while the stream was held. */
  waiting: [],
  filter: "",
  open: null,
};
/** Decisions the page has, by their keys: after a break the listener tells again what it told before. */
const known = new Set();
const $ = (id) => document.getElementById(id);
let shown = VIEWS[0];
let drawing = false;
/** The view must not move under a pointer that is pressed: the click would be lost. */
let pressed = false;

/** Something has changed, or everything. Draws at most once a frame, however fast events come. */
function changed(what) {
  if (drawing || pressed || (what && !shown[2].NEEDS.includes(what))) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  patch($("view"), present(shown[2].draw(state, actions)).map(node));
  if (!$("detail").hidden) detail();
  shown[2].drawn?.($("view"), state, actions);
}

const node = (it) => (it instanceof Node ? it : document.createTextNode(it));

function detail() {
  const aside = $("detail");
  const content = state.open && shown[2].detail?.(state, state.open, actions);
  aside.hidden = !content;
  patch(aside, present(content ? [close(), content] : []).map(node));
}

const close = () => h("button", { type: "button", class: "close", "aria-label": "Close", title: "Close ( Esc )", onclick: () => actions.open(null) }, "✕");

const actions = {
  open(key) {
    const before = state.open;
    state.open = key;
    $("detail").hidden = !key;
    if (key) shown[2].opened?.(state, key, changed);
    // Where the keyboard was when it was opened.
    else if (before && $("detail").contains(document.activeElement)) {
      $("view").querySelector(`[data-key="${CSS.escape(before)}"]`)?.focus();
    }
    changed();
  },
  hold() {
    state.held = !state.held;
    if (!state.held) state.waiting.splice(0).forEach(take);
    changed("decisions");
  },
  changed,
};

function show(name) {
  shown = VIEWS.find(([id]) => id === name) ?? VIEWS[0];
  state.open = null;
  $("detail").hidden = true;
  for (const tab of $("tabs").children) {
    const selected = tab.dataset.view === shown[0];
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
  }
  $("view").setAttribute("aria-labelledby", `tab-${shown[0]}`);
  if (location.hash.slice(1) !== shown[0]) history.replaceState(null, "", `#${shown[0]}`);
  $("view").replaceChildren();
  $("view").scrollTop = 0;
  draw();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("gearshift-theme", name);
  changed();
}

const isDark = () => (document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";
const flip = () => theme(isDark() ? "light" : "dark");

function take(decision) {
  state.decisions.unshift(decision);
  if (state.decisions.length > KEPT) known.delete(state.decisions.pop().key);
}

function remember(decision) {
  decision.key = `${decision.id}/${decision.attempt}/${decision.at_ms}`;
  if (known.has(decision.key)) return;
  known.add(decision.key);
  if (!state.held) take(decision);
  else if (state.waiting.push(decision) > KEPT) known.delete(state.waiting.shift().key);
  changed("decisions");
}

const set = (name) => (value) => {
  state[name] = value;
  changed(name);
};

function askToken(why) {
  return new Promise((given) => {
    const dialog = $("login");
    $("refused").textContent = why;
    dialog.addEventListener("close", () => {
      keepToken($("token").value);
      $("token").value = "";
      given();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

$("tabs").append(...VIEWS.map(([id, title], index) => h("button", {
  type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "view", "data-view": id, title: `${title} ( ${index + 1} )`, onclick: () => show(id),
}, title)));
$("filter").addEventListener("input", (event) => {
  state.filter = event.target.value;
  changed();
});
$("theme").addEventListener("click", flip);
$("help").addEventListener("click", () => $("keys").showModal());
// Other buttons click on nothing here, and a menu may keep what follows to itself: a press that opens one (a long touch) has ended.
addEventListener("pointerdown", (event) => { pressed = event.button === 0; });
for (const end of ["pointerup", "pointercancel", "contextmenu"]) {
  addEventListener(end, () => setTimeout(() => {
    pressed = false;
    changed();
  }));
}
addEventListener("hashchange", () => show(location.hash.slice(1)));
addEventListener("resize", () => changed());
const kept = localStorage.getItem("gearshift-theme");
if (kept) document.documentElement.dataset.theme = kept;
onKeys({ views: VIEWS.map(([id]) => id), show, flip, hold: actions.hold, close: () => actions.open(null) });
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
