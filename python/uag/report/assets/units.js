// Numbers and their units, as people read them.

const SPACE = "\u00a0"; // does not break between a number and its unit
const TIMES = [["\u00b5s", 1e-6], ["ms", 1e-3], ["s", 1], ["min", 60], ["h", 3600]];

// Three digits, or all those before the point.
function number(value) {
  const digits = value < 100 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 0 };
  return value.toLocaleString("en", digits);
}

// Only nothing is 0 %, and only all is 100 %.
function percent(share) {
  const whole = Math.round(share * 100);
  if (share > 0 && whole === 0) return "<1" + SPACE + "%";
  if (share < 1 && whole === 100) return ">99" + SPACE + "%";
  return whole + SPACE + "%";
}

// The largest unit of time that is not longer than `seconds`: [its name, its seconds].
function unitOf(seconds) {
  return TIMES.findLast(([, length]) => length <= seconds) ?? TIMES[0];
}

function duration(seconds) {
  const whole = Math.round(seconds), minutes = Math.round(seconds / 60);
  if (whole >= 3600) return joined([Math.floor(minutes / 60), "h"], [minutes % 60, "min"]);
  if (whole >= 60) return joined([Math.floor(whole / 60), "min"], [whole % 60, "s"]);
  const rounded = Number(seconds.toPrecision(3)), [unit, length] = rounded ? unitOf(rounded) : ["s", 1];
  return joined([rounded / length, unit]) || "0" + SPACE + "s";
}

function joined(...parts) {
  return parts.filter(([value]) => value).map(([value, unit]) => number(value) + SPACE + unit).join(" ");
}

function counted(count, name) {
  return `${number(count)} ${name}${count === 1 ? "" : "s"}`;
}
