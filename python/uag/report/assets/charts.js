// Charts are drawn at their actual width, and again when it changes.

const SVG = "http://www.w3.org/2000/svg";
const EDGE = { left: 38, right: 10, top: 10, bottom: 26 };

function mark(name, attributes = {}, title = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (title) made.append(Object.assign(document.createElementNS(SVG, "title"), { textContent: title }));
  return made;
}

function label(x, y, text, anchor = "middle", strong = false) {
  const made = mark("text", { x, y, "text-anchor": anchor, class: strong ? "strong" : "" });
  made.textContent = text;
  return made;
}

function brief(value) {
  if (value >= 1000) return Math.round(value / 100) / 10 + "k";
  return String(value >= 10 ? Math.round(value) : Math.round(value * 100) / 100);
}

function percent(share) {
  return Math.round(share * 100) + " %";
}

// Round numbers from 0 on that reach `most`.
function ticks(most, count = 4) {
  const rough = Math.max(most, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * power >= rough) * power;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, index) => index * step);
}

class Plot {
  constructor(width, height, mostX, mostY, { xTicks, yTicks, xForm = brief, yForm = brief } = {}) {
    this.root = mark("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
    this.inner = { width: width - EDGE.left - EDGE.right, height: height - EDGE.top - EDGE.bottom };
    this.mostX = mostX;
    this.mostY = mostY;
    for (const value of yTicks ?? ticks(mostY)) {
      if (value > mostY * 1.001) continue;
      const y = this.y(value);
      this.root.append(mark("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }));
      this.root.append(label(EDGE.left - 6, y + 4, yForm(value), "end"));
    }
    for (const value of xTicks ?? ticks(mostX)) {
      if (value <= mostX * 1.001) this.root.append(label(this.x(value), height - 8, xForm(value)));
    }
  }

  x(value) {
    return EDGE.left + (value / this.mostX) * this.inner.width;
  }

  y(value) {
    return EDGE.top + (1 - value / this.mostY) * this.inner.height;
  }

  line(points, kind) {
    const path = points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`).join(" ");
    this.root.append(mark("polyline", { class: "line " + kind, points: path }));
  }

  bar(from, to, value, kind, title, opacity = 1) {
    const x = this.x(from), y = this.y(value);
    const width = Math.max(0.5, this.x(to) - x), height = Math.max(0, this.y(0) - y);
    this.root.append(mark("rect", { class: kind, x, y, width, height, opacity, rx: width > 6 ? 2 : 0 }, title));
  }
}

function positions(text, width) {
  const rates = text.by_position;
  const plot = new Plot(width, 200, rates.length, 1, {
    xTicks: [], yTicks: [0, 0.25, 0.5, 0.75, 1], yForm: percent,
  });
  const most = rates[0][0];
  rates.forEach(([tried, accepted], index) => {
    const title = `id ${index + 1} of a draft: ${accepted} of ${tried} accepted`;
    plot.bar(index + 0.15, index + 0.85, accepted / tried, "bar-accepted", title, 0.35 + (0.65 * tried) / most);
    if (rates.length <= 12 || index % 2 === 0) plot.root.append(label(plot.x(index + 0.5), 192, index + 1));
  });
  plot.line(rates.map(([tried], index) => [index + 0.5, tried / most]), "own");
  return plot.root;
}

function confidences(text, width) {
  const plot = new Plot(width, 200, 1, 1, {
    xTicks: [0, 0.25, 0.5, 0.75, 1], yTicks: [0, 0.25, 0.5, 0.75, 1], xForm: percent, yForm: percent,
  });
  plot.line([[0, 0], [1, 1]], "plain");
  const bins = text.by_confidence.length;
  const most = Math.max(...text.by_confidence.map(([tried]) => tried));
  const points = [];
  text.by_confidence.forEach(([tried, accepted], index) => {
    if (tried) points.push([(index + 0.5) / bins, accepted / tried, tried, accepted]);
  });
  plot.line(points, "accepted");
  for (const [x, y, tried, accepted] of points) {
    const r = 3 + 6 * Math.sqrt(tried / most);
    plot.root.append(mark("circle", { class: "dot", cx: plot.x(x), cy: plot.y(y), r },
      `confidence about ${percent(x)}: ${accepted} of ${tried} accepted`));
  }
  return plot.root;
}

// Neighbouring rounds are drawn as one column where there are more than fit.
function binned(rounds, width) {
  const size = Math.max(1, Math.ceil(rounds.length / Math.max(20, (width - 60) / 4)));
  const bins = [];
  for (let start = 0; start < rounds.length; start += size) {
    const some = rounds.slice(start, start + size);
    const mean = (count) => some.reduce((sum, round) => sum + count(round), 0) / some.length;
    bins.push({ start, end: start + some.length, drafted: mean((round) => draftedIn(round)), right: mean((round) => round.right ?? 0) });
  }
  return bins;
}

function drafts(text, width) {
  const bins = binned(text.rounds, width);
  const plot = new Plot(width, 200, text.rounds.length, Math.max(1, ...bins.map((bin) => bin.drafted)));
  for (const bin of bins) {
    const name = bin.end - bin.start === 1 ? `round ${bin.end}` : `rounds ${bin.start + 1} to ${bin.end}, mean`;
    const title = `${name}: ${brief(bin.right)} of ${brief(bin.drafted)} accepted`;
    const gap = bins.length < width / 8 ? 0.1 : 0;
    plot.bar(bin.start + gap, bin.end - gap, bin.drafted, "bar-drafted", title);
    plot.bar(bin.start + gap, bin.end - gap, bin.right, "bar-accepted", title);
  }
  return plot.root;
}

function pace(text, width) {
  const counts = text.rounds.map((round) => round.tokens.length);
  const reach = Math.max(2, Math.round(counts.length / 30));
  const sums = [0];
  for (const count of counts) sums.push(sums[sums.length - 1] + count);
  const points = counts.map((_, index) => {
    const from = Math.max(0, index - reach), to = Math.min(counts.length, index + reach + 1);
    return [index + 0.5, (sums[to] - sums[from]) / (to - from)];
  });
  const plot = new Plot(width, 200, counts.length, Math.max(1.5, ...points.map(([, y]) => y)) * 1.05);
  const base = plot.y(0);
  const outline = points.map(([x, y]) => `${plot.x(x).toFixed(1)},${plot.y(y).toFixed(1)}`).join(" ");
  const ends = [`${plot.x(points[0][0])},${base}`, `${plot.x(points[points.length - 1][0])},${base}`];
  plot.root.append(mark("polygon", { class: "area", points: `${ends[0]} ${outline} ${ends[1]}` }));
  plot.line(points, "accepted");
  plot.line([[0, 1], [counts.length, 1]], "plain");
  return plot.root;
}

function cumulative(text, width, cost, plainCost) {
  const points = [[0, 0]];
  let x = 0, y = 0;
  for (const round of text.rounds) {
    x += cost(round);
    y += round.tokens.length;
    points.push([x, y]);
  }
  const plainEnd = y * plainCost;
  const plot = new Plot(width, 200, Math.max(x, plainEnd), y);
  plot.line([[0, 0], [plainEnd, y]], "plain");
  plot.line(points, "accepted");
  return plot.root;
}

function phases(text, width) {
  const root = mark("svg", { viewBox: `0 0 ${width} 34`, height: 34, role: "img" });
  const total = text.phase_order.reduce((sum, phase) => sum + text.phases[phase], 0);
  let x = 0;
  text.phase_order.forEach((phase, index) => {
    const share = text.phases[phase] / total;
    const title = `${phase}: ${brief(text.phases[phase] * 1000)} ms, ${percent(share)}`;
    root.append(mark("rect", { class: "phase" + index, x, y: 4, width: share * width, height: 26 }, title));
    x += share * width;
  });
  return root;
}

function phaseLegend(text) {
  const total = text.phase_order.reduce((sum, phase) => sum + text.phases[phase], 0);
  const list = element("div", { className: "legend" });
  text.phase_order.forEach((phase, index) => {
    const share = text.phases[phase] / total;
    list.append(element("span", {}, element("i", { className: "key phase" + index }),
      `${phase} ${percent(share)} (${brief(text.phases[phase] * 1000)} ms)`));
  });
  return list;
}

// [title, what it shows, how it is drawn, what stands there where there is nothing to draw]
function chartsOf(text) {
  const none = !text.by_position.length && "no id was drafted";
  const noConfidence = none || (!text.by_confidence.length &&
    "not recorded: how far to draft did not depend on the assistant's confidence");
  const charts = [
    ["Acceptance by position", "Bars: ids accepted if all before them were. Line: share of drafts that got this far.", positions, none],
    ["Acceptance by confidence", "How often an id was accepted, by the assistant's probability of it; dashed: both equal.", confidences, noConfidence],
    ["Drafted and accepted", "Assistant ids by round: drafted (light) and accepted.", drafts, none],
    ["Tokens per forward pass", "Moving mean over the rounds; dashed: plain decoding.", pace, false],
    ["Tokens by forward passes", "Passes of the target; dashed: plain decoding, one token per pass.",
      (each, width) => cumulative(each, width, () => 1, 1), false],
  ];
  if (text.plain_seconds) {
    charts.push(["Tokens by seconds", text.plain_measured
      ? "Dashed: plain decoding of the same prompt, as measured."
      : "Dashed: plain decoding, at the speed of the rounds without a draft.",
    (each, width) => cumulative(each, width, (round) => round.seconds ?? 0, each.plain_seconds), false]);
  }
  charts.push(["Time by phase", `${brief(totalSeconds(text) * 1000)} ms in total.`, phases, false]);
  return charts;
}

function totalSeconds(text) {
  return text.phase_order.reduce((sum, phase) => sum + text.phases[phase], 0);
}

function drawCharts(place, text) {
  place.replaceChildren();
  for (const [title, about, draw, missing] of chartsOf(text)) {
    const drawing = element("div", { className: missing ? "none" : "drawing" });
    const figure = element("figure", {}, element("h3", { textContent: title }), element("p", { textContent: about }), drawing);
    if (draw === phases) figure.append(phaseLegend(text));
    place.append(figure);
    if (missing) {
      drawing.textContent = missing;
      continue;
    }
    let before = 0;
    new ResizeObserver(([{ contentRect }]) => {
      const width = Math.round(contentRect.width);
      if (!width || width === before) return;
      before = width;
      const drawn = draw(text, width);
      drawn.setAttribute("aria-label", `${title}. ${about}`);
      drawing.replaceChildren(drawn);
    }).observe(drawing);
  }
}
