"""What the dialects share: parts of a reply one after the other, and checks of what they nest."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from uag.serving.failures import Failure
from uag.serving.protocol.spoken import Said
from uag.values import shown

THINKING, TEXT, TOOL = "thinking", "text", "tool"


def blocks_of(said: Said) -> Iterator[tuple[str, Any]]:
    """The kinds of what was said, in order, each with its text or call.

    >>> [*blocks_of(Said("Hi!", reasoning="A greeting."))]
    [('thinking', 'A greeting.'), ('text', 'Hi!')]
    """
    if said.reasoning:
        yield THINKING, said.reasoning
    if said.content:
        yield TEXT, said.content
    for call in said.calls:
        yield TOOL, call


def listed_objects(name: str, value: Any) -> list[dict[str, Any]]:
    """A field that must be a list of objects; an empty list if it is missing.

    Raises:
        Failure: 400, naming the field.
    """
    if value is None:
        return []
    objects = cast("list[Any]", value if isinstance(value, list) else [value])
    for each in objects:
        if not isinstance(each, dict) or not isinstance(value, list):
            raise Failure(
                f"{name} has {shown(cast('object', each))}, but must be a list of objects",
                param=name,
            )
    return cast("list[dict[str, Any]]", objects)


def text_of(name: str, given: object, kinds: tuple[str, ...]) -> str:
    """A text, given as such or in blocks of some kinds.

    Raises:
        Failure: 400, for any other block.
    """
    if isinstance(given, str):
        return given
    texts: list[str] = []
    for block in listed_objects(name, given):
        if block.get("type") not in kinds or not isinstance(block.get("text"), str):
            raise Failure(
                f"{name} has {shown(block)}, but must be a text or blocks of type "
                f"{' or '.join(kinds)}; images and files are not read here",
                param=name,
            )
        texts.append(block["text"])
    return "".join(texts)


def renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a body that a chat has too, under the names that they have there."""
    return {name: body[own] for own, name in names.items() if body.get(own) is not None}
