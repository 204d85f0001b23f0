// What was verified beside the candidates of a round, where these are a path of a tree.

// Rows of siblings: each stands over the bytes for which it would have stood.
function siblingRows(round, voice, begin) {
  const rows = [];
  for (const branch of branchesOf(round, voice, begin)) {
    let row = rows.find((each) => each.end < branch.start);
    if (!row) rows.push(row = { name: rows.length ? "" : "or instead", voice, ids: [], starts: [], start: branch.start, kind: () => "sibling" });
    row.ids.push(...branch.ids);
    row.starts.push(...branch.starts);
    row.end = branch.end;
  }
  return rows;
}

// Siblings and what follows each, from the left to the right.
function branchesOf(round, voice, begin) {
  const ends = [], found = [];
  const add = (after, id) => {
    const start = after < 0 ? begin : ends[after];
    ends.push(start + widthOf(shown(voice, id)));
    return start;
  };
  (round.candidates ?? []).slice(0, round.read ?? 0).forEach((id, place) => add(place - 1, id));
  for (const [after, id] of round.siblings ?? []) {
    const place = ends.length, start = add(after, id);
    let branch = found.find((each) => each.last === after);
    if (!branch) found.push(branch = { ids: [], starts: [], start });
    branch.ids.push(id);
    branch.starts.push(start);
    [branch.last, branch.end] = [place, ends[place]];
  }
  return found.sort((one, other) => one.start - other.start);
}

function treeRemark(round) {
  const verified = (round.read ?? 0) + (round.siblings ?? []).length, beside = round.beside ?? 0;
  const parts = [`The target verified a tree of ${counted(verified, "candidate")} in one pass.`];
  if (beside) parts.push(` ${counted(beside, "accepted token")} stood beside the draft.`);
  return parts;
}
