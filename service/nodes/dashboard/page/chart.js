// SPDX-License-Identifier: Apache-2.0
// One chart against BER: axes, bands, lines, markers, marked limits, and a rule at the BER that is read.

const MARGIN = { top: 30, right: 14, bottom: 40, left: 58 };
const HEIGHT = 264;

/**
 * A chart of one value of the points.
 * spec: { id, title, unit, value, low, high, limits: [{ at, label, below }], format }
 */
export class Chart {
  #svg;
  #spec;
  #scales;

  constructor(host, spec) {
    this.#spec = spec;
    this.#svg = d3.select(host).append("svg").attr("id", spec.id).attr("class", "chart").attr("aria-hidden", "true");
  }

  get element() {
    return this.#svg.node();
  }

  /** Draw the series that are shown over a width in CSS pixels; rule is a BER or null. */
  draw(series, width, rule) {
    const { value, low, high, limits } = this.#spec;
    const points = series.flatMap((each) => each.points);
    const values = points.flatMap((point) => [point[value], point[low] ?? point[value], point[high] ?? point[value]]);
    const x = d3.scaleLinear([0, Math.max(0.3, d3.max(points, (point) => point.ber) ?? 0)],
      [MARGIN.left, width - MARGIN.right]);
    const y = d3.scaleLinear(padded([...values, ...limits.map((limit) => limit.at)]),
      [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(5);
    this.#scales = { x, y };
    this.#svg.attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("width", width).attr("height", HEIGHT);
    this.#svg.selectAll("*").remove();
    this.#axes(x, y, width);
    this.#limits(x, y);
    this.#lines(series, x, y);
    this.rule(series, rule);
  }

  /** Move the rule, and mark what the series have there. */
  rule(series, ber) {
    this.#svg.selectAll(".rule").remove();
    if (ber === null || !this.#scales) return;
    const { x, y } = this.#scales;
    const group = this.#svg.append("g").attr("class", "rule");
    group.append("line").attr("x1", x(ber)).attr("x2", x(ber)).attr("y1", MARGIN.top).attr("y2", HEIGHT - MARGIN.bottom);
    for (const each of series) {
      const point = each.points.find((candidate) => candidate.ber === ber);
      if (point) {
        group.append("circle").attr("cx", x(ber)).attr("cy", y(point[this.#spec.value])).attr("r", 6)
          .attr("fill", "none").attr("stroke", each.colour);
      }
    }
  }

  /** The BER under a position in CSS pixels from the page's left edge. */
  berAt(clientX) {
    return this.#scales.x.invert(clientX - this.element.getBoundingClientRect().left);
  }

  #axes(x, y, width) {
    const { title, unit, format } = this.#spec;
    const grid = this.#svg.append("g").attr("class", "grid");
    for (const tick of y.ticks(5)) {
      grid.append("line").attr("x1", MARGIN.left).attr("x2", width - MARGIN.right).attr("y1", y(tick)).attr("y2", y(tick));
    }
    const bottom = this.#svg.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`);
    bottom.call(d3.axisBottom(x).ticks(Math.min(7, width / 60)).tickSizeOuter(0));
    const left = this.#svg.append("g").attr("class", "axis").attr("transform", `translate(${MARGIN.left},0)`);
    left.call(d3.axisLeft(y).ticks(5).tickFormat(format).tickSize(0).tickPadding(8));
    left.select(".domain").remove();
    this.#svg.append("text").attr("class", "title").attr("x", 0).attr("y", 15).text(`${title} (${unit})`);
    this.#svg.append("text").attr("class", "axis-name").attr("text-anchor", "end").attr("x", width - MARGIN.right)
      .attr("y", HEIGHT - 6).text("bit error rate (BER, errors per bit)");
  }

  #limits(x, y) {
    for (const { at, label, below } of this.#spec.limits) {
      const group = this.#svg.append("g").attr("class", "limit");
      group.append("line").attr("x1", x.range()[0]).attr("x2", x.range()[1]).attr("y1", y(at)).attr("y2", y(at));
      group.append("text").attr("x", x.range()[0] + 6).attr("y", y(at) + (below ? 18 : -5)).text(label);
    }
  }

  #lines(series, x, y) {
    const { value, low, high } = this.#spec;
    const band = d3.area((p) => x(p.ber), (p) => y(p[low] ?? p[value]), (p) => y(p[high] ?? p[value]));
    const line = d3.line((p) => x(p.ber), (p) => y(p[value]));
    const symbol = (each) => d3.symbol(d3[`symbol${each.symbol}`] ?? d3.symbolCircle, 38)();
    const groups = this.#svg.append("g").attr("class", "series").selectAll("g").data(series).join("g");
    groups.append("path").attr("class", "band").attr("d", (each) => band(each.points)).attr("fill", (each) => each.colour);
    groups.append("path").attr("class", "line").attr("d", (each) => line(each.points))
      .attr("stroke", (each) => each.colour).attr("stroke-dasharray", (each) => each.dash);
    groups.each(function (each) {
      d3.select(this).selectAll(".marker").data(each.points).join("path").attr("class", "marker")
        .attr("d", symbol(each)).attr("transform", (p) => `translate(${x(p.ber)},${y(p[value])})`)
        .attr("stroke", each.colour).attr("fill", ["X", "Plus"].includes(each.symbol) ? "none" : each.colour);
    });
  }
}

/** The range of values with a little air. */
function padded(values) {
  const [least, most] = values.length ? d3.extent(values) : [0, 1];
  const air = (most - least || 1) * 0.06;
  return [least - air, most + air];
}
