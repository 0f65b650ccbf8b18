// Predicted against actual, a dot for each answer.

import { colour, digits, h, matches, percent } from "./dom.js";

const PARTS = [["ttft_s", "Time to first token"], ["tpot_s", "Time per output token"], ["e2e_s", "End to end"]];

const pairs = (state, part) => state.decisions
  .filter((it) => it.actual && it.predicted && matches(state.filter, it.backend, it.model, it.route, it.hardware ?? "", it.profile ?? ""))
  .map((it) => [it.predicted[part], it.actual[part], it.backend])
  .filter(([predicted, actual]) => predicted > 0 && actual > 0);

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : NaN;
}

/** The view. */
export function draw(state) {
  return [
    h("p", { class: "bar" }, "Each dot is one answer of those the page has seen; on the line the prediction was right. Filter to see one backend, model or route."),
    h("div", { class: "plots" }, PARTS.map(([part, title]) => {
      const found = pairs(state, part);
      const ratios = found.map(([predicted, actual]) => actual / predicted);
      const error = median(ratios.map((ratio) => Math.abs(ratio - 1)));
      return h("figure", {},
        h("figcaption", {}, title, h("small", {}, found.length
          ? ` ${found.length} answers · median error ${percent(error)} · actual ÷ predicted ×${digits(median(ratios))}` : " no answers yet")),
        h("canvas", { "data-part": part, width: 10, height: 10, role: "img", "aria-label": `${title}: predicted against actual` }));
    })),
  ];
}

/** Canvases can be drawn on only when they are laid out. */
export function drawn(view, state) {
  for (const canvas of view.querySelectorAll("canvas")) plot(canvas, pairs(state, canvas.dataset.part));
}

function plot(canvas, points) {
  const scale = devicePixelRatio || 1;
  const size = canvas.clientWidth;
  canvas.width = canvas.height = size * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "11px system-ui";
  const values = points.flatMap(([predicted, actual]) => [predicted, actual]);
  const low = Math.floor(Math.log10(Math.min(...values, 0.01)));
  const high = Math.ceil(Math.log10(Math.max(...values, low < -2 ? 10 ** (low + 1) : 1)));
  const left = 52;
  const room = size - left - 24;
  const at = (value) => ((Math.log10(value) - low) / (high - low)) * room;
  const [x, y] = [(value) => left + at(value), (value) => 8 + room - at(value)];
  pen.strokeStyle = colour("--line");
  pen.fillStyle = colour("--dim");
  for (let power = low; power <= high; power += 1) {
    const value = 10 ** power;
    pen.beginPath();
    pen.moveTo(x(value), y(10 ** low)); pen.lineTo(x(value), y(10 ** high));
    pen.moveTo(x(10 ** low), y(value)); pen.lineTo(x(10 ** high), y(value));
    pen.stroke();
    pen.textAlign = "right"; pen.fillText(unit(value), left - 6, y(value) + 4);
    pen.textAlign = "center"; pen.fillText(unit(value), x(value), room + 24);
  }
  pen.textAlign = "right"; pen.fillText("predicted", left + room, room + 40);
  pen.textAlign = "left"; pen.fillText("actual", left + 4, 18);
  pen.strokeStyle = colour("--accent");
  pen.beginPath(); pen.moveTo(x(10 ** low), y(10 ** low)); pen.lineTo(x(10 ** high), y(10 ** high)); pen.stroke();
  pen.fillStyle = colour("--dot");
  for (const [predicted, actual] of points) {
    pen.beginPath(); pen.arc(x(predicted), y(actual), 2.2, 0, 7); pen.fill();
  }
}

const unit = (seconds) => (seconds >= 1 ? `${seconds} s` : seconds >= 1e-3 ? `${Math.round(seconds * 1e3)} ms` : `${Math.round(seconds * 1e6)} µs`);
