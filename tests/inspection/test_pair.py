"""The facts of a pair: costs, windows, special tokens."""

import json

from transformers import AutoConfig

import uag
from uag.inspection.model_size import size_of, unloaded


def test_costs_windows_and_special_tokens_of_folders(folders: dict[str, str]) -> None:
    pair = uag.inspect_pair(folders["target"], folders["small"])
    assert pair.costs is not None
    configs = [AutoConfig.from_pretrained(folders[name]) for name in ("small", "target")]
    read = [size_of(unloaded(config), config).active for config in configs]
    assert sorted(pair.costs) == sorted([1 / 8, read[0] / read[1]])
    assert pair.target.window == 256 and pair.obstacles == []
    assert [pair.target.ids_of("eos"), pair.assistant.ids_of("eos")] == [[0], [2]]
    assert (pair.target.begins, pair.assistant.begins) == ((), ("<s>",))
    assert pair.verdict.startswith("Works. Both sides take the fast exact path.")
    described = pair.as_dict()
    assert json.loads(json.dumps(described)) == described
    assert described["target"]["parameters"] == pair.target.size.parameters
