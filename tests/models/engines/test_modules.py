"""What a model is made of is known after any change of its modules, as by `model.modules()`."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from uag.models.engines.modules import Modules


def model() -> Any:
    shared = nn.Linear(2, 2)
    return nn.Sequential(
        nn.Sequential(shared, nn.ReLU()), nn.ModuleDict({"a": nn.Linear(2, 2)}), shared, nn.ReLU()
    )


def exchange(parts: Any) -> None:
    parts[0], parts[1] = parts[1], parts[0]


CHANGES: dict[str, Callable[[Any], object]] = {
    "another part": lambda parts: parts.append(nn.ReLU()),
    "another part, deep": lambda parts: parts[1].update({"b": nn.Linear(2, 2)}),
    "a part of a leaf": lambda parts: setattr(parts[3], "inner", nn.ReLU()),
    "replaced": lambda parts: parts[0].__setitem__(0, nn.Linear(2, 2)),
    "replaced by one of the same": lambda parts: parts[0].__setitem__(1, parts[3]),
    "removed": lambda parts: parts.__delitem__(2),
    "absent": lambda parts: setattr(parts, "0", None),
    "exchanged": exchange,
    "all parts anew": lambda parts: setattr(parts, "_modules", {"z": parts[0], "y": parts[1]}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_any_change_is_seen(change: Callable[[Any], object]) -> None:
    parts = model()
    modules = Modules(parts)
    for _ in range(2):
        assert modules.now() == [*parts.modules()]
    change(parts)
    assert {*modules.now()} == {*parts.modules()}
    assert len(modules.now()) == len([*parts.modules()])
    assert modules.now()[0] is parts


def test_modules_that_did_not_change_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = model()
    modules = Modules(parts)
    known = modules.now()
    monkeypatch.delattr(nn.Module, "modules")
    assert modules.now() is known
