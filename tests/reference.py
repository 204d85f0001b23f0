"""The slow obvious translation: whole texts, encoded again every time by the real tokenizer.

`ReferenceTokenizer`, `ReferenceBridge` and `ReferenceSequence` have the interface of `uag._core`
and define what it must compute. They take time proportional to the text in every round and handle
the tokenizers that the tests make: byte-level BPE and SentencePiece-style BPE with byte fallback.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import tokenizers

SPACE = "\u2581"


def byte_alphabet() -> dict[str, int]:
    """The characters by which byte-level tokenizers write bytes."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


ALPHABET = byte_alphabet()


class ReferenceTokenizer:
    """A tokenizer as `uag._core.Tokenizer` shows it."""

    fast = False
    reason = "the reference"
    family = "reference"

    def __init__(
        self, serialised: str, encode: Callable[[str], list[tuple[int, int, int]]] | None = None
    ) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_str(serialised)
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        described = json.loads(serialised)
        self._byte_level = '"ByteLevel"' in json.dumps(
            [described["pre_tokenizer"], described["decoder"]]
        )
        self._leading_space = '"Prepend"' in json.dumps(described["normalizer"])
        self._special = {token["id"] for token in described["added_tokens"] if token["special"]}
        self._tokens = {id: token for token, id in self._tokenizer.get_vocab().items()}
        self.vocab_size = max(self._tokens) + 1
        self._ids_by_bytes = {
            data: id for id in sorted(self._tokens, reverse=True) if (data := self.token_bytes(id))
        }

    def is_special(self, id: int) -> bool:
        return id in self._special

    def token_bytes(self, id: int) -> bytes | None:
        token = self._tokens.get(id)
        if token is None or id in self._special:
            return None
        if self._byte_level:
            return bytes(ALPHABET[character] for character in token)
        if len(token) == 6 and token.startswith("<0x"):
            return bytes([int(token[3:5], 16)])
        return token.replace(SPACE, " ").encode()

    def text(self, ids: list[int]) -> bytes:
        """The bytes of ids that begin a text: without the space that the tokenizer puts there."""
        data = b"".join(self.token_bytes(id) or b"" for id in ids)
        return data[1:] if self._leading_space and data.startswith(b" ") else data

    def encode(self, data: bytes) -> list[int]:
        """The tokenizer's ids of a whole text; bytes that are no text one by one."""
        try:
            return self._tokenizer.encode(data.decode(), add_special_tokens=False).ids
        except UnicodeDecodeError as error:
            return [
                *(self.encode(data[: error.start]) if error.start else []),
                *self.cover(data[error.start : error.end]),
                *(self.continuation(data[error.end :])),
            ]

    def cover(self, data: bytes) -> list[int]:
        """Ids for bytes, the longest token first; what no token covers is left out."""
        ids: list[int] = []
        while data:
            size = next(
                (size for size in range(len(data), 0, -1) if data[:size] in self._ids_by_bytes),
                None,
            )
            if size is None:
                break
            ids.append(self._ids_by_bytes[data[:size]])
            data = data[size:]
        return ids

    def continuation(self, data: bytes) -> list[int]:
        """Ids for bytes that do not begin a text."""
        if not self._leading_space:
            return self.encode(data) if data else []
        # Behind a line end nothing merges with what follows, and no space is put before it.
        whole, before = self.encode(b"\n" + data), self.encode(b"\n")
        return whole[len(before) :] if whole[: len(before)] == before else self.cover(data)


@dataclass(frozen=True)
class Proposal:
    ids: list[int]
    draft_ends: list[int]
    exact: bool
    cut: str


@dataclass(frozen=True)
class Edit:
    keep: int
    feed: list[int]
    cause: str


@dataclass
class Side:
    """One vocabulary's ids: up to the last special token, and the open text behind it."""

    tokenizer: ReferenceTokenizer
    head: list[int]
    open_ids: list[int]

    @classmethod
    def of(cls, tokenizer: ReferenceTokenizer, ids: list[int]) -> "Side":
        last = max(
            (index for index, id in enumerate(ids) if tokenizer.token_bytes(id) is None), default=-1
        )
        return cls(tokenizer, ids[: last + 1], ids[last + 1 :])

    @property
    def ids(self) -> list[int]:
        return self.head + self.open_ids

    @property
    def text(self) -> bytes:
        return self.tokenizer.text(self.open_ids)

    def text_behind(self, ids: list[int]) -> bytes:
        """The bytes that ids add to the text."""
        return self.tokenizer.text(self.open_ids + ids)[len(self.text) :]


class ReferenceSequence:
    """One text in both vocabularies, as `uag._core.Sequence`."""

    def __init__(
        self, bridge: "ReferenceBridge", target_ids: list[int], assistant_ids: list[int]
    ) -> None:
        self._bridge = bridge
        self._target = Side.of(bridge.target, target_ids)
        self._assistant = Side.of(bridge.assistant, assistant_ids)
        self._assistant_text = self._assistant.text
        self._held = b""
        self._draft: list[int] = []

    @property
    def target_ids(self) -> list[int]:
        return self._target.ids

    @property
    def assistant_ids(self) -> list[int]:
        return self._assistant.ids

    def propose(self, draft_ids: list[int]) -> Proposal:
        self._draft = list(draft_ids)
        assistant = self._bridge.assistant
        ends, data, cut, special = [], b"", "", None
        for count, id in enumerate(draft_ids):
            if assistant.token_bytes(id) is None:
                special = self._bridge.to_target.get(id)
                cut = "special" if special is not None else "no text"
                break
            drafted = [*self._assistant.open_ids, *draft_ids[: count + 1]]
            data = assistant.text(drafted)[len(self._assistant.text) :]
            ends.append(len(data))
        if not data.startswith(self._held[: len(data)]):
            return Proposal([], [], exact=False, cut="mismatch")
        data = data[len(self._held) :]
        finished = len(data) - unfinished(self._target.text + data)
        if finished < len(data):
            cut, special = "unfinished", None
        data = data[: max(finished, 0)]
        ids, exact = self._continue_target(data)
        draft_ends = []
        for count in range(len(ids)):
            size = len(self._held) + len(self._target.text_behind(ids[: count + 1]))
            draft_ends.append(next(drafts for drafts, end in enumerate(ends, 1) if end >= size))
        if special is not None:
            ids, draft_ends = [*ids, special], [*draft_ends, len(ends) + 1]
        return Proposal(ids, draft_ends, exact, cut)

    def _continue_target(self, data: bytes) -> tuple[list[int], bool]:
        """Ids for `data` behind the committed ids: the tokenizer's own where a boundary agrees."""
        target = self._target
        whole = target.tokenizer.encode(target.text + data)
        for count in range(len(whole) + 1):
            agrees = target.tokenizer.text(whole[:count]) == target.text
            if agrees and target.text_behind(whole[count:]) == data:
                return whole[count:], whole[:count] == target.open_ids
        candidates = target.tokenizer.continuation(data)
        return (candidates, False) if target.text_behind(candidates) == data else ([], False)

    def commit(self, target_ids: list[int]) -> Edit:
        old = self._assistant.ids + self._draft
        text = self._assistant_text + self._held
        for id in target_ids:
            piece = self._bridge.target.token_bytes(id)
            if piece is not None:
                text += self._target.text_behind([id])
                self._target.open_ids.append(id)
                continue
            self._target = Side(self._bridge.target, [*self._target.ids, id], [])
            if (paired := self._bridge.to_assistant.get(id)) is not None:
                complete = text[: len(text) - unfinished(text)]
                head = self._assistant.head + self._bridge.assistant.encode(complete)
                self._assistant = Side(self._bridge.assistant, [*head, paired], [])
                text = b""
        held = unfinished(text)
        self._assistant_text, self._held = text[: len(text) - held], text[len(text) - held :]
        if target_ids:
            self._assistant.open_ids = self._bridge.assistant.encode(self._assistant_text)
        new = self._assistant.ids
        keep = next(
            (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b),
            min(len(old), len(new)),
        )
        self._draft = []
        return Edit(keep, new[keep:], "" if keep == len(old) else "text")


class ReferenceBridge:
    """A pair of tokenizers, as `uag._core.Bridge`."""

    def __init__(
        self,
        target: ReferenceTokenizer,
        assistant: ReferenceTokenizer,
        special_pairs: list[tuple[int, int]],
    ) -> None:
        self.target, self.assistant = target, assistant
        # The first pair speaks for an id that is in several.
        self.to_assistant = dict(reversed(special_pairs))
        self.to_target = {
            assistant_id: target_id for target_id, assistant_id in reversed(special_pairs)
        }

    def start(self, target_ids: list[int], assistant_ids: list[int]) -> ReferenceSequence:
        return ReferenceSequence(self, list(target_ids), list(assistant_ids))


def unfinished(data: bytes) -> int:
    """How many bytes at the end begin a character and do not finish it."""
    for size in range(1, min(3, len(data)) + 1):
        lead = data[-size]
        if lead & 0xC0 == 0x80:
            continue
        needed = (
            2
            if lead >> 5 == 0b110
            else 3
            if lead >> 4 == 0b1110
            else 4
            if lead >> 3 == 0b11110
            else 1
        )
        return size if needed > size else 0
    return 0
