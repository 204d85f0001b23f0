"""What classes of transformers change in how `generate` prepares a pass, found in their sources.

Nothing is imported, so that the sources may be of any release.
"""

import ast
import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

TABLE = Path(__file__).with_suffix(".toml")

# Methods of `GenerationMixin` that decide what a pass reads, and one that masks ask for.
HOOKS = (
    "prepare_inputs_for_generation",
    "create_masks_for_generate",
    "generate",
    "_expand_inputs_for_generation",
    "_expand_multimodal_outputs",
    "_get_initial_cache_position",
    "_maybe_initialize_input_ids_for_generation",
    "_prefill",
    "_prepare_attention_mask_for_generation",
    "_prepare_cache_for_generation",
    "_prepare_model_inputs",
    "_prepare_position_ids_for_generation",
    "_prepare_static_cache",
    "_sample",
    "_supports_default_dynamic_cache",
    "_update_model_kwargs_for_generation",
)

# One argument, by its names in different releases.
CACHE_NAMES = {"past_key_values", "cache_params"}


@dataclass(frozen=True, order=True)
class Override:
    """A class that has a hook of its own; `sets` names the inputs that it sets or removes."""

    name: str
    fingerprint: str
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Overrides that do the same, what that is, and what uag does about it."""

    title: str
    does: str
    uag: str
    overrides: dict[str, list[str]]


@dataclass(frozen=True)
class Comparison:
    """Overrides that a table lacks, that are others than it has, and that it has in vain."""

    new: list[Override]
    changed: list[Override]
    gone: list[str]


def installed() -> Path:
    """The folder of the installed transformers."""
    package = find_spec("transformers")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent


def overrides(folder: Path) -> list[Override]:
    """Every override in the models of a `transformers` folder."""
    files = [*folder.glob("models/*/modeling_*.py"), *folder.glob("models/*/generation_*.py")]
    return sorted(found for file in files for found in _in_source(file.read_text()))


def table() -> list[Group]:
    """The overrides that are known."""
    groups = tomllib.loads(TABLE.read_text())["group"]
    return [Group(**group) for group in groups]


def compare(found: Iterable[Override], groups: Iterable[Group]) -> Comparison:
    """What of `found` is not in `groups`."""
    known = {name: prints for group in groups for name, prints in group.overrides.items()}
    there = list(found)
    return Comparison(
        new=[each for each in there if each.name not in known],
        changed=[
            each
            for each in there
            if each.fingerprint not in known.get(each.name, [each.fingerprint])
        ],
        gone=sorted({*known} - {each.name for each in there}),
    )


HEAD = """\
# Preparations

What `generate` gives a model in a pass is prepared by methods that a class may override. This is
every class of transformers 5.20 to 5.24 that does, and what uag does about it. For all other
classes a pass reads ids, a cache, positions from 0 where the class takes them, and no mask but for
padding, which is what `generate` gives them.

    python -m tests.campaigns.preparations

names what a release adds or changes; the table comes from `tests/support/preparations.toml`.
Whatever a class is said to do here, each model is checked when a decoder is made: see
[Exactness](exactness.md).

| what the class does | uag | classes |
|---|---|---|
"""


def page(groups: Iterable[Group]) -> str:
    """docs/preparations.md."""
    rows = [
        f"| **{group.title}.** {group.does} | {group.uag} | {_classes(group)} |" for group in groups
    ]
    return HEAD + "\n".join(rows) + "\n"


def _classes(group: Group) -> str:
    """The classes of a group, each with its hooks."""
    hooks: dict[str, list[str]] = {}
    for name in group.overrides:
        cls, _, hook = name.partition(".")
        hooks.setdefault(cls, []).append(hook)
    alike: dict[tuple[str, ...], list[str]] = {}
    for cls, of_class in hooks.items():
        alike.setdefault(tuple(of_class), []).append(cls)
    return "; ".join(
        f"{', '.join(f'`{name}`' for name in of_class)}: {', '.join(classes)}"
        for of_class, classes in alike.items()
    )


def _in_source(source: str) -> Iterator[Override]:
    if not any(f"def {hook}(" in source for hook in HOOKS):
        return
    for cls in ast.parse(source).body:
        for method in cls.body if isinstance(cls, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and method.name in HOOKS:
                plain = ast.fix_missing_locations(_Plain().visit(method))
                digest = hashlib.sha256(ast.unparse(plain).encode()).hexdigest()[:8]
                yield Override(f"{cls.name}.{method.name}", digest, tuple(sorted(_sets(plain))))


class _Plain(ast.NodeTransformer):
    """Takes away what does not change what a method does: documentation, types, new names."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list, node.returns = [], None
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return node if node.value is None else ast.Assign([node.target], node.value)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(_cache(node.arg))

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self.generic_visit(node)
        return ast.keyword(node.arg and _cache(node.arg), node.value)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(_cache(node.id), node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Attribute(node.value, _cache(node.attr), node.ctx)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Releases of Python write them in different ways, and they are only messages."""
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(_cache(node.value)) if isinstance(node.value, str) else node


def _cache(name: str) -> str:
    return "cache" if name in CACHE_NAMES else name


def _sets(method: ast.AST) -> set[str]:
    """Names that the method assigns, removes or returns as keys of a dictionary."""
    found: set[str] = set()
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=str(name)))]):
                found.add(name)
            case ast.Call(func=ast.Attribute(attr="pop"), args=[ast.Constant(value=str(name)), *_]):
                found.add(name)
            case ast.Dict(keys=keys):
                found |= {
                    key.value
                    for key in keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
            case _:
                pass
    return found
