"""Drawn texts have exactly the target's distribution: every text of three tokens, counted.

    python tests/exactness.py --samples 100000 --seeds 50

The target is so small that the probability of every text can be added up, from transformers' own
warpers in double precision. Texts drawn by the decoder, with assistants of every kind, are compared
with that by chi-squared tests. Many more are drawn straight from the table of scores, by a sampler
that gives the decoder's ids, to see whether the tests' p-values are uniform over seeds. The same
test must notice samplers that are broken on purpose.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import tokenizers
import torch
import typer
from fakes import draft_from
from scipy.stats import chisquare, kstest
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import (
    DynamicCache,
    GenerationMixin,
    LogitsProcessorList,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from uag import SpeculativeDecoder
from uag._core import Tokenizer
from uag.decoding.verify import Verify, verifier
from uag.draft import Draft
from uag.drafting.sides import Opening
from uag.drafting.source import DraftSource
from uag.sampling import noise
from uag.sampling.coupled import TokenNames, sequence_key
from uag.sampling.greedy import Pick
from uag.sampling.noise import step_keys

Ids = tuple[int, ...]
Broken = Callable[[SpeculativeDecoder, "Table"], AbstractContextManager[None]]
# (table, decoder, seed, count) -> texts
Source = Callable[["Table", SpeculativeDecoder, int, int], list[Ids]]

LENGTH = 3  # new tokens of a text, fewer if it ends itself
END = 0  # both vocabularies' end-of-text id
PROMPT = [1, 2]
LOOKAHEAD = 2
SPREAD = 0.35  # of the weights: all tokens are possible, few are likely

GENERATED = 300  # texts that `generate` itself draws once more
LEAST_P = 1e-4
BROKEN_P = 1e-6

# Tokens that begin others, so that the same bytes are spelled in several ways.
TARGET_PIECES = ["a", "b", "c", "ab", "bc", "abc", "ca", "aa", "cab"]
TARGET_MERGES = [("a", "b"), ("b", "c"), ("ab", "c"), ("c", "a"), ("a", "a"), ("c", "ab")]
ASSISTANT_PIECES = ["c", "b", "a", "ba", "ac", "cc", "bac"]
ASSISTANT_MERGES = [("b", "a"), ("a", "c"), ("c", "c"), ("ba", "c")]

SETTINGS: dict[str, dict[str, Any]] = {
    "temperature 1": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    "temperature 0.7, top-p 0.9, top-k 5": {"temperature": 0.7, "top_k": 5, "top_p": 0.9},
}


class TinyConfig(PretrainedConfig):
    """One layer of attention with one head."""

    model_type = "tiny"

    def __init__(self, vocab_size: int = 10, hidden_size: int = 16, **others: Any) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = 1
        self.max_position_embeddings = 64
        super().__init__(**others)


class TinyLM(PreTrainedModel, GenerationMixin):
    """A transformer of a few operations: transformers' own take ten times as long a token."""

    config_class = TinyConfig

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.attention = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens

    def forward(
        self, input_ids: Tensor, past_key_values: DynamicCache | None = None, **_: Any
    ) -> SimpleNamespace:
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        count = input_ids.shape[1]
        hidden = self.tokens.weight[input_ids] + self.places.weight[before : before + count]
        query, key, value = linear(hidden, self.attention.weight)[:, None].chunk(3, -1)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, 0)
        seen = None if count == 1 else torch.ones(count, before + count).tril(before).bool()
        read = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        # transformers' own kind of output takes longer to make than all of the above.
        return SimpleNamespace(logits=linear(hidden + read[:, 0], self.head.weight))


def spelling(pieces: list[str], merges: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with these tokens behind an end-of-text token."""
    vocabulary = {piece: id for id, piece in enumerate(["<end>", *pieces])}
    raw = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")


def random_lm(tokenizer: PreTrainedTokenizerFast, seed: int) -> TinyLM:
    """A model with random weights.

    In double precision, so that reading ids together or one by one rounds to the same scores.
    """
    config = TinyConfig(len(tokenizer), eos_token_id=END, bos_token_id=None)
    model = TinyLM(config).double().eval().requires_grad_(requires_grad=False)
    random = torch.Generator().manual_seed(seed)
    for weights in model.parameters():
        nn.init.normal_(weights, std=SPREAD, generator=random)
    return model


@dataclass(frozen=True)
class Table:
    """Everything that the target may say after the prompt, enumerated.

    Attributes:
        model: the target.
        settings: its sampling options.
    """

    model: TinyLM
    settings: dict[str, Any]

    @cached_property
    def warpers(self) -> LogitsProcessorList:
        """In transformers' order."""
        settings = self.settings
        chosen = LogitsProcessorList([TemperatureLogitsWarper(settings["temperature"])])
        if settings["top_k"]:
            chosen.append(TopKLogitsWarper(settings["top_k"]))
        if settings["top_p"] < 1:
            chosen.append(TopPLogitsWarper(settings["top_p"]))
        return chosen

    @cached_property
    def beginnings(self) -> list[Ids]:
        """Every text that goes on, itself in front of what follows it."""
        letters = range(END + 1, self.model.config.vocab_size)
        levels: list[list[Ids]] = [[()]]
        for _ in range(LENGTH - 1):
            levels.append([(*text, id) for text in levels[-1] for id in letters])
        return [text for level in levels for text in level]

    @cached_property
    def logits(self) -> Tensor:
        """What follows each of them, each from a forward pass of its own: float64."""
        texts = [torch.tensor([[*PROMPT, *text]]) for text in self.beginnings]
        return torch.cat([self.model(text).logits[:, -1] for text in texts])

    def probabilities(self) -> dict[Ids, float]:
        """The probability of every text, in double precision."""
        chances = self.warpers(None, self.logits.clone()).softmax(-1)
        reached = {(): 1.0}
        whole: dict[Ids, float] = {}
        for text, row in zip(self.beginnings, chances.tolist(), strict=True):
            for id, chance in enumerate(row):
                following = (*text, id)
                ends = id == END or len(following) == LENGTH
                (whole if ends else reached)[following] = reached[text] * chance
        return whole

    @cached_property
    def scores(self) -> Tensor:
        """What the decoder adds noise to: float32."""
        return self.warpers(None, self.logits.float())

    @cached_property
    def children(self) -> Tensor:
        """The row of each text with each id added; -1 if that ends it."""
        ids = range(self.model.config.vocab_size)
        return torch.tensor(
            [[self.rows.get((*text, id), -1) for id in ids] for text in self.beginnings]
        )

    def likeliest(self, text: Ids) -> Ids:
        """The text with the likeliest id added, again and again, until it ends."""
        while text in self.rows:
            text = (*text, self.favourites[self.rows[text]])
        return text

    @cached_property
    def favourites(self) -> list[int]:
        """The likeliest id behind each of `beginnings`."""
        return self.scores.argmax(-1).tolist()

    @cached_property
    def rows(self) -> dict[Ids, int]:
        """Where each of `beginnings` stands."""
        return {text: row for row, text in enumerate(self.beginnings)}

    def draw(self, names: TokenNames, keys: Tensor) -> list[Ids]:
        """A text for each sequence key, drawn as the decoder should draw it."""
        rows, places = torch.zeros_like(keys), torch.zeros_like(keys)
        columns: list[Tensor] = []
        for _ in range(LENGTH):
            steps = noise.step_keys(keys, places, keys.device)
            perturbed = self.scores[rows] + noise.gumbel(steps, names.keys)
            ids = perturbed.argmax(-1).where(rows >= 0, -1)
            columns.append(ids)
            rows = self.children[rows, ids].where(rows >= 0, -1)
            places += names.lengths[ids]
        texts = torch.stack(columns, -1).tolist()
        return [tuple(id for id in text if id >= 0) for text in texts]


def sequence_keys(seed: int, count: int) -> list[int]:
    """The keys of that many continuations of the prompt."""
    return [sequence_key(seed, PROMPT, index) for index in range(count)]


class OracleDrafts:
    """Drafts from knowledge of the very text that the target is going to draw."""

    def __init__(self, decoder: "OracleDecoder", prompt: list[int], text: Ids) -> None:
        self._decoder = decoder
        self._text = text
        self._prompt = spell(decoder.bridge.assistant, prompt)
        self._ids = list(prompt)

    def draft(self, k: int, goes_on: Any = None) -> Draft:
        # In bytes, because the prompt's last id may have grown into the text.
        spelled = spell(self._decoder.bridge.assistant, self._ids)[len(self._prompt) :]
        target = self._decoder.bridge.target
        told = next(n for n in range(LENGTH) if spell(target, self._text[:n]) == spelled)
        ids = self._decoder.oracle(self._decoder, self._text, told)[:k]
        self._ids += ids
        return Draft(ids)

    def apply(self, keep: int, feed: list[int]) -> None:
        self._ids = self._ids[:keep] + feed


class OracleDecoder(SpeculativeDecoder):
    """Decodes with drafts that are made knowing the noise.

    `oracle` makes them from the text that will be drawn and how many of its ids are out.
    """

    table: Table
    oracle: Callable[["OracleDecoder", Ids, int], list[int]]

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        draft_from(self, self._source)

    def _source(self, opening: Opening) -> DraftSource:
        key: Any = opening.choice
        (text,) = self.table.draw(self._engine.sampling.target_names, torch.tensor([key._key]))
        return OracleDrafts(self, opening.prompt, text)


def likeliest(decoder: OracleDecoder, text: Ids, told: int) -> list[int]:
    """What the target finds likeliest, which is not always what it draws."""
    ids = decoder.table.likeliest(text[:told])[told:]
    return decoder.bridge.assistant.encode(spell(decoder.bridge.target, ids)) + [END] * (END in ids)


def wrong(decoder: OracleDecoder, text: Ids, told: int) -> list[int]:
    """Another letter than the one that comes."""
    coming = spell(decoder.bridge.target, text[told:])
    other = next(letter for letter in (b"a", b"b") if not coming.startswith(letter))
    return decoder.bridge.assistant.encode(other * LENGTH)


def spell(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of ids."""
    return b"".join(tokenizer.token_bytes(id) or b"" for id in ids)


def decoders_of(settings: dict[str, Any]) -> tuple[Table, dict[str, SpeculativeDecoder]]:
    """A target's table, and the target with each kind of assistant."""
    own = spelling(TARGET_PIECES, TARGET_MERGES)
    other = spelling(ASSISTANT_PIECES, ASSISTANT_MERGES)
    target, stranger = random_lm(own, seed=7), random_lm(other, seed=2)
    table = Table(target, settings)
    found: dict[str, SpeculativeDecoder] = {
        "the target itself": SpeculativeDecoder(target, own, target, own, draft_temperature=1.0),
        "random weights": SpeculativeDecoder(target, own, stranger, other),
    }
    for name, oracle in (("likeliest drafts", likeliest), ("wrong drafts", wrong)):
        decoder = found[name] = OracleDecoder(target, own, stranger, other)
        decoder.table, decoder.oracle = table, oracle
    for decoder in found.values():
        decoder.lookahead = LOOKAHEAD
    return table, found


def rejecting(settings: dict[str, Any]) -> tuple[Table, dict[str, SpeculativeDecoder]]:
    """As `decoders_of`, for the assistants that are models, sampling by rejection."""
    table, found = decoders_of(settings)
    models = {name: found[name] for name in ("the target itself", "random weights")}
    return table, {name: by_rejection(decoder) for name, decoder in models.items()}


def by_rejection(decoder: SpeculativeDecoder) -> SpeculativeDecoder:
    """The same models in a decoder that samples by rejection."""
    parts = decoder.model, decoder.tokenizer, decoder.assistant, decoder.assistant_tokenizer
    return SpeculativeDecoder(*parts, lookahead=LOOKAHEAD, sampling="rejection")


@dataclass
class Drawn:
    """Texts that a decoder drew.

    Attributes:
        texts: their ids.
        candidates, accepted: the share of the target's ids that drafts became, as counts.
    """

    texts: list[Ids] = field(default_factory=list)
    candidates: int = 0
    accepted: int = 0


def draw(decoder: SpeculativeDecoder, settings: dict[str, Any], seed: int, count: int) -> Drawn:
    """As `generate` with `num_return_sequences=count`, reading the options only once."""
    (request,) = decoder._requests.read([PROMPT], options(settings))
    engine = decoder._engine
    drawn = Drawn()
    for index in range(count):
        out = engine._text(request, seed, index, engine._session(1)).finish()
        drawn.texts.append(tuple(out.token_ids))
        drawn.candidates += out.stats.candidates
        drawn.accepted += out.stats.accepted
    return drawn


def generated(
    decoder: SpeculativeDecoder, settings: dict[str, Any], seed: int, count: int
) -> list[Ids]:
    """The same texts from `generate` itself."""
    outs = decoder.generate(PROMPT, num_return_sequences=count, seed=seed, **options(settings))
    return [tuple(out.token_ids) for out in outs]


def options(settings: dict[str, Any]) -> dict[str, Any]:
    """Generation options that sample with these settings."""
    return {"do_sample": True, "max_new_tokens": LENGTH, **settings}


def p_value(texts: list[Ids], probabilities: dict[Ids, float]) -> float:
    """Of a chi-squared test; texts that are expected fewer than five times share a cell."""
    counts = Counter(texts)
    if any(probabilities.get(text, 0) == 0 for text in counts):
        return 0.0
    cells = sorted((chance * len(texts), counts[text]) for text, chance in probabilities.items())
    expected, observed = np.array(cells).T
    # At least as many as are rare, and enough for the shared cell not to be rare itself.
    shared = max(int((expected < 5).sum()), int((expected.cumsum() < 5).sum()) + 1)
    merged = [np.append(row[shared:], row[:shared].sum()) for row in (observed, expected)]
    return float(chisquare(*merged).pvalue)


@contextmanager
def noise_without_position(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """Every step of a text sees the same noise."""

    def same(key: int, positions: Any, device: torch.device) -> Tensor:
        return step_keys(key, torch.as_tensor(positions) * 0, device)

    with patch("uag.sampling.coupled.step_keys", same), patch("uag.sampling.noise.step_keys", same):
        yield


@contextmanager
def colliding_keys(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """The two tokens likeliest to come first share their noise."""
    names = decoder._engine.sampling.target_names
    one, two = table.scores[0].topk(2).indices
    keys = names.keys.clone()
    keys[two] = keys[one]
    with patch.object(decoder._engine.sampling, "target_names", replace(names, keys=keys)):
        yield


@contextmanager
def index_ignored(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """All continuations of a prompt have the same key."""
    with patch("uag.engine.sequence_key", lambda seed, prompt, _: sequence_key(seed, prompt, 0)):
        yield


@contextmanager
def drafts_believed(decoder: SpeculativeDecoder, table: Table) -> Iterator[None]:
    """The target accepts whatever is drafted."""

    def credulous(processors: LogitsProcessorList, pick: Pick) -> Verify:
        verify = verifier(processors, pick)

        def accept(logits: Tensor, ids: list[int], candidates: list[int]) -> list[int]:
            return candidates + verify(logits[-1:], ids, [])

        return accept

    with patch("uag.engine.verifier", credulous):
        yield


BROKEN: list[Broken] = [noise_without_position, colliding_keys, index_ignored, drafts_believed]


def from_decoder(table: Table, decoder: SpeculativeDecoder, seed: int, count: int) -> list[Ids]:
    """Texts that the decoder draws."""
    return draw(decoder, table.settings, seed, count).texts


def from_table(table: Table, decoder: SpeculativeDecoder, seed: int, count: int) -> list[Ids]:
    """The texts that the decoder should draw, a hundred times as fast."""
    return table.draw(
        decoder._engine.sampling.target_names, torch.tensor(sequence_keys(seed, count))
    )


def broken_p_value(
    broken: Broken, settings: dict[str, Any], source: Source, seed: int, count: int
) -> float:
    """What the test says of a broken variant, with an assistant that has little in common."""
    table, found = decoders_of(settings)
    decoder = found["random weights"]
    with broken(decoder, table):
        texts = source(table, decoder, seed, count)
    return p_value(texts, table.probabilities())


def p_values(settings: dict[str, Any], seeds: Iterable[int], count: int) -> list[float]:
    """Of `count` texts from the table for each seed."""
    table, found = decoders_of(settings)
    decoder = found["random weights"]
    probabilities = table.probabilities()
    return [p_value(from_table(table, decoder, seed, count), probabilities) for seed in seeds]


@dataclass(frozen=True)
class Report:
    """Prints each number as it comes, and remembers whether all were as they should be."""

    title: str
    wrong: list[str] = field(default_factory=list)

    def __call__(self, what: str, numbers: str, *, fine: bool) -> None:
        typer.echo(f"{self.title} | {what} | {numbers}{'' if fine else ' | WRONG'}")
        if not fine:
            self.wrong.append(what)


def report_decoders(report: Report, settings: dict[str, Any], samples: int) -> None:
    """The decoder with each assistant, and that it draws what the table does."""
    table, found = decoders_of(settings)
    for seed, (name, decoder) in enumerate(found.items()):
        drawn = draw(decoder, settings, seed, samples)
        value = p_value(drawn.texts, table.probabilities())
        unlike = [
            differing(drawn.texts, from_table(table, decoder, seed, samples)),
            differing(drawn.texts, generated(decoder, settings, seed, GENERATED)),
        ]
        report(
            name,
            f"{drawn.accepted:,} of {drawn.candidates:,} candidates accepted, "
            f"{unlike[0]} unlike the table's, {unlike[1]} unlike generate's, p {value:.4f}",
            fine=value > LEAST_P and not any(unlike),
        )


def report_rejection(report: Report, settings: dict[str, Any], samples: int) -> None:
    """Sampling by rejection, whose texts are others, with the same distribution."""
    table, found = rejecting(settings)
    for seed, (name, decoder) in enumerate(found.items()):
        drawn = draw(decoder, settings, seed, samples)
        value = p_value(drawn.texts, table.probabilities())
        report(
            f"by rejection, {name}",
            f"{drawn.accepted:,} of {drawn.candidates:,} candidates accepted, p {value:.4f}",
            fine=value > LEAST_P,
        )


def report_uniformity(report: Report, settings: dict[str, Any], seeds: int, samples: int) -> None:
    """The distribution of p-values over seeds."""
    values = p_values(settings, range(1000, 1000 + seeds), samples)
    uniform = float(kstest(values, "uniform").pvalue)
    report(
        f"{seeds} seeds",
        f"p from {min(values):.4f} to {max(values):.4f}, Kolmogorov-Smirnov p {uniform:.4f}",
        fine=uniform > LEAST_P,
    )


def report_broken(report: Report, settings: dict[str, Any], samples: int) -> None:
    """What the test says of broken variants."""
    for broken in BROKEN:
        value = broken_p_value(broken, settings, from_decoder, 0, samples)
        report(f"{broken.__name__}, {samples:,} texts", f"p {value:.3g}", fine=value < BROKEN_P)


def main(
    samples: Annotated[int, typer.Option(min=1000, help="texts a test")] = 100_000,
    seeds: Annotated[int, typer.Option(min=2, help="tests for uniformity")] = 50,
    broken: Annotated[int, typer.Option(min=1000, help="texts a broken variant")] = 10_000,
    setting: Annotated[
        list[int] | None, typer.Option(help="0 or 1: only this one; may be repeated")
    ] = None,
) -> None:
    """Test the decoder with every assistant, the uniformity of p-values, and broken variants."""
    torch.set_num_threads(1)
    started = time.monotonic()
    reports: list[Report] = []
    for number, (title, settings) in enumerate(SETTINGS.items()):
        if setting and number not in setting:
            continue
        reports.append(report := Report(title))
        report_broken(report, settings, broken)
        report_uniformity(report, settings, seeds, samples)
        report_rejection(report, settings, samples)
        report_decoders(report, settings, samples)
    wrong = [what for report in reports for what in report.wrong]
    typer.echo(f"{len(wrong)} wrong, {time.monotonic() - started:.0f} s")
    raise typer.Exit(bool(wrong))


def differing(texts: list[Ids], others: list[Ids]) -> int:
    """How many of the texts that both have differ."""
    return sum(text != other for text, other in zip(texts, others, strict=False))


if __name__ == "__main__":
    typer.run(main)
