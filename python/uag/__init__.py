"""Speculative decoding between models with different tokenizers, with the target's own output.

Start with `SpeculativeDecoder`, which decodes with a target model and a smaller assistant model.

Importing this package is cheap: torch and transformers are loaded when a name that needs them is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uag._core import CoreError as CoreError
    from uag.benchmark.compare import compare as compare
    from uag.benchmark.comparison import Comparison as Comparison
    from uag.decoder import SpeculativeDecoder as SpeculativeDecoder
    from uag.decoding.output import Output as Output
    from uag.decoding.output import TextStream as TextStream
    from uag.decoding.trace import Step as Step
    from uag.decoding.trace import Trace as Trace
    from uag.drafting.custom import Drafter as Drafter
    from uag.drafting.lookup import Lookup as Lookup
    from uag.errors import AdapterError as AdapterError
    from uag.errors import FileError as FileError
    from uag.errors import LoadError as LoadError
    from uag.errors import LogitsError as LogitsError
    from uag.errors import OptionError as OptionError
    from uag.errors import PromptError as PromptError
    from uag.errors import UagError as UagError
    from uag.errors import UagWarning as UagWarning
    from uag.errors import UnsupportedModelError as UnsupportedModelError
    from uag.errors import UnsupportedTokenizerError as UnsupportedTokenizerError
    from uag.inspection.inspect import inspect_pair as inspect_pair
    from uag.inspection.inspect import rank_assistants as rank_assistants
    from uag.inspection.pair import Pair as Pair
    from uag.integrations.pipeline import pipeline as pipeline
    from uag.lookahead.protocol import Lookahead as Lookahead
    from uag.lookahead.schedules import Fixed as Fixed
    from uag.lookahead.schedules import Heuristic as Heuristic
    from uag.proposing.proposer import Proposer as Proposer
    from uag.report.page import write_page as write_page
    from uag.requests.padded_rows import AssistedOutput as AssistedOutput
    from uag.requests.prompts.chat import Chat as Chat
    from uag.stats import Ending as Ending
    from uag.stats import Round as Round
    from uag.stats import Stats as Stats
    from uag.translation.bridge import Bridge as Bridge

    __version__: str

_HOMES = {
    "AssistedOutput": "requests.padded_rows",
    "Bridge": "translation.bridge",
    "Chat": "requests.prompts.chat",
    "Comparison": "benchmark.comparison",
    "AdapterError": "errors",
    "CoreError": "_core",
    "Drafter": "drafting.custom",
    "Ending": "stats",
    "Output": "decoding.output",
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
    "Pair": "inspection.pair",
    "inspect_pair": "inspection.inspect",
    "rank_assistants": "inspection.inspect",
    "Fixed": "lookahead.schedules",
    "Heuristic": "lookahead.schedules",
    "Lookahead": "lookahead.protocol",
    "Lookup": "drafting.lookup",
    "Proposer": "proposing.proposer",
    "Round": "stats",
    "Stats": "stats",
    "Step": "decoding.trace",
    "Trace": "decoding.trace",
    "TextStream": "decoding.output",
    "compare": "benchmark.compare",
    "pipeline": "integrations.pipeline",
    "write_page": "report.page",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] # the names above, once


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("uag-decoding")
    if name in _HOMES:
        return getattr(import_module(f"uag.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'uag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
