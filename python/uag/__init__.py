"""A model generates faster by the guesses of a smaller one, whatever their tokenizers.

Importing this package is cheap: torch and transformers are loaded when a name that needs them is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uag._core import CoreError as CoreError
    from uag.bridge import Bridge as Bridge
    from uag.chat import Chat as Chat
    from uag.comparison import Comparison as Comparison
    from uag.decoder import SpeculativeDecoder as SpeculativeDecoder
    from uag.errors import FileError as FileError
    from uag.errors import LoadError as LoadError
    from uag.errors import LogitsError as LogitsError
    from uag.errors import OptionError as OptionError
    from uag.errors import PromptError as PromptError
    from uag.errors import UagError as UagError
    from uag.errors import UagWarning as UagWarning
    from uag.errors import UnsupportedModelError as UnsupportedModelError
    from uag.errors import UnsupportedTokenizerError as UnsupportedTokenizerError
    from uag.guesses import Drafter as Drafter
    from uag.inspection import Pair as Pair
    from uag.inspection import inspect_pair as inspect_pair
    from uag.inspection import rank_assistants as rank_assistants
    from uag.lookahead import Fixed as Fixed
    from uag.lookahead import Heuristic as Heuristic
    from uag.lookahead import Lookahead as Lookahead
    from uag.lookup import Lookup as Lookup
    from uag.measure import compare as compare
    from uag.output import Output as Output
    from uag.output import TextStream as TextStream
    from uag.page import write_page as write_page
    from uag.pipelines import pipeline as pipeline
    from uag.rows import AssistedOutput as AssistedOutput
    from uag.stats import Round as Round
    from uag.stats import Stats as Stats
    from uag.trace import Step as Step
    from uag.trace import Trace as Trace

    __version__: str

_HOMES = {
    "AssistedOutput": "rows",
    "Bridge": "bridge",
    "Chat": "chat",
    "Comparison": "comparison",
    "CoreError": "_core",
    "Drafter": "guesses",
    "Output": "output",
    "SpeculativeDecoder": "decoder",
    "FileError": "errors",
    "LoadError": "errors",
    "LogitsError": "errors",
    "OptionError": "errors",
    "PromptError": "errors",
    "UagError": "errors",
    "UagWarning": "errors",
    "UnsupportedModelError": "errors",
    "UnsupportedTokenizerError": "errors",
    "Pair": "inspection",
    "inspect_pair": "inspection",
    "rank_assistants": "inspection",
    "Fixed": "lookahead",
    "Heuristic": "lookahead",
    "Lookahead": "lookahead",
    "Lookup": "lookup",
    "Round": "stats",
    "Stats": "stats",
    "Step": "trace",
    "Trace": "trace",
    "TextStream": "output",
    "compare": "measure",
    "pipeline": "pipelines",
    "write_page": "page",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] # the names above, once


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("uag")
    if name in _HOMES:
        return getattr(import_module(f"uag.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'uag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
