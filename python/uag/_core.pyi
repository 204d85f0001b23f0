"""Translation between the token ids of two tokenizers: the Rust core.

The interchange is bytes. Nothing here knows models; `uag.Bridge` makes these objects from Hugging
Face tokenizers.
"""

from collections.abc import Callable
from typing import final

__all__ = [
    "Bridge",
    "CoreError",
    "Edit",
    "Found",
    "IncrementalEncoder",
    "Proposal",
    "Search",
    "Texts",
    "Tokenizer",
    "Translation",
    "TreeProposal",
    "UnsupportedTokenizer",
]

class UnsupportedTokenizer(ValueError):  # noqa: N818 # the name in Rust
    """A part of the tokenizer that neither the incremental path nor the fallback can handle.

    The message names it.
    """

class CoreError(RuntimeError):
    """A bug in the core. The object that raised it is unusable, and says so; others go on.

    A `Translation` is unusable after any error.
    """

@final
class Tokenizer:
    """A compiled tokenizer: immutable, and safe to share between threads."""

    def __new__(
        cls,
        json: str,
        encode: Callable[[str], list[tuple[int, int, int]]] | None = None,
        slow_reason: str | None = None,
    ) -> Tokenizer:
        """Compile what `tokenizers.Tokenizer.to_str()` writes.

        Args:
            json: the serialised tokenizer.
            encode: the real tokenizer, for what the incremental path does not know: a text to
                `(id, start, end)` in characters, with no special token added or recognised.
            slow_reason: go through `encode` in any case, and give this as the `reason`.

        Raises:
            UnsupportedTokenizer: if a part is unknown and there is no `encode`, or even the bytes
                of its tokens are.
            ValueError: if `json` is no tokenizer.
        """
    @property
    def vocab_size(self) -> int:
        """The highest id + 1."""
    @property
    def fast(self) -> bool:
        """Whether texts are encoded incrementally, in time proportional to what is new."""
    @property
    def reason(self) -> str:
        """Why not: the part of the tokenizer; empty if `fast`."""
    @property
    def family(self) -> str:
        """What people call it: how the model works and its vocabulary is spelled.

        `byte-level BPE`, `SentencePiece-style BPE`, `Unigram`, `WordPiece`, `WordLevel` or `BPE`
        (of another kind).
        """
    def token_bytes(self, id: int) -> bytes | None:
        """The bytes of a token; `None` if it carries no text.

        That is: special, a padding row, out of range, or empty.
        """
    def is_special(self, id: int) -> bool:
        """Whether `id` is a special token."""
    def encode(self, data: bytes) -> list[int]:
        """The ids of a whole text, with no special token added or recognised.

        An unfinished character at the end has no ids yet. Releases the GIL.
        """

@final
class IncrementalEncoder:
    """One text kept encoded while it grows and shrinks. For one thread at a time."""

    def __new__(cls, tokenizer: Tokenizer, at_start: bool = True) -> IncrementalEncoder:
        """An empty text; `at_start`: where the tokenizer may put a space before it."""
    def append(self, data: bytes) -> int:
        """Append bytes; returns how many ids at the start are surely unchanged."""
    def truncate(self, length: int) -> int:
        """Keep the first `length` bytes; returns how many ids at the start are surely unchanged."""
    @property
    def ids(self) -> list[int]:
        """The ids of the text, but for an unfinished character at its end. O(n)."""
    @property
    def ends(self) -> list[int]:
        """Where each of them ends, in bytes. O(n)."""
    @property
    def text(self) -> bytes:
        """The text. O(n)."""
    @property
    def held(self) -> bytes:
        """The unfinished character at the end: 0 to 3 bytes that no id covers yet."""
    @property
    def exact(self) -> bool:
        """Whether the ids are what the tokenizer gives for the whole text."""
    def __len__(self) -> int: ...

@final
class Bridge:
    """A target's and an assistant's tokenizer: immutable, and safe to share between threads."""

    def __new__(
        cls, target: Tokenizer, assistant: Tokenizer, special_pairs: list[tuple[int, int]]
    ) -> Bridge:
        """`special_pairs`: `(target id, assistant id)` that mean the same.

        Where an id is in several, the first counts.
        """
    def start(self, target_ids: list[int], assistant_ids: list[int]) -> Translation:
        """A text that begins with a prompt, given in both vocabularies. Releases the GIL.

        Raises:
            ValueError: for an id that is negative or beyond 32 bits.
        """

@final
class Translation:
    """One growing text in both vocabularies. For one thread at a time.

    Any 32-bit id is accepted. One that carries no text (special, a padding row, out of range) ends
    the candidates in a draft; committed, it becomes its counterpart or, without one, leaves the
    assistant's text unchanged.
    """

    def propose(self, draft_ids: list[int], text: bytes | None = None) -> Proposal:
        """Candidate target ids for assistant ids that continue `assistant_ids`, and then `text`.

        Without ids, `text` continues that of the target, which may have begun a character. The last
        call before a commit counts.
        """
    def propose_tree(
        self,
        ids: list[int],
        parents: list[int],
        chances: list[float],
        held: list[int] | None = None,
        text: bytes | None = None,
        text_chances: list[float] | None = None,
    ) -> TreeProposal:
        """Candidates for a tree of drafts: one trie of target ids for all its paths.

        Each path is translated as `propose` translates a draft. The candidates are those of the
        paths to leaves. The last call before a commit counts.

        >>> a, b, dog = (target_tokenizer.encode(text)[0] for text in ("a", "b", " dog"))
        >>> bridge = uag.Bridge(target_tokenizer, target_tokenizer)
        >>> text = bridge.start([a], [a])
        >>> tree = text.propose_tree([dog, b, a], [-1, 0, -1], [0.5, 0.25, 0.375], held=[0, 1])
        >>> tree.ids == [dog, b, a], tree.parents, tree.weights
        (True, [-1, 0, -1], [0.5, 0.125, 0.375])
        >>> tree.best(2).ids == [dog, a]
        True
        >>> edit = text.commit([a])  # the assistant's cache has read " dog" and "b" after the text
        >>> edit.keep, edit.feed == [a], edit.cause
        (1, True, 'text')

        Args:
            ids: the assistant's id of each node.
            parents: the index of the node before each, which is an earlier one; -1 where the node
                continues `assistant_ids`.
            chances: the assistant's chance of each id after its parent, from 0 to 1.
            held: the nodes that the assistant's cache holds after `assistant_ids`, a path from a
                root on: what the next `Edit` begins from. By default none. Nodes that were only
                scored, as siblings of those that were drafted are, are not held.
            text: bytes that were looked up, which continue the text of the target.
            text_chances: for each of their first target ids, its chance after those before it. Ids
                without one are left out.

        Raises:
            ValueError: for lists of different lengths, a parent that is no earlier node, a `held`
                that is no path, or a chance that is not from 0 to 1. Nothing has changed then.
        """
    def commit(self, target_ids: list[int]) -> Edit:
        """Append ids the target has emitted; returns what the assistant's cache must become."""
    def __len__(self) -> int:
        """How many target ids are committed."""
    @property
    def target_ids(self) -> list[int]:
        """All committed target ids. O(n)."""
    @property
    def assistant_ids(self) -> list[int]:
        """The assistant's ids for the same text. O(n)."""
    @property
    def held(self) -> int:
        """How many bytes at the end of the text the assistant's ids leave out.

        Those of a character that the target has only begun: 0 to 3.
        """

@final
class Proposal:
    """Candidate target ids for a draft."""

    def __new__(cls, ids: list[int], draft_ends: list[int], cut: str = "") -> Proposal:
        """One that was not made by `Translation.propose`, and so is not said to be `exact`.

        `Proposal([], [])` proposes nothing. `cut` may be any word.
        """
    @property
    def ids(self) -> list[int]:
        """The candidates: they continue the committed target ids.

        Up to the `cut`, they spell the drafted bytes.
        """
    @property
    def draft_ends(self) -> list[int]:
        """For each candidate, the number of draft ids that its bytes reach into.

        In the text after the draft, if there is one, each candidate counts as one id more.
        """
    @property
    def exact(self) -> bool:
        """Whether committed ids and candidates are the target's tokenizer's for the whole text."""
    @property
    def cut(self) -> str:
        """Why the candidates end before the draft does.

        `special` (a special token without counterpart), `no text` (an id that stands for nothing),
        `mismatch` (the draft does not begin with the unfinished character that the target has
        begun), `not representable` (the target's vocabulary cannot spell it), or empty: they do
        not.
        """

@final
class TreeProposal:
    """Candidate target ids for a tree of drafts: a trie, in lists.

    Depth first, and of siblings the heaviest first. So the first of them are the heaviest path.
    """

    def best(self, most: int) -> TreeProposal:
        """The `most` heaviest candidates.

        With each of them is its parent. Of equals, the one that comes first is chosen.
        """
    def select(self, weights: list[float], most: int) -> TreeProposal:
        """The same by other weights, one for each candidate, of which larger is better.

        Any numbers will do, infinite ones too. A candidate counts for no more than its parent, and
        has that as its new weight.

        Raises:
            ValueError: for another number of weights, or one that is NaN.
        """
    @property
    def ids(self) -> list[int]:
        """The candidates: with those on the way to each, they continue the committed target ids."""
    @property
    def parents(self) -> list[int]:
        """For each candidate, the index of the one before it; -1 for the end of the text."""
    @property
    def weights(self) -> list[float]:
        """For each candidate, the chance that the text passes it, never more than its parent's.

        A drafted path adds its chance, less that of its children, to all candidates it passes. For
        looked-up text it is the chance of its ids so far, if that is larger.
        """
    @property
    def nodes(self) -> list[int]:
        """For each candidate, the drafted node that its bytes end in; -1 in looked-up text.

        Where several paths pass it, that of the first, depth first.
        """
    @property
    def draft_ends(self) -> list[int]:
        """For each candidate, the number of draft ids that its bytes reach into, up to that node.

        In looked-up text, one more than its parent's.
        """
    @property
    def cut(self) -> str:
        """Why the candidates of the first path end early, as in `Proposal.cut`.

        The first path goes from -1 on to each node's first child, in the order of the lists.
        """

@final
class Edit:
    """What a commit does to the assistant's ids: those before it, and the last draft after them.

    After a tree, the draft is what was `held` of it.
    """

    def __new__(cls, keep: int, feed: list[int], cause: str = "") -> Edit:
        """One that was not made by `Translation.commit`. `cause` may be any word."""
    @property
    def keep(self) -> int:
        """How many stay, from the very first on."""
    @property
    def feed(self) -> list[int]:
        """What follows them; may be empty."""
    @property
    def cause(self) -> str:
        """Why the others do not stay.

        `ahead` (the draft runs past what is committed, and agrees so far), `text` (the text is
        another), `boundary` (the text is the same, its tokens end elsewhere), `special` (a special
        token on one side only), `unfinished` (the text ends inside a character), or empty: all of
        them stay.
        """

@final
class Texts:
    """A queue of texts to look up in, of limited size: the oldest leave. Threads may share it."""

    LIMIT: int
    """The most bytes there can be."""

    def __new__(cls, limit: int) -> Texts:
        """None yet, of at most `limit` bytes together."""
    def remember(self, text: bytes) -> bool:
        """Add a text; `False`, and nothing happens, if it does not fit alone. Releases the GIL."""
    def search(self) -> Search:
        """An empty text to be looked up in these texts as they are now, and in itself."""
    @property
    def texts(self) -> list[bytes]:
        """The texts, the oldest first. O(n)."""
    @property
    def bytes(self) -> int:
        """How many bytes they have together."""
    @property
    def memory(self) -> int:
        """How many bytes of memory they take with their index."""

@final
class Search:
    """A growing text whose end is looked up in itself and in others. For one thread at a time."""

    def append(self, data: bytes) -> None:
        """Add a token's bytes at its end, in amortised constant time each. Releases the GIL."""
    def follow(self, sequence: Translation) -> None:
        """Add the target ids that `sequence` has committed since the last call, all of the same."""
    def find(self, limit: int, min_match: int) -> Found:
        """Up to `limit` bytes that may follow, at most 32 for each byte that matched and 96 more.

        The places where the longest end of the text stood before, 64 of them at most, vote: each
        byte is the one that most places have which agree so far; of equals, that of the oldest. In
        the text itself a place counts only where a token ends, as one ends here; where no such
        place is left, up to 64 shorter ends are tried. A match of less than `min_match` bytes
        tells nothing.
        """
    @property
    def text(self) -> bytes:
        """The text. O(n)."""
    @property
    def memory(self) -> int:
        """How many bytes of memory its own index takes."""

@final
class Found:
    """What may follow a text."""

    @property
    def data(self) -> bytes:
        """The bytes; none if the end of the text has not occurred."""
    @property
    def shares(self) -> list[float]:
        """For each, of the places that agree with all before it, the part that goes on with it."""
    @property
    def limited(self) -> bool:
        """Whether they end because of the limit: perhaps in the middle of a token."""
    @property
    def matched(self) -> int:
        """How many bytes at the end of the text have occurred."""
    @property
    def places(self) -> int:
        """At how many places, of which 64 at most are looked at."""
