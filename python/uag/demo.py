"""The pair of small models that comes with the package: `uag demo` runs it, and so may anyone."""

from importlib.resources import as_file, files
from typing import Any

from uag.decoder import SpeculativeDecoder


def demo_decoder(**options: Any) -> SpeculativeDecoder:
    """A decoder of the demo pair, in float32 if no other number type is given.

    >>> demo_decoder(lookahead=4).generate("Once upon a time", max_new_tokens=4).stats.tokens
    4

    Args:
        options: those of `SpeculativeDecoder.from_pretrained`.
    """
    if options.get("dtype", "auto") == "auto":
        options["dtype"] = "float32"
    with as_file(files("uag") / "demo_pair") as folder:
        return SpeculativeDecoder.from_pretrained(
            str(folder / "target"), str(folder / "assistant"), **options
        )
