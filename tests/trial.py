"""One cell of the matrix: its models, what the text must be, and what it is.

The target has random weights, but those of its last layer have it say tokens whose texts are
spelled as its tokenizer does; so a draft can be right, and every choice hangs on the states that
the cache holds. The assistant is told, token by token, what follows in the texts to come, but for
every fifth token; so it is often right, and not always.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import torch
from cells import OWN, REAL, REAL_ASSISTANTS, REFUSED_CACHES, SEVERAL, Cell, refusals
from fakes import PROMPT, random_model
from invariance import top_p_edge
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer
from uag import Lookup, SpeculativeDecoder
from uag.batching.session import TARGET
from uag.decoding.output import Output
from uag.decoding.verify import agreement
from uag.models.cache import PreallocatedCache
from uag.requests.options import plan_generation
from uag.sampling.coupled import sequence_key
from uag.sampling.noise import gumbel, step_keys
from uag.translation.detokenizer import TextBytes
from wording import tokenizer, words

LENGTH = 20
STORY = "The dog and the girl went to the park, and they saw a big red ball."
PROMPTS = (PROMPT, "One day", f"{STORY} {STORY}")
# Of two scores that rounding may swap: models that compute in single precision do, here and there.
TIE = 1e-4
DRAWS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "coupled": {"do_sample": True, "temperature": 0.5, "top_k": 0},
    "top-p": {"do_sample": True, "temperature": 0.8, "top_k": 40, "top_p": 0.9},
    "rejection": {"do_sample": True, "temperature": 0.5, "top_k": 0},
}


@dataclass
class Outcome:
    """What became of a cell.

    Attributes:
        texts: how many were compared.
        refused: the error, if it is the one that is documented.
        difference: where and how the text is another one, or what went wrong; empty if nothing did.
        tie: whether rounding explains the difference.
        engine: how the target ran.
    """

    cell: Cell
    texts: int = 0
    tokens: int = 0
    candidates: int = 0
    accepted: int = 0
    refused: str = ""
    difference: str = ""
    tie: bool = False
    engine: str = ""

    @property
    def failed(self) -> bool:
        """Whether losslessness is broken."""
        return bool(self.difference) and not self.tie


@dataclass
class Pair:
    """The two models of a cell."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    assistant: Any
    other: PreTrainedTokenizerFast
    told: "Told | None" = None


class Told:
    """What follows each token, for a model that says so: a hook on its logits."""

    def __init__(self, model: PreTrainedModel, ids: int) -> None:
        self.table = torch.zeros(ids, ids, dtype=torch.float64)
        model.register_forward_hook(self._tell, with_kwargs=True)

    def tell(self, texts: list[list[int]]) -> None:
        """Tokens of `texts` have what first came behind them, four fifths of the tokens."""
        self.table.zero_()
        for text in texts:
            for id, after in pairwise(text):
                if id % 5 and not self.table[id].any():
                    self.table[id, after] = 40

    def _tell(self, _: Any, inputs: Any, named: dict[str, Any], output: Any) -> Any:
        ids = named["input_ids"][:, -output.logits.shape[1] :]
        output.logits = output.logits + self.table[ids].to(output.logits.dtype)
        return output


def run(cell: Cell) -> Outcome:
    """Decode what the cell says, and compare it with the slow, obvious way."""
    outcome = Outcome(cell)
    expected_errors = refusals(cell)
    try:
        _compare(cell, outcome)
    except Exception as error:  # noqa: BLE001 - any is a result
        text = f"{type(error).__name__}: {error}"
        if any(isinstance(error, kind) and part in text for kind, part in expected_errors):
            outcome.refused = text
        else:
            outcome.difference = text
    else:
        if expected_errors and not outcome.difference:
            outcome.difference = f"not refused: {expected_errors[0][1]}"
    return outcome


def _compare(cell: Cell, outcome: Outcome) -> None:
    pair = models(cell)
    prompts = _prompts(cell, pair)
    options = DRAWS[cell.draws] | {"max_new_tokens": LENGTH} | _processor(cell, pair)
    if refusals(cell):
        decoder = _decoder(cell, pair, [])
        _call(cell, decoder, prompts, options | {"max_new_tokens": 4})
        return
    if pair.told:
        pair.told.tell([])
    texts = [expected(cell, pair, prompts, options, row)[0] for row in range(len(prompts))]
    options |= _end(cell, pair, texts[0])
    texts = [prompt + text for prompt, text in zip(prompts, texts, strict=True)]
    decoder = _decoder(cell, pair, texts)
    if cell.by_rejection:
        decoder = partial(_decoder, cell, pair, texts)
    right = [
        each
        for row in range(len(prompts))
        for each in expected(cell, pair, prompts, options, row, decoder)
    ]
    decoder = _decoder(cell, pair, texts)
    with _asking(pair.model, cell):
        outs = _call(cell, decoder, prompts, options)
    stats = [out.stats for out in outs]
    outcome.texts = len(outs)
    outcome.tokens = sum(len(out.token_ids) for out in outs)
    outcome.candidates = sum(each.candidates for each in stats)
    outcome.accepted = sum(each.accepted for each in stats)
    outcome.engine = stats[0].engines.get(TARGET, "")
    assert len(outs) == len(right)
    if fault := next((each.assistant_error for each in stats if each.assistant_error), ""):
        outcome.difference = f"the assistant failed: {fault}"
    for index, (out, ids) in enumerate(zip(outs, right, strict=True)):
        if out.token_ids != ids:
            place = agreement(out.token_ids, ids)
            row = index * len(prompts) // len(outs)
            count = index - row * len(outs) // len(prompts)
            near = margin(cell, pair, prompts[row], ids[:place], options, count)
            outcome.tie = near < TIE
            outcome.difference = (
                f"text {index}, place {place}: {out.token_ids[place : place + 3]} "
                f"in place of {ids[place : place + 3]}, margin {near:.2g}"
            )
            return


# Models.


def models(cell: Cell) -> Pair:
    """Made once for each kind; the weights are those of a few seeds."""
    seed = cell.seed % 3
    if cell.target in trained():
        target, words_of_target = trained()[cell.target]()
    else:
        words_of_target = tokenizer(cell.tokenizer)
        target = speaker(cell.target, cell.tokenizer, seed)
    pair = Pair(target, words_of_target, None, words_of_target)
    match cell.assistant:
        case "itself":
            pair.assistant = target
        case "lookup" | "drafter" | "nobody":
            if cell.other != OWN:
                pair.other = tokenizer(cell.other)
        case name if name in trained():
            pair.assistant, pair.other = trained()[name]()
        case name:
            pair.other = tokenizer(cell.other)
            pair.assistant, pair.told = teller(name, cell.other, seed)
    return pair


@lru_cache(256)
def speaker(architecture: str, name: str, seed: int) -> PreTrainedModel:
    """A model with random weights that says `words` nearly always."""
    model = _random(architecture, name, seed)
    said = torch.zeros(len(tokenizer(name)), 1, dtype=model.dtype)
    said[words(name)] = 1
    with torch.no_grad():
        model.get_output_embeddings().weight *= 0.1 + said
    return model


@lru_cache(256)
def teller(architecture: str, name: str, seed: int) -> tuple[PreTrainedModel, Told]:
    """A model that can be told what follows."""
    model = _random(architecture, name, seed + 10)
    return model, Told(model, len(tokenizer(name)))


def _random(architecture: str, name: str, seed: int) -> PreTrainedModel:
    model = random_model(architecture, tokenizer(name), seed)
    # Otherwise experts are multiplied in single precision.
    model.set_experts_implementation("eager")
    return model.double()


Trained = Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerFast]]


_folders: list[Path] = []


def look_in(folder: Path) -> None:
    """Have the trained models of a folder, too."""
    _folders.append(folder)
    trained.cache_clear()


@cache
def trained() -> dict[str, Trained]:
    """The trained models that there are: those of the demo, and those in a folder."""
    found: dict[str, Trained] = {
        "demo": partial(_demo, "target"),
        "demo-assistant": partial(_demo, "assistant"),
    }
    for folder in _folders:
        for name in {*REAL, *REAL_ASSISTANTS} - {*found}:
            if (folder / name).is_dir():
                found[name] = partial(_loaded, str(folder / name))
    return found


@cache
def _demo(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    from uag.demo import demo_decoder

    decoder = demo_decoder(lookahead=4)
    if role == "target":
        return decoder.model.double(), decoder.tokenizer  # type: ignore[return-value]
    return decoder.assistant.double(), decoder.assistant_tokenizer  # type: ignore[union-attr]


@cache
def _loaded(path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    decoder = SpeculativeDecoder.from_pretrained(
        path, None, trust_remote_code=True, dtype="float64"
    )
    return decoder.model, decoder.tokenizer  # type: ignore[return-value]


# What is asked for.


def _prompts(cell: Cell, pair: Pair) -> list[list[int]]:
    if cell.texts == "ids":
        random = Random(cell.seed)
        return [[random.randrange(3, len(pair.tokenizer)) for _ in range(9)]]
    texts = PROMPTS if cell.texts in ("several", "fewer") else PROMPTS[:1]
    return [pair.tokenizer(text)["input_ids"] for text in texts]


class Shifts(LogitsProcessor):
    """Looks at the last id and the length."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[:, input_ids.shape[1] % 7 :: 7] += 0.3 * (input_ids[:, -1:] % 5)
        return scores


class Ends(StoppingCriteria):
    """Ends a text behind one of some ids."""

    def __init__(self, id: int) -> None:
        self.id = id

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return input_ids[:, -1] == self.id


def _processor(cell: Cell, pair: Pair) -> dict[str, Any]:
    size = len(pair.tokenizer)
    said = words(cell.tokenizer) if cell.tokenizer != OWN else [*range(10, size, 7)]
    match cell.processor:
        case "repetition":
            return {"repetition_penalty": 1.3}
        case "ngrams":
            return {"no_repeat_ngram_size": 2}
        case "bias":
            return {"sequence_bias": [[[said[0]], -5.0], [[said[1]], 2.0], [said[2:4], 2.0]]}
        case "allowed":
            return {"prefix_allowed_tokens_fn": lambda _, ids: said[len(ids) % 3 :: 2]}
        case "custom":
            return {"logits_processor": LogitsProcessorList([Shifts()])}
        case _:
            return {}


def _end(cell: Cell, pair: Pair, text: list[int]) -> dict[str, Any]:
    last = text[min(len(text) - 1, 5 + cell.seed % 9)]
    match cell.end:
        case "eos":
            return {"eos_token_id": [last]}
        case "later-eos":
            return {"eos_token_id": [last], "min_new_tokens": LENGTH // 2}
        case "stop":
            spelled = pair.tokenizer.decode(text[4:7])
            stop = "".join(char for char in spelled if char.isprintable() and char != "\ufffd")
            return {"stop_strings": [stop.strip()[:3] or "never"]}
        case "criterion":
            return {"stopping_criteria": StoppingCriteriaList([Ends(last)])}
        case _:
            return {}


# What the text must be.


class Rereading(PreallocatedCache):
    """Keeps ids, not states: everything is read again whenever something is asked."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self._model = model
        self._ids = torch.zeros(0, dtype=torch.long)

    @torch.inference_mode()
    def forward(self, ids: Tensor, positions: int) -> Tensor:
        self._ids = torch.cat([self._ids[: self.length], ids])
        self.length, self.width = len(self._ids), len(ids)
        return self._model(input_ids=self._ids[None], use_cache=False).logits[0, -positions:]


def rereading(decoder: SpeculativeDecoder) -> SpeculativeDecoder:
    """The decoder, with models that keep nothing."""
    for runner in decoder._engine.runners.values():
        runner.new_cache = partial(Rereading, runner.model)  # type: ignore[method-assign]
    return decoder


def expected(
    cell: Cell,
    pair: Pair,
    prompts: list[list[int]],
    options: dict[str, Any],
    row: int,
    decoder: Callable[[], SpeculativeDecoder] | Any = None,
) -> list[list[int]]:
    """The continuations of one of the prompts: transformers' own, or drawn without states.

    Greedy ids come from `model.generate`; drawn ones from the target by itself; by rejection, where
    texts depend on drafts, from the same decoder, one text at a time, whose models keep no states.
    """
    stop = {"tokenizer": pair.tokenizer} if "stop_strings" in options else {}
    inputs = _inputs(cell, prompts)
    alone = {name: value[row : row + 1] for name, value in inputs.items()}
    width = alone["input_ids"].shape[1]
    if cell.draws == "greedy":
        out: Any = pair.model.generate(**alone, **options, **stop)
        return [out[0, width:].tolist()]
    slow = decoder() if cell.by_rejection and decoder else SpeculativeDecoder(
        pair.model, pair.tokenizer
    )  # fmt: skip
    rows = 2 if cell.texts == "rows" else 1
    if width == len(prompts[row]):
        outs = rereading(slow).generate(
            prompts[row], seed=cell.seed, num_return_sequences=rows, batch_size=1, **options
        )
        return [out.token_ids for out in outs]
    out = pair.model.generate(
        **alone, custom_generate=rereading(slow), seed=cell.seed, **options, **stop
    )
    return [out[0, width:].tolist()]


def _inputs(cell: Cell, prompts: list[list[int]]) -> dict[str, Tensor]:
    """As transformers takes rows: padded on the left, where processors see that."""
    longest = max(map(len, prompts))
    padded = cell.call == "custom_generate" and cell.processor != "none"
    width = [longest if padded else len(prompt) for prompt in prompts]
    rows = [
        [0] * (size - len(prompt)) + prompt for prompt, size in zip(prompts, width, strict=True)
    ]
    masks = [[0] * (size - len(prompt)) + [1] * len(prompt) for prompt, size in zip(
        prompts, width, strict=True)]  # fmt: skip
    return {"input_ids": _Rows(rows), "attention_mask": _Rows(masks)}  # type: ignore[dict-item]


class _Rows:
    """Rows of unlike length; a slice of one is a tensor."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def __getitem__(self, place: slice) -> Tensor:
        return torch.tensor(self.rows[place])


# What it is.


def _decoder(cell: Cell, pair: Pair, texts: list[list[int]]) -> SpeculativeDecoder:
    """The cell's, which has heard of the texts to come."""
    start = SpeculativeDecoder(pair.model, pair.tokenizer)
    told = [TextBytes(start.bridge.target).add(text) for text in texts]
    assistant: Any = pair.assistant
    known = Lookup([misspelled(text) for text in told])
    match cell.assistant:
        case "lookup":
            assistant = known
        case "drafter":
            assistant = Knows(told)
        case _ if pair.told is not None:
            ids = [pair.other(text.decode(errors="replace"))["input_ids"] for text in told]
            pair.told.tell(ids)
    return SpeculativeDecoder(
        pair.model,
        pair.tokenizer,
        assistant,
        pair.other if assistant is not None and cell.assistant != "lookup" else None,
        lookup=known if cell.lookup == "beside" else False,
        lookahead=_lookahead(cell),
        sampling="rejection" if cell.draws == "rejection" else "coupled",
        compile="eager" if cell.engine == "compiled" else False,
    )


def misspelled(text: bytes) -> bytes:
    """With every 13th character another one.

    >>> misspelled(b"Once upon a time there")
    b'Once upon a ~ime there'
    """
    return b"".join(b"~" if at % 13 == 12 else bytes([byte]) for at, byte in enumerate(text))


class Knows:
    """A `uag.Drafter` that knows the texts to come, nearly."""

    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts

    def propose(self, text: bytes, ids: Any, k: int) -> bytes:
        whole = next((whole for whole in self._texts if whole.startswith(text)), b"")
        more = whole[len(text) : len(text) + 3 * k]
        return more[: len(more) // 2] + b"~" if len(text) % 4 == 0 else more


@dataclass
class Wild:
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


def _lookahead(cell: Cell) -> Any:
    if cell.lookahead == "wild":
        return Wild(cell.seed)
    return int(cell.lookahead) if cell.lookahead.isdigit() else cell.lookahead


@contextmanager
def _asking(model: PreTrainedModel, cell: Cell) -> Iterator[None]:
    """While it lasts the model's own defaults ask for a static cache, if the cell says so."""
    before = model.generation_config.cache_implementation
    if cell.cache == "default":
        model.generation_config.cache_implementation = "static"
    try:
        yield
    finally:
        model.generation_config.cache_implementation = before


class Puts(BaseStreamer):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.ended = False

    def put(self, value: Tensor) -> None:
        assert not self.ended
        self.ids += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


def _call(
    cell: Cell, decoder: SpeculativeDecoder, prompts: list[list[int]], options: dict[str, Any]
) -> list[Any]:
    """Outputs, or what has their `token_ids` and `stats`."""
    options = dict(options)
    if cell.cache in (*REFUSED_CACHES, "dynamic"):
        options["cache_implementation"] = cell.cache
    if cell.draws != "greedy":
        options["seed"] = cell.seed
    if cell.texts == "rows":
        options["num_return_sequences"] = 2
    given: Any = prompts if cell.texts in ("several", "fewer") else prompts[0]
    match cell.call:
        case "custom_generate":
            return _custom_generate(decoder, prompts, options)
        case "stream":
            stream = decoder.stream(given, **options)
            text = "".join(stream)
            out = stream.finish()
            assert out.text == text
            return [out]
        case "streamer":
            puts = Puts()
            out = decoder.generate(given, streamer=puts, **options)
            assert puts.ended and puts.ids == prompts[0] + out.token_ids
            return [out]
        case _:
            options["trace"] = cell.call == "trace"
            if cell.texts in SEVERAL:
                options["batch_size"] = 2 if cell.texts == "fewer" else 16
            outs: list[Output] | Output = decoder.generate(given, **options)
            outs = outs if isinstance(outs, list) else [outs]
            assert all((out.trace is not None) == options["trace"] for out in outs)
            return outs


def _custom_generate(
    decoder: SpeculativeDecoder, prompts: list[list[int]], options: dict[str, Any]
) -> list[Any]:
    """Through `model.generate`, without what fills up rows that have ended."""
    longest = max(map(len, prompts))
    rows = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    stop = {"tokenizer": decoder.tokenizer} if "stop_strings" in options else {}
    generate: Any = decoder.model.generate
    out = generate(
        input_ids=rows, attention_mask=mask, custom_generate=decoder, return_dict_in_generate=True,
        **options, **stop,
    )  # fmt: skip
    new = out.sequences[:, longest:].tolist()
    return [
        SimpleNamespace(token_ids=ids[: stats.tokens], stats=stats)
        for ids, stats in zip(new, out.stats, strict=True)
    ]


@torch.inference_mode()
def margin(
    cell: Cell,
    pair: Pair,
    prompt: list[int],
    text: list[int],
    options: dict[str, Any],
    count: int,
) -> float:
    """Between the two best scores behind `text`; where texts are cut by probability, of that too.

    `count`: how many rows of the same prompt come before.
    """
    decoder = SpeculativeDecoder(pair.model, pair.tokenizer)
    processors = plan_generation(decoder.model, decoder.tokenizer, prompt, options).processors
    ids = torch.tensor([prompt + text])
    logits = decoder.model(input_ids=ids).logits[0, -1:].float()
    scores = processors(ids, logits.clone())
    if cell.draws != "greedy":
        names = decoder._engine.sampling.target_names
        position = sum(names.moves[id] for id in text)
        key = sequence_key(cell.seed, prompt, count)
        scores = scores + gumbel(step_keys(key, [position], logits.device), names.keys)
    best, second = scores[0].topk(2).values.tolist()
    return min(best - second, top_p_edge(processors, ids, logits))
