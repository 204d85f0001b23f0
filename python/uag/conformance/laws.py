"""Finds texts on which the core differs from its tokenizer, and shortens them.

The tokenizer is the slow but simple reference: every law is stated by encoding whole texts with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import tokenizers

from uag._core import Bridge, CoreError, IncrementalEncoder, Tokenizer
from uag.translation.detokenizer import TextBytes
from uag.translation.self_check import ids_of, misspelled, space_before, spells
from uag.translation.tokenizers import plain_copy

# Families whose decoders put spaces between tokens: there these are not part of a token's bytes.
OF_WORDS = ("WordPiece", "WordLevel", "BPE")
# Most characters of the prompt and of the draft on which candidates are tried.
PROMPT, DRAFT = 400, 120
# Probability that a growing text is shortened at a step.
BACK = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """A text that breaks a law.

    Attributes:
        law: the law: `ids`, `stream`, `bytes` or `candidates`.
        text: the text.
        expected: the tokenizer's result, from about the first difference on.
        found: the core's result.
    """

    law: str
    text: str
    expected: str
    found: str


@dataclass(slots=True)
class Tally:
    """Counts of what was compared, and the differences found.

    Attributes:
        texts, bytes, tokens: how much was compared.
        changed: texts that the tokenizer itself does not decode unchanged, as it normalizes them or
            does not know some characters. Their ids are compared if the core claims to be exact.
        unclaimed: texts for which the core does not claim that its ids are the tokenizer's.
        special: texts that contain a special token, which both must read as plain text.
        failed: texts on which the tokenizer itself fails; the other counts leave them out.
        different: texts that break a law.
        differences: for each broken law the first text that breaks it, shortened.
    """

    texts: int = 0
    bytes: int = 0
    tokens: int = 0
    changed: int = 0
    unclaimed: int = 0
    special: int = 0
    failed: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])


class TokenizerFailedError(Exception):
    """The tokenizer itself fails on a text."""


class Laws:
    """The laws that a core's tokenizer must satisfy for every text, given the original tokenizer.

    >>> from uag.translation.core_tokenizer import core_tokenizer
    >>> laws = Laws(core_tokenizer(target_tokenizer), target_tokenizer.backend_tokenizer)
    >>> laws.compare(["Once upon a time"]).different
    0
    """

    def __init__(self, core: Tokenizer, tokenizer: tokenizers.Tokenizer, seed: int = 0) -> None:
        self._core = core
        self._tokenizer = plain_copy(tokenizer.to_str())
        self._seed = seed
        self._bridge = Bridge(core, core, [])
        added = tokenizer.get_added_tokens_decoder()
        self._specials = [token.content for token in added.values() if token.special]
        self._misspelled = misspelled(self._tokenizer)
        self._space = space_before(self._tokenizer)
        self._laws: dict[str, Callable[[str, Random], Difference | None]] = {
            "ids": self._ids,
            "stream": self._stream,
            "bytes": self._bytes,
            "candidates": self._candidates,
        }

    def compare(self, texts: Iterator[str] | list[str]) -> Tally:
        """Check all laws on all texts."""
        tally = Tally()
        for text in texts:
            try:
                expected = self._encode(text)
            except TokenizerFailedError:
                tally.failed += 1
                continue
            tally.texts += 1
            tally.bytes += len(text.encode())
            tally.tokens += len(expected)
            tally.changed += self._tokenizer.decode(expected) != text
            tally.unclaimed += not self._claims(text)
            tally.special += any(special in text for special in self._specials)
            broken = list(self.broken(text))
            tally.different += bool(broken)
            known = {difference.law for difference in tally.differences}
            tally.differences += [
                self.shortest(difference) for difference in broken if difference.law not in known
            ]
        return tally

    def broken(self, text: str) -> Iterator[Difference]:
        """A difference for each law that the text breaks."""
        for law in self._laws:
            difference = self._broken(law, text, self._seed)
            if difference is not None:
                yield difference

    def _broken(self, law: str, text: str, seed: int) -> Difference | None:
        try:
            return self._laws[law](text, Random(seed))
        except TokenizerFailedError:
            return None
        except (CoreError, ValueError) as error:
            # On the slow path the tokenizer itself may have failed on a part of the text.
            if not self._core.fast and not isinstance(error, CoreError):
                return None
            return Difference(law, text, "no error", str(error))

    def shortest(self, difference: Difference) -> Difference:
        """The same law broken by a text from which no single character can be left out."""

        def found(text: str) -> Difference | None:
            # Laws cut texts at random places, so a shorter text is tried with several seeds.
            seeds = range(self._seed, self._seed + max(4, min(64, 40_000 // (len(text) + 1))))
            tried = (self._broken(difference.law, text, seed) for seed in seeds)
            return next((one for one in tried if one is not None), None)

        return found(shrink(difference.text, lambda text: found(text) is not None)) or difference

    def _encode(self, text: str) -> list[int]:
        ids = ids_of(self._tokenizer, text)
        if ids is None:
            raise TokenizerFailedError
        return ids

    def _claims(self, text: str) -> bool:
        stream = IncrementalEncoder(self._core)
        try:
            stream.append(text.encode())
        except (CoreError, ValueError):  # reported when the laws are checked
            return True
        return stream.exact

    def _ids(self, text: str, _: Random) -> Difference | None:
        """The core's ids are the tokenizer's, if the core claims to be exact."""
        stream = IncrementalEncoder(self._core)
        stream.append(text.encode())
        if stream.exact:
            return self._unequal("ids", text, self._encode(text), stream.ids)
        return None

    def _stream(self, text: str, random: Random) -> Difference | None:
        """Ids, ends and `exact` depend only on the text, not on how it has grown and shrunk."""
        data, stream = text.encode(), IncrementalEncoder(self._core)
        size = max(6, len(data) // (1000 if self._core.fast else 8))
        check_rate = 3 * size / max(1, len(data))
        while stream.text != data:
            before = stream.ids if random.random() < check_rate else None
            if len(stream) and random.random() < BACK:
                stable = stream.truncate(len(stream) - random.randrange(min(len(stream), 40) + 1))
            else:
                piece = data[len(stream) : len(stream) + random.randint(1, 2 * size)]
                stable = stream.append(piece)
            if before is not None:
                if before[:stable] != stream.ids[:stable]:
                    return self._unequal("stream", text, before[:stable], stream.ids)
                if (difference := self._midway(text, stream)) is not None:
                    return difference
        whole = IncrementalEncoder(self._core)
        whole.append(data)
        if (whole.exact, whole.ends) != (stream.exact, stream.ends):
            return Difference(
                "stream",
                text,
                f"exact: {whole.exact}, ends: {whole.ends}",
                f"exact: {stream.exact}, ends: {stream.ends}",
            )
        return self._unequal("stream", text, whole.ids, stream.ids)

    def _midway(self, text: str, stream: IncrementalEncoder) -> Difference | None:
        """Between two changes, a stream's ids, ends and held bytes fit its text."""
        data = stream.text
        complete = data.decode(errors="ignore")
        held = data[len(complete.encode()) :]
        ends = stream.ends
        covered = len(data) - len(held)
        if stream.held != held or sorted(ends) != ends or ends[-1:] > [covered]:
            return Difference(
                "stream",
                text,
                f"after {len(data)} bytes: {held!r} held, no token beyond {covered}",
                f"{stream.held!r} held, tokens end at {ends[-3:]}",
            )
        if not stream.exact:
            return None
        return self._unequal("stream", text, self._encode(complete), stream.ids)

    def _bytes(self, text: str, _: Random) -> Difference | None:
        """The bytes of the ids spell what the tokenizer decodes them to."""
        ids = self._encode(text)
        decoded = self._tokenizer.decode(ids)
        spelled = TextBytes(self._core).add(ids).decode(errors="replace")
        if self._core.family in OF_WORDS:
            decoded, spelled = "".join(decoded.split()), "".join(spelled.split())
        if spells(spelled, decoded, self._space) or not self._misspelled.isdisjoint(ids):
            return None
        return Difference("bytes", text, repr(decoded), repr(spelled))

    def _candidates(self, text: str, random: Random) -> Difference | None:
        """Candidates spell the text after a prompt; if `exact`, they are the tokenizer's ids."""
        cut = int(random.random() * (min(len(text), PROMPT) + 1))
        prompt, rest = text[:cut], text[cut : cut + random.randint(1, DRAFT)]
        ids, whole = self._encode(prompt), self._encode(prompt + rest)
        # Translation starts with the text that the ids spell; normalization may have changed it.
        if TextBytes(self._core).add(ids) != prompt.encode():
            return None
        proposal = self._bridge.start(ids, ids).propose([], rest.encode())
        spelled = TextBytes(self._core).add(ids + proposal.ids)
        if not proposal.cut and self._core.fast and spelled != (prompt + rest).encode():
            shown = repr(spelled.decode(errors="replace"))
            return Difference("candidates", prompt + rest, repr(prompt + rest), shown)
        if proposal.exact:
            return self._unequal("candidates", prompt + rest, whole, ids + proposal.ids)
        return None

    @staticmethod
    def _unequal(law: str, text: str, expected: list[int], found: list[int]) -> Difference | None:
        if expected == found:
            return None
        pairs = zip(expected, found, strict=False)
        start = next((at for at, (a, b) in enumerate(pairs) if a != b), -1)
        if start < 0:
            start = min(len(expected), len(found))
        part = slice(max(0, start - 1), start + 8)
        more = f" from the {max(0, start - 1)}th on" if start > 1 else ""
        return Difference(law, text, f"{expected[part]}{more}", f"{found[part]}{more}")


def shrink(text: str, fails: Callable[[str], bool]) -> str:
    """A shorter text that still fails, by delta debugging (Zeller and Hildebrandt 2002).

    >>> shrink("Once upon a time", lambda text: "p" in text and "t" in text)
    'pt'
    """
    size = len(text)
    while size:
        size = (size + 1) // 2
        start, whole = 0, text
        while start < len(text):
            shorter = text[:start] + text[start + size :]
            if fails(shorter):
                text = shorter
            else:
                start += size
        if size == 1 and text == whole:
            break
    return text
