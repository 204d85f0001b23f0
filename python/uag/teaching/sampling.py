"""Texts that a target writes, many at once, and where an assistant was wrong in each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uag.decoder import SpeculativeDecoder
from uag.decoding.output import Output
from uag.requests.prompts.chat import Chat
from uag.translation.detokenizer import text_decoder
from uag.translation.tokenizers import backend_of

# A call has this many texts for each of its places, so that few places are empty at its end.
TEXTS_OF_A_PLACE = 4


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A text that a target wrote after a prompt.

    Attributes:
        text: the new text, without special tokens.
        finish_reason: why it ended: "eos", "length", or another one of `Output.finish_reason`.
        rejected: where the assistant was wrong: for each rejected draft, how many characters of
            the text stand before the token that the target wrote in its place.
    """

    text: str
    finish_reason: str
    rejected: list[int]


def written_texts(
    decoder: SpeculativeDecoder,
    prompts: Sequence[str | Chat],
    options: Mapping[str, Any],
    *,
    samples: int = 1,
    batch_size: int = 32,
) -> Iterator[list[WrittenText]]:
    """What the target writes after each prompt: `samples` texts for each, in the prompts' order.

    With a seed, the texts of a prompt are the same whichever other prompts there are, if the
    prompts differ.

    >>> options = {"do_sample": True, "seed": 1, "max_new_tokens": 4}
    >>> (one,), (other,) = written_texts(decoder, ["Once", "One day"], options)
    >>> one.text == decoder.generate("Once", **options).text, one.finish_reason
    (True, 'length')

    Args:
        decoder: the target, and the assistant that is judged; without one nothing is rejected.
        prompts: what the texts begin with, which is no part of them; or chats that they reply to.
        options: of `SpeculativeDecoder.generate`.
        samples: how many texts to write after each prompt.
        batch_size: how many texts are decoded at the same time.

    Raises:
        PromptError: see `SpeculativeDecoder.generate`.
        OptionError: see `SpeculativeDecoder.generate`.
    """
    step = max(1, TEXTS_OF_A_PLACE * batch_size // samples)
    for at in range(0, len(prompts), step):
        outs = decoder.generate(
            [*prompts[at : at + step]],
            num_return_sequences=samples,
            batch_size=batch_size,
            **options,
        )
        texts = [WrittenText(out.text, out.finish_reason, rejections(decoder, out)) for out in outs]
        for first in range(0, len(texts), samples):
            yield texts[first : first + samples]


def rejections(decoder: SpeculativeDecoder, out: Output) -> list[int]:
    """Where drafts were rejected in an output, in characters of its text.

    >>> out = decoder.generate("Once upon a time", max_new_tokens=8)
    >>> all(0 <= at <= len(out.text) for at in rejections(decoder, out))
    True
    """
    core = decoder.bridge.target
    text = text_decoder(core, backend_of(decoder.tokenizer))
    text.add(core.encode(b"a"))  # some tokenizers drop a space before the first token
    found: list[int] = []
    at = 0
    for done in out.stats.history:
        (accepted, _), (own, _) = done.by_writer
        at += len(text.add(accepted))
        if own and done.accepted < done.candidates:  # else the text ended inside the draft
            found.append(at)
        at += len(text.add(own))
    return found
