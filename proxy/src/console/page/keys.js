// The keyboard.

const $ = (id) => document.getElementById(id);

/** Listens for keys; `views` are the names of the views in the order of their tabs. */
export function onKeys({ views, show, flip, hold, close }) {
  const keys = {
    "/": (event) => { event.preventDefault(); $("filter").focus(); },
    "?": () => $("keys").showModal(),
    t: flip,
    p: hold,
    j: () => step(1),
    k: () => step(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("dialog")) return;
    if (event.key === "Escape") {
      if (document.activeElement === $("filter")) $("filter").blur();
      else close();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const view = views[Number(event.key) - 1];
    if (view) show(view);
    else if (keys[event.key]) keys[event.key](event);
    else if (event.key.startsWith("Arrow")) arrow(event);
  });
}

/** Arrows go through the tabs, or through the cells and rows of a view, wherever the focus is. */
function arrow(event) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const among = event.target.closest("#tabs") ? $("tabs").children : event.target.dataset.key && $("view").querySelectorAll("[data-key]");
  if (!by || !among) return;
  event.preventDefault();
  const all = [...among];
  const next = all[all.indexOf(event.target) + by];
  next?.focus();
  if (next?.getAttribute("role") === "tab") next.click();
}

function step(by) {
  const rows = [...$("view").querySelectorAll("[data-key]")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}
