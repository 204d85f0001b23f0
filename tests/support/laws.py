"""The laws of translation between two vocabularies, checked against the real tokenizers.

`play` runs a sequence as an engine would, with drafts that are right, wrong or partly right,
acceptance anywhere, ids that no tokenizer would give, and special tokens. The expectations are
computed round by round, the slow way: whole texts, encoded again every time by the `tokenizers`
library.
"""

from collections import Counter
from random import Random

from tests.support.real_tokenizer import RealTokenizer, held
from uag import _core


class Player:
    """One sequence, followed in the slow way."""

    def __init__(
        self,
        target: RealTokenizer,
        assistant: RealTokenizer,
        pairs: list[tuple[int, int]],
        rng: Random,
    ) -> None:
        self.target, self.assistant, self.pairs, self.rng = target, assistant, dict(pairs), rng
        self.bridge = _core.Bridge(target.core, assistant.core, pairs)
        self.counts: Counter[str] = Counter()

    def random_split(self, oracle: RealTokenizer, data: bytes) -> list[int]:
        """Ids that spell `data`, not those that the tokenizer would give."""
        by_bytes = oracle.__dict__.setdefault(
            "by_bytes", {data: id for id, data in oracle.bytes.items()}
        )
        ids: list[int] = []
        while data:
            sizes = [size for size in range(1, min(len(data), 12) + 1) if data[:size] in by_bytes]
            if not sizes:
                break
            size = self.rng.choice(sizes)
            ids.append(by_bytes[data[:size]])
            data = data[size:]
        return ids

    def start(self, prompt: str, *, canonical: bool) -> None:
        t_ids, a_ids = self.target.encode(prompt), self.assistant.encode(prompt)
        if not canonical:
            t_ids = self.random_split(self.target, prompt.encode())
            a_ids = self.random_split(self.assistant, prompt.encode())
        t_head = (
            [self.rng.choice(list(self.pairs))] if self.pairs and self.rng.random() < 0.5 else []
        )
        a_head = [self.pairs[t_head[0]]] if t_head else []
        self.t_head, self.t_ids, self.t_start = t_head, t_ids, self.target.takes_space(t_ids)
        self.a_head, self.a_start = a_head, self.assistant.takes_space(a_ids)
        # A prompt whose special tokens were part of its text has no whole text to compare with.
        self.t_known = not (t_head and self.target.prefix_first)
        self.a_known = not (a_head and self.assistant.prefix_first)
        self.sequence = self.bridge.start(t_head + t_ids, a_head + a_ids)
        self.a_text = self.assistant.text(a_ids, start=self.a_start)
        # Nor has a prompt that isn't its text's encoding: it is kept as it is.
        self.a_open = canonical and self.faithful_prompt(a_ids)
        self.t_open = self.target.faithful(self.t_text()) is not None
        assert self.sequence.target_ids == t_head + t_ids
        assert self.sequence.assistant_ids == a_head + a_ids

    def faithful_prompt(self, a_ids: list[int]) -> bool:
        text = self.assistant.faithful(self.a_text)
        return text is not None and self.assistant.encode(text) == a_ids

    def t_text(self, more: list[int] | None = None) -> bytes:
        return self.target.text([*self.t_ids, *(more or [])], start=self.t_start)

    def propose(self, draft: list[int]) -> list[int]:
        """Checks a proposal; returns its ids."""
        assistant = self.assistant
        proposal = self.sequence.propose(draft)
        back = {a: t for t, a in reversed(self.pairs.items())}
        plain = next(
            (i for i, id in enumerate(draft) if id in back or id not in assistant.bytes), len(draft)
        )
        ends = [
            len(assistant.text(draft[: i + 1], start=self.a_start and not self.a_text))
            for i in range(plain)
        ]
        drafted = assistant.text(draft[:plain], start=self.a_start and not self.a_text)
        carry = (
            self.a_text[len(self.a_text) - held(self.a_text) :]
            if self.a_open
            else self.sequence_held()
        )
        if not drafted.startswith(carry):
            assert proposal.ids == []
            return []
        data = drafted[len(carry) :]
        ids = list(proposal.ids)
        if plain < len(draft) and draft[plain] in back and proposal.cut == "":
            assert ids.pop() == back[draft[plain]]
            assert proposal.draft_ends[-1] == plain + 1
        before = self.t_text()
        spelled = self.t_text(ids)[len(before) :]
        assert self.t_text(ids).startswith(before)
        assert data.startswith(spelled), (data, spelled)
        if proposal.cut in ("", "special", "no text"):
            assert spelled == data, (proposal, data, spelled)
        for i, end in enumerate(proposal.draft_ends[: len(ids)]):
            size = len(self.t_text(ids[: i + 1])) - len(before) + len(carry)
            assert end == next(j for j, e in enumerate(ends, 1) if e >= size)
        self.check_exact(proposal, before + data, ids)
        return list(proposal.ids)

    def sequence_held(self) -> bytes:
        return self.a_text[len(self.a_text) - held(self.a_text) :]

    def check_exact(self, proposal: _core.Proposal, whole: bytes, ids: list[int]) -> None:
        complete = whole[: len(whole) - held(whole)]
        text = self.target.faithful(complete)
        if text is None or not self.t_known:
            assert not proposal.exact or text is not None
            self.counts["no whole text"] += 1
            return
        expected = self.target.encode(text)
        canonical = expected[: len(self.t_ids)] == self.t_ids
        if proposal.cut == "not representable":
            assert not proposal.exact
            self.counts["not representable"] += 1
        elif proposal.exact:
            assert canonical, (text[-60:], self.t_ids[-5:], expected[-8:])
            assert (self.t_ids + ids)[: len(expected)] == expected, (
                text[-60:],
                self.t_ids[-5:],
                ids,
                expected[-8:],
            )
            self.counts["exact"] += 1
        else:
            assert not canonical, (
                "exact after all",
                text[-60:],
                self.t_ids[-5:],
                ids,
                expected[-8:],
            )
            # The first token may be nothing but the space that is put before a text.
            prefixes = range(1, len(expected) + 1) if self.t_ids else range(1)
            boundary = max(
                (k for k in prefixes if self.t_bytes(expected[:k]) == self.t_text()), default=None
            )
            if boundary is not None:
                assert ids[: len(expected) - boundary] == expected[boundary:], (
                    text[-60:],
                    ids,
                    expected[boundary:],
                )
                self.counts["tail"] += 1
            else:
                self.counts["forced"] += 1

    def t_bytes(self, ids: list[int]) -> bytes:
        if any(id not in self.target.bytes for id in ids):
            return b"\0no text"
        return self.target.text(ids, start=self.t_start)

    def commit(self, cached: list[int], ids: list[int]) -> None:
        """Checks a commit of `ids` when the assistant's cache holds `cached`."""
        target, assistant = self.target, self.assistant
        edit = self.sequence.commit(ids)
        new = self.sequence.assistant_ids
        for id in ids:
            before = self.t_text()
            if id in target.bytes and id not in self.pairs:
                self.t_ids.append(id)
                self.a_text += self.t_text()[len(before) :]
                continue
            self.t_head, self.t_ids = [*self.t_head, *self.t_ids, id], []
            self.t_start = target.prefix
            # Without the rule for the start of a text there is none to encode as the library would.
            self.t_known = target.prefix or not target.prefix_first
            if id in self.pairs:
                if (open_ids := self.open_ids()) is not None:
                    assert new[len(self.a_head) :][: len(open_ids) + 1] == [
                        *open_ids,
                        self.pairs[id],
                    ]
                    self.a_head = [*self.a_head, *open_ids, self.pairs[id]]
                else:
                    self.a_head = new[: new.index(self.pairs[id], len(self.a_head)) + 1]
                self.a_text, self.a_start, self.a_open = b"", assistant.prefix, True
                self.a_known = assistant.prefix or not assistant.prefix_first
        assert self.sequence.target_ids == self.t_head + self.t_ids
        assert cached[: edit.keep] + list(edit.feed) == new
        same = next(
            (i for i, (a, b) in enumerate(zip(cached, new, strict=False)) if a != b),
            min(len(cached), len(new)),
        )
        assert edit.keep == same, (edit, cached[-12:], new[-12:])
        assert (edit.cause == "") == (edit.keep == len(cached))
        self.counts[f"cause {edit.cause or 'none'}"] += 1
        if (expected := self.open_ids()) is not None:
            assert new[len(self.a_head) :] == expected, (self.a_text[-60:], new[-8:], expected[-8:])
        self.counts["assistant compared" if expected is not None else "assistant not compared"] += 1

    def open_ids(self) -> list[int] | None:
        """The assistant's ids for its open text, where there is a whole text to encode."""
        complete = self.a_text[: len(self.a_text) - held(self.a_text)]
        text = self.assistant.faithful(complete)
        return (
            self.assistant.encode(text)
            if text is not None and self.a_known and self.a_open
            else None
        )


def play(player: Player, text: str, rounds: int) -> None:
    """One sequence through `text`."""
    rng = player.rng
    cut = rng.randrange(min(len(text), 200) + 1)
    # The assistant's and the target's prompt are the same text, mostly as their tokenizers give it.
    # Half of the targets write as their tokenizers would; the others emit whatever spells the
    # text, or doesn't.
    tidy = rng.random() < 0.5
    player.start(text[:cut], canonical=tidy or rng.random() < 0.6)
    rest = text[cut:].encode()
    for _ in range(rounds):
        if not rest:
            break
        draft = _draft(player, rest)
        cached = player.sequence.assistant_ids + draft
        candidates = player.propose(draft)
        if rng.random() < 0.1:  # the engine may change its mind: the last proposal counts
            draft = _draft(player, rest)
            cached = player.sequence.assistant_ids + draft
            candidates = player.propose(draft)
        if tidy:
            emitted = _canonical(player, rest)[: rng.randrange(1, 8)]
        else:
            emitted = candidates[: rng.randrange(len(candidates) + 1)] + _own(player, rest)
        before = len(player.a_text)
        heads = len(player.a_head)
        player.commit(cached, emitted)
        if len(player.a_head) == heads:
            new = player.a_text[before:]
            rest = rest.removeprefix(new)
        player.counts["rounds"] += 1


def _draft(player: Player, rest: bytes) -> list[int]:
    rng, assistant = player.rng, player.assistant
    size = rng.randrange(1, 40)
    upcoming = player.sequence_held() + rest[:size]
    if rng.random() < 0.7:
        whole = assistant.encode(
            player.a_text.decode(errors="ignore")[-200:] + rest[:size].decode(errors="ignore")
        )
        ids = [id for id in whole[-rng.randrange(1, 12) :] if id in assistant.bytes]
        # Mostly the ids that spell what comes, sometimes others.
        ids = player.random_split(assistant, upcoming) if rng.random() < 0.6 else ids
    else:
        ids = player.random_split(assistant, upcoming)
    ids = ids[: rng.randrange(0, 10)]
    if rng.random() < 0.3:
        ids += [rng.choice(assistant.plain) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.05:
        ids.append(
            rng.choice([*assistant.specials, max(assistant.plain) + 1000, *player.pairs.values()])
        )
    return ids


def _canonical(player: Player, rest: bytes) -> list[int]:
    """The ids that the target's tokenizer goes on with, if it would have given those so far.

    Else any that spell the text.
    """
    whole = player.target.encode((player.t_text() + rest[:80]).decode(errors="ignore"))
    ids = whole[len(player.t_ids) :] if whole[: len(player.t_ids)] == player.t_ids else []
    ids = [id for id in ids if id in player.target.bytes]
    return (
        ids
        or player.random_split(player.target, rest[:16])
        or [player.rng.choice(player.target.plain)]
    )


def _own(player: Player, rest: bytes) -> list[int]:
    rng, target = player.rng, player.target
    roll = rng.random()
    if roll < 0.03:
        return [rng.choice([*target.specials, max(target.plain) + 1000, *player.pairs])]
    if roll < 0.15:
        return [rng.choice(target.plain)]
    ids = (
        player.random_split(target, rest[:16])
        if roll < 0.4
        else target.encode(rest[:24].decode(errors="ignore"))
    )
    return [id for id in ids[:1] if id in target.bytes]
