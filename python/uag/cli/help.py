"""The pages of `--help`: options in groups, names whole at any width, examples to copy."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

WIDEST = 100  # longer lines are hard to read
NARROW = 72  # below this, a sentence stands under the names that it explains
BESIDE, UNDER = 28, 6
NAME, TITLE = "bold cyan", "bold"
# Groups of options: the `rich_help_panel` of each. They stand in the order of the first of each.
MODELS, TEXT, INPUT = "Models", "Text", "Input"
DRAFTING, SAMPLING, RUNNING = "Drafting", "Sampling", "Running"
OUTPUT, LOADING = "Output", "Loading"
OF_ASSISTANT, OTHER = "Loading of the assistant, if it differs", "Other"


class Command(TyperCommand):
    """A subcommand whose help is a page of this module."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's
        """Print the page."""
        console = Console(highlight=False)
        _begin(self, ctx, console)
        _options(self, ctx, console)
        _end(self, console)


class Commands(TyperGroup):
    """The command itself: its page also lists the subcommands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's
        """Print the page."""
        console = Console(highlight=False)
        _begin(self, ctx, console)
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.help or "") for name, command in found if command]
        _group("Commands", rows, console)
        _options(self, ctx, console)
        _end(self, console)


def _begin(command: Any, ctx: Any, console: Console) -> None:
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    for part in (f"Usage: {usage}", command.help or ""):
        console.print(Text("\n".join(_lines(part, console, _width(console)))), end="\n\n")


def _end(command: Any, console: Console) -> None:
    """Print the examples as they are: a line that is broken here could not be copied."""
    console.print(Text((command.epilog or "").rstrip()), soft_wrap=True)


def _options(command: Any, ctx: Any, console: Console) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in command.get_params(ctx):
        if not option.hidden:
            group = option.rich_help_panel or OTHER
            groups.setdefault(group, []).append((_names(option), _sentence(option)))
    for group in sorted(groups, key=lambda group: group == OTHER):
        _group(group, groups[group], console)


def _names(option: Any) -> str:
    """The names of an option and what its value is called, or the name of an argument."""
    if option.param_type_name == "argument":
        return f"{option.metavar or option.name}{'...' if option.nargs != 1 else ''}"
    both = (", ".join(sorted(names, key=len)) for names in (option.opts, option.secondary_opts))
    names = " / ".join(filter(None, both))
    return names if option.is_flag else f"{names} {option.metavar or option.name.upper()}"


def _sentence(option: Any) -> str:
    known = [option.help or ""]
    if option.required:
        known.append("[required]")
    elif option.default is not None and option.param_type_name == "option" and not option.is_flag:
        known.append(f"[default: {option.default}]")
    return " ".join(known)


def _group(title: str, rows: Iterable[tuple[str, str]], console: Console) -> None:
    console.print(Text(f"{title}:", style=TITLE))
    for names, sentence in rows:
        console.print(_row(names, sentence, console), soft_wrap=True)
    console.print()


def _row(names: str, sentence: str, console: Console) -> Text:
    """Names, and beside or under them the sentence, on lines of the console's width."""
    width = _width(console)
    indent = UNDER if width < NARROW else BESIDE
    row = Text(f"  {names}", style=NAME)
    lines = _lines(sentence, console, width - indent)
    if len(row) + 2 <= indent:
        row.append(" " * (indent - len(row)) + lines.pop(0), style="not bold default")
    for line in lines:
        row.append(f"\n{' ' * indent}{line}", style="not bold default")
    return row


def _lines(sentence: str, console: Console, width: int) -> list[str]:
    return [line.plain.rstrip() for line in Text(sentence).wrap(console, width)]


def _width(console: Console) -> int:
    return min(console.width, WIDEST)
