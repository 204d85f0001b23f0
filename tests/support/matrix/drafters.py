"""Who drafts in a case, knowing most of the text to come."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.matrix.cases import Case
from tests.support.matrix.models import Pair
from uag import Lookup, SpeculativeDecoder
from uag.translation.detokenizer import TextBytes


def decoder_for(case: Case, pair: Pair, texts: list[list[int]]) -> SpeculativeDecoder:
    """The decoder of a case, whose drafters know most of the texts to come."""
    start = SpeculativeDecoder(pair.model, pair.tokenizer)
    known_texts = [TextBytes(start.bridge.target).add(text) for text in texts]
    assistant: Any = pair.assistant
    known = Lookup([misspelled(text) for text in known_texts])
    match case.assistant:
        case "lookup":
            assistant = known
        case "drafter":
            assistant = KnowingDrafter(known_texts)
        case _ if pair.script is not None:
            ids = [pair.other(text.decode(errors="replace"))["input_ids"] for text in known_texts]
            pair.script.set_texts(ids)
    return SpeculativeDecoder(
        pair.model,
        pair.tokenizer,
        assistant,
        pair.other if assistant is not None and case.assistant != "lookup" else None,
        lookup=known if case.lookup == "beside" else False,
        lookahead=_lookahead(case),
        tree=int(case.tree),
        sampling="rejection" if case.draws == "rejection" else "coupled",
        compile="eager" if case.engine == "compiled" else False,
    )


def misspelled(text: bytes) -> bytes:
    """With every 13th character another one.

    >>> misspelled(b"Once upon a time there")
    b'Once upon a ~ime there'
    """
    return b"".join(b"~" if at % 13 == 12 else bytes([byte]) for at, byte in enumerate(text))


class KnowingDrafter:
    """A `uag.Drafter` that knows the texts to come, nearly."""

    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts

    def propose(self, text: bytes, ids: Any, k: int) -> bytes:
        whole = next((whole for whole in self._texts if whole.startswith(text)), b"")
        more = whole[len(text) : len(text) + 3 * k]
        return more[: len(more) // 2] + b"~" if len(text) % 4 == 0 else more


@dataclass
class RandomLookahead:
    """A `Lookahead` whose drafts have any length, or none."""

    seed: int
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def start(self) -> None:
        self._random = Random(self.seed)

    def next_k(self) -> int:
        return self._random.choice([0, 1, 2, 3, 7, 24])

    def goes_on(self) -> None:
        return None

    def update(self, done: Any) -> None:
        pass


def _lookahead(case: Case) -> Any:
    if case.lookahead == "wild":
        return RandomLookahead(case.seed)
    return int(case.lookahead) if case.lookahead.isdigit() else case.lookahead
