// Charts are drawn at their actual width, and again when it changes.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 226;

function mark(name, attributes = {}, title = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (title) made.append(Object.assign(document.createElementNS(SVG, "title"), { textContent: title }));
  return made;
}

function label(x, y, text, anchor = "middle", kind = "tick") {
  const made = mark("text", { x, y, "text-anchor": anchor, class: kind });
  made.textContent = text;
  return made;
}

// Round numbers from 0 on that reach `most`, at least `finest` apart.
function ticks(most, finest) {
  const rough = Math.max(most / 4, finest, 1e-12);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((times) => times * power >= rough * 0.999) * power;
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
}

// An axis from 0 to `most`.
function axis(name, most, finest = 0) {
  return { name, most, ticks: ticks(most, finest), form: number };
}

function shares(name) {
  return { name, most: 1, ticks: [0, 0.25, 0.5, 0.75, 1], form: percent };
}

class Plot {
  constructor(width, x, y) {
    const digits = Math.max(...y.ticks.map((value) => y.form(value).length));
    this.edge = { left: 10 + 6.5 * digits, right: 18, top: 24, bottom: 42 };
    this.root = mark("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img" });
    this.inner = { width: width - this.edge.left - this.edge.right, height: HEIGHT - this.edge.top - this.edge.bottom };
    this.mostX = x.most;
    this.mostY = y.most;
    for (const value of y.ticks) {
      const at = this.y(value);
      this.root.append(mark("line", { class: "grid", x1: this.edge.left, x2: width - this.edge.right, y1: at, y2: at }));
      this.root.append(label(this.edge.left - 6, at + 4, y.form(value), "end"));
    }
    for (const value of x.ticks) this.tick(value, x.form(value));
    this.root.append(label(0, 10, y.name, "start", "axis"));
    this.root.append(label(width - this.edge.right, HEIGHT - 6, x.name, "end", "axis"));
  }

  tick(value, text) {
    this.root.append(label(this.x(value), HEIGHT - this.edge.bottom + 16, text));
  }

  x(value) {
    return this.edge.left + (value / this.mostX) * this.inner.width;
  }

  y(value) {
    return this.edge.top + (1 - value / this.mostY) * this.inner.height;
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
  const plot = new Plot(width, { name: "place in the draft", most: rates.length, ticks: [] }, shares("share"));
  const most = rates[0][0], every = Math.ceil((24 * rates.length) / plot.inner.width);
  rates.forEach(([tried, accepted], index) => {
    const title = `id ${index + 1} of a draft: ${accepted} of ${tried} accepted`;
    plot.bar(index + 0.15, index + 0.85, accepted / tried, "bar-accepted", title, 0.35 + (0.65 * tried) / most);
    if (index % every === 0) plot.tick(index + 0.5, number(index + 1));
  });
  plot.line(rates.map(([tried], index) => [index + 0.5, tried / most]), "own");
  return plot.root;
}

function confidences(text, width) {
  const plot = new Plot(width, shares("estimated probability"), shares("share accepted"));
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
  const plot = new Plot(width, axis("round", text.rounds.length, 1), axis("ids", Math.max(1, ...bins.map((bin) => bin.drafted)), 1));
  for (const bin of bins) {
    const name = bin.end - bin.start === 1 ? `round ${bin.end}` : `rounds ${bin.start + 1} to ${bin.end}, mean`;
    const title = `${name}: ${number(bin.right)} of ${number(bin.drafted)} accepted`;
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
  const most = Math.max(1.5, ...points.map(([, y]) => y)) * 1.05;
  const plot = new Plot(width, axis("round", counts.length, 1), axis("tokens per pass", most));
  const base = plot.y(0);
  const outline = points.map(([x, y]) => `${plot.x(x).toFixed(1)},${plot.y(y).toFixed(1)}`).join(" ");
  const ends = [`${plot.x(points[0][0])},${base}`, `${plot.x(points[points.length - 1][0])},${base}`];
  plot.root.append(mark("polygon", { class: "area", points: `${ends[0]} ${outline} ${ends[1]}` }));
  plot.line(points, "accepted");
  plot.line([[0, 1], [counts.length, 1]], "plain");
  return plot.root;
}

// Tokens over what they cost; `plainCost` is that of a token by plain decoding, if it is known.
function cumulative(text, width, name, cost, plainCost) {
  const points = [[0, 0]];
  let x = 0, y = 0;
  for (const round of text.rounds) {
    x += cost(round);
    y += round.tokens.length;
    points.push([x, y]);
  }
  const plainEnd = y * (plainCost ?? 0);
  const plot = new Plot(width, axis(name, Math.max(x, plainEnd)), axis("tokens", y, 1));
  if (plainCost) plot.line([[0, 0], [plainEnd, y]], "plain");
  plot.line(points, "accepted");
  return plot.root;
}

function byPasses(text, width) {
  return cumulative(text, width, "forward passes of the target", () => 1, 1);
}

function byTime(text, width) {
  const plain = text.by_position.length ? text.plain_seconds : null;
  const tokens = text.rounds.reduce((sum, round) => sum + round.tokens.length, 0);
  const [unit, length] = unitOf(Math.max(totalSeconds(text), tokens * (plain ?? 0)));
  return cumulative(text, width, `time (${unit})`, (round) => (round.seconds ?? 0) / length, plain && plain / length);
}

function phases(text, width) {
  const root = mark("svg", { viewBox: `0 0 ${width} 34`, height: 34, role: "img" });
  let x = 0;
  for (const [index, phase, share] of sharesOf(text)) {
    const title = `${phase}: ${duration(text.phases[phase])}, ${percent(share)}`;
    root.append(mark("rect", { class: "phase" + index, x, y: 4, width: share * width, height: 26 }, title));
    x += share * width;
  }
  return root;
}

function phaseLegend(text) {
  return element("div", { className: "legend" }, ...sharesOf(text).map(([index, phase, share]) =>
    element("span", {}, element("i", { className: "key phase" + index }),
      `${phase} ${percent(share)} (${duration(text.phases[phase])})`)));
}

// [index, phase, share of the time] of the phases that took any.
function sharesOf(text) {
  const total = totalSeconds(text);
  return text.phase_order.map((phase, index) => [index, phase, text.phases[phase] / total])
    .filter(([, phase]) => text.phases[phase] > 0);
}

function totalSeconds(text) {
  return text.phase_order.reduce((sum, phase) => sum + text.phases[phase], 0);
}

// [title, what it shows, how it is drawn], without those that have nothing to show.
function chartsOf(text) {
  const charts = [], drafted = text.by_position.length > 0, ways = waysOf(text.rounds);
  if (drafted) {
    charts.push(["Acceptance by position",
      "Bars: ids accepted if all before them were. Line: share of drafts that got this far.", positions]);
  }
  if (text.by_confidence.length) {
    charts.push(["Acceptance by confidence",
      `How often an id was accepted, by ${ways === "drafted" ? "the assistant's probability of it" : "its estimated probability"}; dashed: both equal.`, confidences]);
  }
  if (drafted) {
    charts.push(["Drafts by round", `Ids that were ${ways} (light), and how many of them were accepted.`, drafts]);
    charts.push(["Tokens per forward pass", "Moving mean over the rounds; dashed: plain decoding.", pace]);
    charts.push(["Tokens by forward passes", "Dashed: plain decoding, one token per pass.", byPasses]);
  }
  if (totalSeconds(text)) {
    const plain = !drafted || !text.plain_seconds ? "Tokens so far, by the time that the rounds took."
      : text.plain_measured ? "Dashed: plain decoding of the same prompt, as measured."
        : "Dashed: plain decoding, at the speed of the rounds without a draft.";
    charts.push(["Tokens by time", plain, byTime]);
    charts.push(["Time by phase", `${duration(totalSeconds(text))} in total.`, phases]);
  }
  return charts;
}

function drawCharts(place, text) {
  place.replaceChildren();
  for (const [title, about, draw] of chartsOf(text)) {
    const drawing = element("div", { className: "drawing" });
    const figure = element("figure", {}, element("h3", { textContent: title }), element("p", { textContent: about }), drawing);
    if (draw === phases) figure.append(phaseLegend(text));
    place.append(figure);
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
