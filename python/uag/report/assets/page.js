// Puts the page together from the data in it.

const BATCH = 40; // cards of rounds that are made at once, as they come into view
const CAUSES = {
  ahead: "the draft is longer than what was written",
  text: "the target wrote a different text",
  boundary: "the text is the same, but its tokens end elsewhere",
  special: "a special token is on one side only",
  unfinished: "the text ends inside a character",
};
const CUTS = {
  special: "The draft was cut at a special token without a counterpart.",
  failed: "The draft could not be translated; from here on the target continues alone.",
  "no text": "The draft was cut at an id without text.",
  mismatch: "The draft does not begin with the missing bytes of the target's last character.",
  "not representable": "The target's vocabulary can't spell the draft.",
};

const page = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const draftOf = (round) => round.draft ?? [];
const draftedIn = (round) => draftOf(round).length + (round.looked_up ?? 0);
let text, chosen, groups, shownGroups;

function main() {
  page.texts.forEach((each, index) => {
    at("choice").append(element("option", { value: index, textContent: `${index + 1}. ${opening(each)}` }));
  });
  at("chooser").hidden = page.texts.length < 2;
  at("choice").addEventListener("change", (event) => showText(Number(event.target.value)));
  at("rejected").addEventListener("change", (event) => at("text").classList.toggle("rejected", event.target.checked));
  at("text").addEventListener("click", (event) => choose(roundAt(event.target)));
  at("text").addEventListener("keydown", onKey);
  at("text").addEventListener("pointerover", onPoint);
  at("text").addEventListener("pointerout", () => { at("tip").hidden = true; });
  at("previous").addEventListener("click", () => choose(chosen - 1));
  at("next").addEventListener("click", () => choose(chosen + 1));
  at("scrub").addEventListener("input", (event) => choose(Number(event.target.value)));
  at("close").addEventListener("click", () => choose(null));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") choose(null); });
  new IntersectionObserver(([entry]) => { if (entry.isIntersecting) moreRounds(); }, { rootMargin: "600px" }).observe(at("more"));
  showComparison();
  showText(0);
}

function opening(each) {
  const words = wording(each.target, each.prompt).replace(/\s+/g, " ").trim();
  return words.length > 60 ? words.slice(0, 60) + "\u2026" : words || "(no prompt)";
}

function showText(index) {
  text = page.texts[index];
  text.plain_measured = page.comparison !== null;
  choose(null);
  showTitle(text);
  showFigures(text);
  showWords();
  showFacts(text);
  drawCharts(at("charts"), text);
  groups = groupsOf(text.rounds);
  showLegends();
  at("rounds").replaceChildren();
  shownGroups = 0;
  moreRounds();
}

function showWords() {
  const place = at("text"), reader = new Reader(text.target), parts = [];
  const add = (pieces, kind, index) => {
    for (const piece of pieces) {
      if (!piece.text) continue;
      const span = element("span", { className: piece.special ? "special" : kind, textContent: piece.special ? piece.text : readable(piece.text) });
      if (index !== null) span.dataset.round = index;
      parts.push(span);
    }
  };
  add(reader.read(text.prompt), "prompt", null);
  text.rounds.forEach((round, index) => {
    const accepted = round.accepted ?? 0, last = index === text.rounds.length - 1;
    const drafted = accepted - (round.beside ?? 0);
    add(reader.read(round.tokens.slice(0, drafted)), "accepted", index);
    const wrong = rejectedOf(round);
    if (wrong) {
      const struck = element("del", { textContent: wrong });
      struck.dataset.round = index;
      parts.push(struck);
    }
    add(reader.read(round.tokens.slice(drafted, accepted)), "accepted", index);
    const own = reader.read(round.tokens.slice(accepted));
    if (last) own.push({ text: reader.end(), special: false });
    add(own, accepted === round.tokens.length ? "accepted" : "own", index);
  });
  place.replaceChildren(...parts);
}

// What was drafted and not accepted, as text.
function rejectedOf(round) {
  if (round.looked_up) return wording(text.target, (round.candidates ?? []).slice(round.accepted ?? 0));
  return wording(text.assistant, draftOf(round).slice(round.right ?? 0));
}

function roundAt(node) {
  const index = node instanceof Element ? node.closest("[data-round]")?.dataset.round : undefined;
  return index === undefined ? null : Number(index);
}

function onKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  choose(chosen === null ? 0 : chosen + step);
}

function onPoint(event) {
  const index = roundAt(event.target), tip = at("tip");
  if (index === null || event.pointerType === "touch") return;
  const round = text.rounds[index], wrong = rejectedOf(round);
  tip.replaceChildren(`Round ${index + 1}: ${summary(round)}`);
  if (wrong) tip.append("\nrejected: ", element("del", { textContent: wrong }));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 8)) + "px";
  tip.style.top = (event.clientY + 20 + box.height > innerHeight ? event.clientY - box.height - 14 : event.clientY + 20) + "px";
}

function summary(round) {
  const drafted = draftedIn(round), wrote = counted(round.tokens.length, "token") + " written";
  const how = round.looked_up ? "looked-up" : "drafted";
  if (!drafted) return drafterOf(text) ? `no draft, ${wrote}` : wrote;
  return `${round.right ?? 0} of ${counted(drafted, how + " id")} accepted, ${wrote}`;
}

function choose(index) {
  for (const span of at("text").querySelectorAll(".here")) span.classList.remove("here");
  const exists = index !== null && index >= 0 && index < text.rounds.length;
  chosen = exists ? index : index === null ? null : Math.max(0, Math.min(index, text.rounds.length - 1));
  at("sheet").hidden = chosen === null;
  at("tip").hidden = true;
  if (chosen === null) return;
  at("scrub").max = text.rounds.length - 1;
  at("scrub").value = chosen;
  at("chosen").replaceChildren(card(chosen));
  for (const span of at("text").querySelectorAll(`[data-round="${chosen}"]`)) span.classList.add("here");
}

// [start, end] of the rounds of each card; neighbours without a draft share one.
function groupsOf(rounds) {
  const found = [];
  rounds.forEach((round, index) => {
    const last = found[found.length - 1];
    if (last && !draftedIn(round) && !draftedIn(rounds[index - 1])) last[1] = index + 1;
    else found.push([index, index + 1]);
  });
  return found;
}

// Legends have what occurs in this text, and nothing else.
function showLegends() {
  const { rounds } = text;
  const written = { prompt: text.prompt.length > 0, accepted: rounds.some((round) => round.accepted),
    own: rounds.some((round) => round.tokens.length > (round.accepted ?? 0)), rejected: rounds.some(rejectedOf) };
  for (const entry of at("writers").querySelectorAll("[data-kind]")) entry.hidden = !written[entry.dataset.kind];
  at("source").textContent = waysOf(acceptedOf(text), "drafted by the assistant") + ", accepted";
  at("pointing").hidden = !written.rejected;
  const kinds = new Set(groups.flatMap(([start, end]) => rowsOfGroup(start, end))
    .flatMap((row) => row.ids.map((_, place) => row.kind(place))));
  for (const entry of at("kinds").querySelectorAll("[data-kind]")) entry.hidden = !kinds.has(entry.dataset.kind);
  at("rows").textContent = !drafterOf(text) ? "What the target wrote."
    : text.assistant.name ? "The same bytes in both vocabularies: the draft, its translation for the target, what was written, and what the assistant reads."
      : "What was looked up, and what was written.";
}

// Cards for the next rounds.
function moreRounds() {
  const cards = [];
  while (cards.length < BATCH && shownGroups < groups.length) {
    const [start, end] = groups[shownGroups++];
    cards.push(end - start > 1 ? plainCard(start, end) : card(start));
  }
  at("rounds").append(...cards);
  // The observer reports changes only, and there may be room for more.
  if (cards.length && at("more").getBoundingClientRect().top < innerHeight + 600) requestAnimationFrame(moreRounds);
}

function rowsOfGroup(start, end) {
  if (end - start === 1) return rowsOf(text.rounds[start], start);
  const ids = text.rounds.slice(start, end).flatMap((round) => round.tokens);
  return [{ name: "written", voice: text.target, ids, start: start ? 0 : -text.target.lead, kind: () => "own" }];
}

function plainCard(start, end) {
  return element("div", { className: "round" },
    element("div", { className: "head" }, element("b", { textContent: `Rounds ${start + 1} to ${end}` }),
      element("span", { textContent: drafterOf(text) ? "no draft: the target wrote" : "the target wrote" })),
    inLine(rowsOfGroup(start, end)[0]));
}

function card(index) {
  const round = text.rounds[index];
  const made = element("div", { className: "round" },
    element("div", { className: "head" }, element("b", { textContent: `Round ${index + 1}` }),
      element("span", { textContent: summary(round) }),
      element("span", { textContent: duration(round.seconds ?? 0) })),
    aligned(rowsOf(round, index)));
  made.append(...remarks(round));
  return made;
}

// The rows of a round: whose ids, from which byte on (0 is where the text ended before it).
function rowsOf(round, index) {
  const accepted = round.accepted ?? 0, read = round.read ?? 0, right = round.right ?? 0, draft = draftOf(round);
  const judged = Math.min(draft.length, round.judged ?? 0);
  const ours = index ? 0 : -text.target.lead, theirs = (index ? 0 : -text.assistant.lead) - (round.held ?? 0);
  const before = round.before ?? 0, dropped = round.dropped ?? [];
  const kept = before ? [] : draft.slice(0, draft.length - dropped.length);
  const back = before ? lengthOf(text.assistant, dropped.slice(0, before)) : 0;
  const rows = [];
  if (draft.length) {
    rows.push({ name: "drafted", voice: text.assistant, ids: draft, start: theirs, sure: round.confidences,
      kind: (at) => (at < right ? "accepted" : at < judged ? "rejected" : "unjudged") });
  }
  if (draftedIn(round)) {
    rows.push({ name: draft.length ? "to the target" : "looked up", voice: text.target, ids: round.candidates ?? [], start: ours,
      kind: (at) => (at < accepted ? "accepted" : at === accepted && at < read ? "rejected" : "unjudged") });
    rows.push(...siblingRows(round, text.target, ours));
  }
  rows.push({ name: "written", voice: text.target, ids: round.tokens, start: ours, kind: (at) => (at < accepted ? "accepted" : "own") });
  if (text.assistant.name) {
    rows.push({ name: "to the assistant", voice: text.assistant, ids: [...kept, ...(round.feed ?? [])], start: theirs - back,
      kind: (at) => (at < kept.length ? "accepted" : "fed") });
  }
  return rows;
}

// Token cells over the bytes they stand for: a column a byte.
function aligned(rows) {
  const grid = element("div", { className: "aligned" });
  const first = Math.min(...rows.map((row) => row.start));
  let last = first + 1;
  rows.forEach((row, line) => {
    const name = element("span", { className: "name", textContent: row.name });
    name.style.gridArea = `${line + 1} / 1`;
    grid.append(name);
    let start = row.start;
    row.ids.forEach((id, place) => {
      const token = shown(row.voice, id), cell = cellOf(row, token, id, place);
      start = row.starts?.[place] ?? start;
      const end = start + widthOf(token);
      cell.style.gridArea = `${line + 1} / ${start - first + 2} / auto / ${end - first + 2}`;
      grid.append(cell);
      start = end;
    });
    last = Math.max(last, start);
  });
  grid.style.gridTemplateColumns = `max-content repeat(${last - first}, var(--byte))`;
  return grid;
}

// Cells one after the other, on as many lines as they need.
function inLine(row) {
  return element("div", { className: "inline" }, element("span", { className: "name", textContent: row.name }),
    ...row.ids.map((id, place) => cellOf(row, shown(row.voice, id), id, place)));
}

function cellOf(row, token, id, place) {
  const cell = element("span", { className: `cell ${row.kind(place)}${token.raw ? " raw" : ""}`, textContent: token.text });
  const sure = row.sure?.[place];
  cell.title = `${token.text}  id ${id}, ${counted(token.bytes, "byte")}${sure === undefined ? "" : `, confidence ${percent(sure)}`}`;
  if (sure !== undefined) cell.append(bar(sure));
  return cell;
}

function bar(share) {
  const made = element("i");
  made.style.width = 100 * share + "%";
  return made;
}

function remarks(round) {
  const said = [];
  const tokens = (ids) => ids.flatMap((id) => [element("code", { textContent: shown(text.assistant, id).text }), " "]);
  if (round.siblings) said.push(treeRemark(round));
  if (round.cut) said.push([CUTS[round.cut] ?? round.cut]);
  const dropped = round.dropped ?? [];
  if (text.assistant.name && dropped.length) said.push([`The assistant dropped `, ...tokens(dropped), `because ${CAUSES[round.cause] ?? round.cause}.`]);
  const unread = (round.candidates ?? []).length - (round.read ?? 0);
  if (unread > 0) said.push([`Candidates left out of the pass, whose width is rounded down: ${unread}.`]);
  return said.map((parts) => element("p", { className: "why" }, ...parts));
}

main();
