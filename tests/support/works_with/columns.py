"""The columns of the table: each way to call uag, compared with what `generate` gives."""

from collections.abc import Callable
from typing import Any

import torch
import transformers

import uag
from tests.support.matrix.drafters import KnowingDrafter
from tests.support.models import plain_ids
from tests.support.works_with.rows import Given
from uag.translation.detokenizer import TextBytes

NEW = 8
# What a cell may say, beside "refused: MESSAGE", "FAILED: ERROR" and "does not apply: REASON".
EXACT, WRONG, UNDRAFTED = "exact", "WRONG", "plainly"
Cell = str


def truth(given: Given) -> list[list[int]]:
    """What `generate` gives for each prompt alone."""
    generator = given.generator or given.model
    return [plain_ids(generator, prompt, max_new_tokens=NEW) for prompt in given.prompts]


def by_generate(given: Given) -> Cell:
    decoder, expected = _knowing(given)
    out = decoder.generate(given.prompts[0], max_new_tokens=NEW, do_sample=False)
    return _cell(out.token_ids == expected[0], out.stats.accepted)


def by_custom_generate(given: Given) -> Cell:
    decoder, expected = _knowing(given)
    ids = torch.tensor([given.prompts[0]])
    out = given.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        custom_generate=decoder,
        max_new_tokens=NEW,
        do_sample=False,
        return_dict_in_generate=True,
    )
    return _cell(out.sequences[0, ids.shape[1] :].tolist() == expected[0], out.stats[0].accepted)


def by_pipeline(given: Given) -> Cell:
    text = given.tokenizer.decode(given.prompts[0])
    options: dict[str, Any] = {"max_new_tokens": NEW, "do_sample": False, "return_tensors": True}
    pipe = uag.pipeline(
        model=given.model,
        tokenizer=given.tokenizer,
        assistant_model=given.model,
        assistant_tokenizer=given.tokenizer,
        lookahead=3,
    )
    whole = given.generator or given.model
    plain = transformers.pipeline("text-generation", model=whole, tokenizer=given.tokenizer)
    return _cell(pipe(text, **options) == plain(text, **options), 1)


def by_batch(given: Given) -> Cell:
    decoder, expected = _knowing(given)
    outs = decoder.generate([*given.prompts], max_new_tokens=NEW, do_sample=False)
    same = [out.token_ids for out in outs] == expected
    return _cell(same, sum(out.stats.accepted for out in outs))


def as_assistant(given: Given) -> Cell:
    """Of itself, so that what it drafts is right."""
    target = given.target or given.model
    decoder = uag.SpeculativeDecoder(
        target, given.tokenizer, given.model, given.tokenizer, lookahead=3, lookup=False
    )
    out = decoder.generate(given.prompts[0], max_new_tokens=NEW, do_sample=False)
    generator = given.target or given.generator or given.model
    expected = plain_ids(generator, given.prompts[0], max_new_tokens=NEW)
    return _cell(out.token_ids == expected, out.stats.accepted)


COLUMNS: dict[str, Callable[[Given], Cell]] = {
    "generate": by_generate,
    "custom_generate": by_custom_generate,
    "pipeline": by_pipeline,
    "batch": by_batch,
    "as assistant": as_assistant,
}


def tried(column: str, given: Given) -> Cell:
    """The cell of one column; a call of anything may raise anything."""
    try:
        return COLUMNS[column](given)
    except uag.UagError as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - the table shows it
        return f"FAILED: {type(error).__name__}: {error}"


def _knowing(given: Given) -> tuple[uag.SpeculativeDecoder, list[list[int]]]:
    """A decoder whose drafter knows the texts to come, nearly; and these."""
    start, texts = uag.SpeculativeDecoder(given.model, given.tokenizer), truth(given)
    whole = [
        TextBytes(start.bridge.target).add([*prompt, *text])
        for prompt, text in zip(given.prompts, texts, strict=True)
    ]
    drafter = KnowingDrafter(whole)
    return uag.SpeculativeDecoder(given.model, given.tokenizer, drafter, lookahead=4), texts


def _cell(same: bool, accepted: int) -> Cell:
    if not same:
        return WRONG
    return EXACT if accepted else UNDRAFTED
