// Predicted against actual, a dot for each answer.

import { colour, digits, h, matches, percent } from "./dom.js";

export const NEEDS = ["decisions"];
const PARTS = [["ttft_s", "Time to first token"], ["tpot_s", "Time per output token"], ["e2e_s", "End to end"]];
/** Pixels beside and below a plot for what its axes say. */
const LEFT = 54;
const BELOW = 44;

const pairs = (state, part) => state.decisions
  .filter((it) => it.outcome === "ok" && it.actual && it.predicted && matches(state.filter, it.backend, it.model, it.route, it.hardware ?? "", it.profile ?? ""))
  .map((it) => [it.predicted[part], it.actual[part]])
  .filter(([predicted, actual]) => predicted > 0 && actual > 0);

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : NaN;
}

/** The view. */
export function draw(state) {
  return [
    h("p", { class: "bar" }, "Each dot is one answer of those the page has seen. On the line the prediction was right; between the thin lines it was off by less than a factor of two. End to end was predicted for as long an answer as was expected, and shows how well that was known too. Filter to see one backend, model or route."),
    h("div", { class: "plots" }, PARTS.map(([part, title]) => {
      const found = pairs(state, part);
      const ratios = found.map(([predicted, actual]) => actual / predicted);
      const error = median(ratios.map((ratio) => Math.abs(ratio - 1)));
      const said = found.length ? `${found.length} answers · median error ${percent(error)} · actual ÷ predicted ×${digits(median(ratios))}` : "no answer yet";
      return h("figure", {},
        h("figcaption", {}, h("b", {}, title), h("small", {}, said)),
        h("canvas", { "data-part": part, "data-points": String(found.length), width: 10, height: 10, role: "img", "aria-label": `${title}, predicted against actual: ${said}` }));
    })),
  ];
}

/** Canvases can be drawn on only when they are laid out. */
export function drawn(view, state) {
  for (const canvas of view.querySelectorAll("canvas")) plot(canvas, pairs(state, canvas.dataset.part));
}

/** Powers of ten around all values. */
function range(points) {
  const values = points.flat();
  if (values.length === 0) return [-2, 1];
  const low = Math.floor(Math.log10(Math.min(...values)));
  return [low, Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))];
}

function plot(canvas, points) {
  const scale = devicePixelRatio || 1;
  const size = canvas.clientWidth;
  canvas.width = canvas.height = size * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "11px system-ui, sans-serif";
  const [low, high] = range(points);
  const room = size - Math.max(LEFT + 8, BELOW + 8);
  const at = (value) => ((Math.log10(value) - low) / (high - low)) * room;
  const [x, y] = [(value) => LEFT + at(value), (value) => 8 + room - at(value)];
  const [least, most] = [10 ** low, 10 ** high];
  const line = (name, a, b, c, d) => {
    pen.strokeStyle = colour(name);
    pen.beginPath(); pen.moveTo(x(a), y(b)); pen.lineTo(x(c), y(d)); pen.stroke();
  };
  pen.fillStyle = colour("--dim");
  for (let power = low; power <= high; power += 1) {
    const value = 10 ** power;
    line("--line", value, least, value, most);
    line("--line", least, value, most, value);
    pen.textAlign = "right"; pen.fillText(unit(value), LEFT - 6, y(value) + 4);
    pen.textAlign = power === high ? "right" : "center"; pen.fillText(unit(value), x(value), room + 24);
  }
  pen.textAlign = "center"; pen.fillText("predicted", LEFT + room / 2, room + 40);
  pen.save();
  // Between two marks, or it would run into what one of them says.
  pen.translate(11, 8 + room - room * (Math.floor((high - low) / 2) + 0.5) / (high - low)); pen.rotate(-Math.PI / 2); pen.fillText("actual", 0, 0);
  pen.restore();
  line("--accent", least, least, most, most);
  line("--faint", least * 2, least, most, most / 2);
  line("--faint", least, least * 2, most / 2, most);
  pen.fillStyle = colour("--dot");
  for (const [predicted, actual] of points) {
    pen.beginPath(); pen.arc(x(predicted), y(actual), 2.2, 0, 7); pen.fill();
  }
}

const unit = (seconds) => (seconds >= 1 ? `${seconds} s` : seconds >= 1e-3 ? `${Math.round(seconds * 1e3)} ms` : `${Math.round(seconds * 1e6)} µs`);
