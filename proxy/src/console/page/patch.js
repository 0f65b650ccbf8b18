// Makes what is shown like what is wanted, by touching only what differs: so clicks, focus, scrolling and a selection of text
// outlive a redraw.

const LISTENERS = ["onclick", "onkeydown"];
/** Attributes that are drawn with. */
const KEPT = { CANVAS: ["width", "height"] };

/** Makes `wanted` the children of `parent`. Children with a `data-key` are known by it, others by their place. */
export function patch(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  const keys = new Set(wanted.map(key).filter(Boolean));
  let at = parent.firstChild;
  for (const next of wanted) {
    // What is gone makes room, so that what stays need not move.
    while (at && key(at) && !keys.has(key(at))) at = drop(at);
    const old = key(next) ? keyed.get(key(next)) : at && !key(at) && at;
    keyed.delete(key(next));
    if (!old || old.nodeName !== next.nodeName) {
      parent.insertBefore(next, at);
    } else {
      if (old === at) at = at.nextSibling;
      else parent.insertBefore(old, at);
      update(old, next);
    }
  }
  while (at) at = drop(at);
}

const key = (node) => node.dataset?.key;

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function update(old, next) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  const kept = KEPT[old.nodeName] ?? [];
  for (const { name, value } of next.attributes) {
    // The page's policy forbids styles as attributes, not as properties.
    if (name !== "style" && !kept.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  if (old.style.cssText !== next.style.cssText) old.style.cssText = next.style.cssText;
  for (const name of LISTENERS) old[name] = next[name];
  patch(old, [...next.childNodes]);
}
