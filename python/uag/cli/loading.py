"""Options of every command that loads models: which files, what may run, where the weights go."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uag.cli.help import LOADING, OF_ASSISTANT
from uag.cli.options import Conflict, lookup_option
from uag.cli.terminal import show_progress, tell

if TYPE_CHECKING:
    from uag.decoder import SpeculativeDecoder
    from uag.requests.named_models import ModelSource, TokenizerSource


def _value(metavar: str, help: str, kind: Any = str, panel: str = LOADING) -> Any:
    option = typer.Option(help=help, metavar=metavar, rich_help_panel=panel)
    return Annotated[kind | None, option]


def _flag(name: str, help: str) -> Any:
    return Annotated[bool, typer.Option(name, help=help, rich_help_panel=LOADING)]


# By the name of the option of `from_pretrained`: the kind of a value, and the default.
FILES: dict[str, tuple[Any, Any]] = {
    "revision": (_value("NAME", "Branch, tag or commit of the target."), None),
    "subfolder": (_value("PATH", "Folder of the target inside its repository."), None),
    "token": (
        _value("TOKEN", "Access token of the hub. By default the one you logged in with."),
        None,
    ),
    "cache_dir": (_value("FOLDER", "Where downloaded files are kept.", Path), None),
    "local_files_only": (_flag("--local-files-only", "Download nothing."), False),
    "trust_remote_code": (
        _flag("--trust-remote-code", "Run Python code that comes with the models."),
        False,
    ),
}
WEIGHTS: dict[str, tuple[Any, Any]] = {
    "gguf_file": (_value("NAME", "GGUF file of the target inside its folder."), None),
    "dtype": (
        _value("TYPE", "Number type of the weights: auto, float32, bfloat16 ..."),
        "auto",
    ),
    "device_map": (_value("DEVICE", "Where the models are put: auto, cuda, cpu ..."), None),
    "use_safetensors": (
        _flag(
            "--use-safetensors/--no-use-safetensors",
            "Whether to refuse weights that can run code when they are loaded (pickles). By "
            "default they are refused.",
        ),
        True,
    ),
}
# The assistant's own, where they differ: `--assistant-revision` and so on.
OWN_FILES = ("revision", "subfolder")
OWN_WEIGHTS = ("gguf_file", "dtype", "device_map")
OWN = {
    name: _value(metavar, help, panel=OF_ASSISTANT)
    for name, metavar, help in (
        ("revision", "NAME", "Branch, tag or commit of the assistant."),
        ("subfolder", "PATH", "Folder of the assistant inside its repository."),
        ("gguf_file", "NAME", "GGUF file of the assistant inside its folder."),
        ("dtype", "TYPE", "Number type of the assistant's weights."),
        ("device_map", "DEVICE", "Where the assistant is put."),
    )
}


@dataclass(frozen=True, slots=True)
class Loading:
    """What a command line says about loading.

    Attributes:
        options: of `from_pretrained`, for both models.
        assistant_options: further ones of the assistant.
    """

    options: dict[str, Any] = field(default_factory=dict[str, Any])
    assistant_options: dict[str, Any] = field(default_factory=dict[str, Any])

    def check_assistant(self, *names: str | None) -> None:
        """Refuse options of an assistant if none of these is loaded.

        Raises:
            Conflict: naming the first of these options.
        """
        if self.assistant_options and {*names} <= {None, "lookup"}:
            option = next(iter(self.assistant_options)).replace("_", "-")
            raise Conflict(f"--assistant-{option}, but no assistant is loaded: leave it out")

    def decoder(
        self,
        target: "ModelSource | None",
        assistant: str | None,
        *,
        tokenizer: "TokenizerSource | None" = None,
        lookahead: str,
        tree: int = 0,
        lookup: bool | None,
        texts: list[Path] | None,
        engine: str,
        compile: bool,
    ) -> "SpeculativeDecoder":
        """The decoder of two models, as a command line names them; without a target, the demo pair.

        A target that is loaded already comes with its `tokenizer`. `texts`: files to copy drafts
        from. The others are as in `SpeculativeDecoder`.
        """
        from uag.decoder import SpeculativeDecoder
        from uag.demo import demo_decoder
        from uag.limits import check_limits
        from uag.lookahead.schedules import Schedule, parse_lookahead
        from uag.models.engines.choice import EngineChoice
        from uag.requests.named_models import load_pair

        options: dict[str, Any] = {
            "lookahead": parse_lookahead(lookahead),
            "tree": tree,
            "lookup": lookup_option(assistant, lookup, texts),
            "engine": engine,
            "compile": compile,
        }
        if target is None:
            return demo_decoder(**options, **self.options)
        # These raise for a wrong value before gigabytes are loaded.
        check_limits({"tree": tree})
        Schedule(options["lookahead"])
        EngineChoice.of(engine, compile)
        show_progress()
        return SpeculativeDecoder(
            *load_pair(
                target,
                None if assistant == "lookup" else assistant,
                tokenizer=tokenizer,
                options=self.options,
                assistant_options=self.assistant_options,
                loading=_say,
            ),
            **options,
        )


def _say(role: str, name: str) -> None:
    tell(f"loading the {role} from {name}")


def loads_weights(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of loading; it gets them as `loading`."""
    return _with_options(command, FILES | WEIGHTS, (*OWN_FILES, *OWN_WEIGHTS))


def loads_files(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that reads no weights its options of loading; it gets them as `loading`."""
    return _with_options(command, FILES, OWN_FILES)


def _with_options(
    command: Callable[..., None], shared: dict[str, tuple[Any, Any]], own: Iterable[str]
) -> Callable[..., None]:
    kinds = {name: kind for name, (kind, _) in shared.items()}
    defaults = {name: default for name, (_, default) in shared.items()}
    for name in own:
        kinds[f"assistant_{name}"], defaults[f"assistant_{name}"] = OWN[name], None

    def run(**given: Any) -> None:
        loading = {name: given.pop(name) for name in kinds}
        wanted = {name: value for name, value in loading.items() if value is not None}
        command(
            **given,
            loading=Loading(
                {name: value for name, value in wanted.items() if name in shared},
                {
                    name: wanted[f"assistant_{name}"]
                    for name in own
                    if f"assistant_{name}" in wanted
                },
            ),
        )

    signature = inspect.signature(command)
    others = [each for each in signature.parameters.values() if each.name != "loading"]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind
        )
        for name, kind in kinds.items()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {
        name: kind for name, kind in command.__annotations__.items() if name != "loading"
    } | kinds
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*(each.replace(kind=keyword) for each in others), *added]
    )
    return run
