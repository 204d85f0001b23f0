"""The pair of small models that comes with the package and that `uag demo` runs."""

from importlib.resources import as_file, files
from typing import Any

from uag.decoder import SpeculativeDecoder


def demo_decoder(**options: Any) -> SpeculativeDecoder:
    """A decoder for the two small models of this package; needs no download.

    Both are loaded in float32 unless `dtype` is given.

    >>> demo_decoder(lookahead=4).generate("Once upon a time", max_new_tokens=4).stats.tokens
    4

    Args:
        options: arguments of `SpeculativeDecoder.from_pretrained`, except the two models.
    """
    if options.get("dtype", "auto") == "auto":
        options["dtype"] = "float32"
    with as_file(files("uag") / "demo_pair") as folder:
        return SpeculativeDecoder.from_pretrained(
            str(folder / "target"), str(folder / "assistant"), **options
        )
