"""What a user should know of a prompt that was read: each a line that names the remedy."""

from collections.abc import Container
from typing import cast

from uag.requests.prompts.reader import ReadPrompt
from uag.translation.tokenizers import AnyTokenizer, token_of
from uag.values import shown


def hints_of(prompt: ReadPrompt, tokenizer: AnyTokenizer, ends: Container[int]) -> list[str]:
    """The hints about a prompt.

    Args:
        prompt: the prompt.
        tokenizer: the target's.
        ends: the ids that end the text.

    >>> hints_of(ReadPrompt([5, 6], [7]), target_tokenizer, ends=[0])
    []
    """
    found = [prompt.hint, _begins_twice(prompt.target_ids, tokenizer)]
    if prompt.turn is not None and prompt.turn not in ends:
        found.append(_goes_on(prompt.turn, tokenizer))
    return [hint for hint in found if hint]


def _begins_twice(ids: list[int], tokenizer: AnyTokenizer) -> str:
    begin = cast("int | None", getattr(tokenizer, "bos_token_id", None))
    if begin is None or ids[:2] != [begin, begin]:
        return ""
    return (
        f"the prompt begins with two beginning-of-text tokens ({shown(token_of(tokenizer, begin))})"
        ", which models are not used to: tokenize text that has one already with "
        "add_special_tokens=False, or give the text"
    )


def _goes_on(turn: int, tokenizer: AnyTokenizer) -> str:
    return (
        f"{shown(token_of(tokenizer, turn))} ends a turn in the target's chat template, but is not "
        f"among the ids that end a text, so the reply may go on after its end: add {turn} to "
        "eos_token_id"
    )
