// What is told of a run before its rounds: title, figures, conditions, and the comparison.

function lastPart(name) {
  return name.replace(/[\\/]+$/, "").split(/[\\/]/).pop() || name || "a model";
}

// What came up with tokens for the target, in words; empty with plain decoding.
function drafterOf(text) {
  return text.assistant.name ? lastPart(text.assistant.name) : text.searched ? "lookups" : "";
}

// How the drafts of some rounds came about, in these words.
function waysOf(rounds, drafted = "drafted", found = "looked up") {
  const ways = [];
  if (rounds.some((round) => draftOf(round).length)) ways.push(drafted);
  if (rounds.some((round) => round.looked_up)) ways.push(found);
  return ways.join(" or ");
}

function acceptedOf(text) {
  return text.rounds.filter((round) => round.accepted);
}

function showTitle(text) {
  const drafter = drafterOf(text), title = at("title");
  title.replaceChildren(readable(lastPart(text.target.name)));
  if (drafter) title.append(element("span", { className: "arrow", textContent: "\u2190" }), readable(drafter));
  at("eyebrow").textContent = `${drafter ? "assisted generation" : "plain decoding"}, round by round`;
  const parts = [dateOf(text), `${text.conditions.dtype} on ${text.conditions.device}`];
  if (drafter) parts.push(`lookahead ${text.lookahead}`);
  if (text.seed !== null) parts.push(`seed ${text.seed}`);
  at("subtitle").textContent = parts.join(" \u00b7 ");
}

function dateOf(text) {
  return text.conditions.date.slice(0, 16).replace("T", " ") + " UTC";
}

function showFigures(text) {
  const sum = (count) => text.rounds.reduce((total, round) => total + count(round), 0);
  const tokens = sum((round) => round.tokens.length), accepted = sum((round) => round.accepted ?? 0);
  const drafted = sum(draftedIn), right = sum((round) => round.right ?? 0);
  const seconds = totalSeconds(text), ways = waysOf(acceptedOf(text)) || waysOf(text.rounds) || "drafted";
  const figures = [[(tokens / Math.max(1, text.forwards)).toFixed(2), "tokens per forward pass of the target"]];
  if (drafterOf(text)) figures.push([percent(accepted / Math.max(1, tokens)), `of ${counted(tokens, "token")} were ${ways}`]);
  if (drafted) figures.push([percent(right / drafted), `of ${number(drafted)} ${waysOf(text.rounds, "drafted", "looked-up")} ids were accepted`]);
  figures.push([number(text.rounds.length), text.rounds.length === 1 ? "round" : "rounds"]);
  if (seconds) figures.push([number(tokens / seconds), `tokens a second: ${number(tokens)} in ${duration(seconds)}`]);
  // A comparison has timed both, interleaved, which is more reliable than this one run.
  if (drafted && text.plain_seconds && !text.plain_measured) {
    figures.push([((text.plain_seconds * tokens) / seconds).toFixed(2) + "\u00d7", "the speed of its rounds without a draft"]);
  }
  at("figures").replaceChildren(...figures.map(([value, name]) =>
    element("div", {}, element("b", { textContent: value }), element("span", { textContent: name }))));
}

function showFacts(text) {
  const { conditions } = text, facts = [["target", modelFacts(text, "target", conditions.dtype, conditions.device)]];
  if (text.assistant.name) {
    facts.push(["assistant", modelFacts(text, "assistant", conditions.assistant_dtype, conditions.assistant_device)]);
  }
  if (text.searched) {
    const found = text.rounds.reduce((sum, round) => sum + (round.looked_up ?? 0), 0);
    facts.push(["lookups", [found ? `${number(text.looked_up_accepted)} of ${counted(found, "looked-up id")} accepted` : "nothing was found"]]);
  }
  if (drafterOf(text)) facts.push(["lookahead", [text.lookahead]]);
  if (text.tree) facts.push(["trees", [text.chains ? `none: ${readable(text.chains)}` : `up to ${counted(text.tree, "candidate")} a pass`]]);
  if (text.seed !== null) facts.push(["seed", [text.seed]]);
  facts.push(["threads", [number(conditions.threads)]]);
  facts.push(["date", [dateOf(text)]]);
  const versions = Object.entries(conditions.versions).map(([name, version]) => `${name} ${version}`);
  facts.push(["versions", [versions.join(", ")]]);
  at("facts").querySelector("dl").replaceChildren(...facts.flatMap(([name, parts]) =>
    [element("dt", { textContent: name }), element("dd", {}, ...parts)]));
}

// The full name of a model, and what it was run with.
function modelFacts(text, role, dtype, device) {
  const voice = text[role], engine = text.engines[role];
  const parts = [voice.family, `${number(voice.vocabulary)} ids${voice.fast ? "" : ", through its tokenizer"}`];
  if (dtype) parts.push(`${dtype} on ${device}`);
  if (engine) parts.push(engine);
  return [element("b", { textContent: readable(voice.name) }), element("span", { textContent: readable(parts.join(", ")) })];
}

function showComparison() {
  if (!page.comparison) return;
  const table = at("comparison").querySelector("table");
  const heads = ["", "tokens a second", "times plain", "tokens per forward pass", "identical texts"];
  table.append(element("tr", {}, ...heads.map((head) => element("th", { scope: "col", textContent: head }))));
  const best = Math.max(...page.comparison.methods.map((method) => method.speedup ?? 0));
  for (const method of page.comparison.methods) {
    const row = element("tr", { className: method.speedup === best ? "best" : "" },
      element("th", { scope: "row", textContent: method.name }));
    if (method.error) {
      row.append(element("td", { className: "error", colSpan: 4, textContent: readable(method.error) }));
    } else {
      const same = method.identical_prompts === null ? "\u2013" : `${method.identical_prompts} of ${page.comparison.prompts}`;
      const cells = [number(method.tokens_per_second), method.speedup.toFixed(2), method.tokens_per_forward.toFixed(2), same];
      row.append(...cells.map((cell) => element("td", { textContent: cell })));
    }
    table.append(row);
  }
  at("comparison").hidden = false;
}
