// SPDX-License-Identifier: Apache-2.0
// An SVG element painted on a canvas, shape by shape. A browser would paint an SVG file by itself, but only from a
// blob: or data: address, and the page's security policy allows neither.

const SCALE = 2;

/** The canvas of a chart at twice its size, on a background. */
export function painted(chart, background) {
  const box = chart.viewBox.baseVal;
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * box.width;
  canvas.height = SCALE * box.height;
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  context.fillStyle = background;
  context.fillRect(0, 0, box.width, box.height);
  const frame = chart.getScreenCTM().inverse();
  for (const shape of chart.querySelectorAll("path, line, circle, text")) {
    context.save();
    const matrix = frame.multiply(shape.getScreenCTM());
    context.transform(matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f);
    paint(context, shape, getComputedStyle(shape));
    context.restore();
  }
  return canvas;
}

function paint(context, shape, style) {
  if (shape.tagName === "text") {
    paintText(context, shape, style);
    return;
  }
  const outline = outlineOf(shape);
  if (style.fill !== "none" && shape.tagName !== "line") {
    context.globalAlpha = Number(style.opacity) * Number(style.fillOpacity);
    context.fillStyle = style.fill;
    context.fill(outline);
  }
  if (style.stroke !== "none") {
    context.globalAlpha = Number(style.opacity) * Number(style.strokeOpacity);
    context.strokeStyle = style.stroke;
    context.lineWidth = parseFloat(style.strokeWidth);
    context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/[ ,]+/).map(parseFloat));
    context.stroke(outline);
  }
}

function outlineOf(shape) {
  const at = (name) => shape[name].baseVal.value;
  if (shape.tagName === "path") return new Path2D(shape.getAttribute("d") ?? "");
  const outline = new Path2D();
  if (shape.tagName === "line") {
    outline.moveTo(at("x1"), at("y1"));
    outline.lineTo(at("x2"), at("y2"));
  } else {
    outline.arc(at("cx"), at("cy"), at("r"), 0, 2 * Math.PI);
  }
  return outline;
}

function paintText(context, shape, style) {
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.textAlign = { middle: "center", end: "right" }[style.textAnchor] ?? "left";
  context.fillStyle = style.fill;
  const length = (name, unit) => {
    const given = shape.getAttribute(name) ?? "0";
    return parseFloat(given) * (given.endsWith("em") ? unit : 1);
  };
  const size = parseFloat(style.fontSize);
  context.fillText(shape.textContent, length("x", size), length("y", size) + length("dy", size));
}
