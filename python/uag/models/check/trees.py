"""Whether one pass over a tree of ids gives what a pass over each of its paths gives.

Nothing is tried before a tree is wanted, and each kind of model is tried once (see `records`).
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from uag.models.cached_lm import CachedLM
from uag.models.caches.layers import has_no_states
from uag.models.caches.protocol import TOGETHER, ModelCache, TreeReading
from uag.models.check.comparison import Comparison
from uag.models.check.records import record_of
from uag.models.check.trial import LONGEST, PROMPT, named_lengths, tries_of
from uag.models.check.way import new_cache, way_of
from uag.models.masks import FULL, SLIDING
from uag.models.properties import (
    attention_of,
    embedding_rows,
    parameters_of,
    position_limit,
    text_config,
)
from uag.models.reading import reading_of

# The tree that is tried: it branches after its first node, and before it.
PARENTS = (-1, 0, 1, 0, -1)
# Its paths from a beginning to an end. The second one is kept, and ids are read after it.
PATHS = (0, 1, 2), (0, 3), (4,)
KEPT, REST = PATHS[1], 2
# A window up to this is shorter than the prefix where a model may have masks of its own.
LONGEST_OF_OWN = 512
_OTHERWISE = "is not read from its KV cache and ids alone"
_UNPLACED = "takes no positions"


def trees_fault(model: PreTrainedModel, cache: ModelCache) -> str:
    """Why a model reads chains only over such a cache; empty if it reads trees.

    >>> trees_fault(target, new_cache(target))
    ''
    """
    if cache.way != TOGETHER:
        return cache.way.reason or _OTHERWISE
    if not isinstance(cache, TreeReading):
        return f"has no tree in the passes over a {type(cache).__name__}"
    if known := known_fault(model) or _fault_in_reading(model):
        return known
    record = record_of(model)
    if (known := record.get("trees")) is None:
        try:
            known = _fault_in_tree(model)
        except Exception as error:  # noqa: BLE001 - a model's code may raise anything
            # Not remembered: after a lack of memory the next try may succeed.
            return f"fails where it reads a tree ({type(error).__name__})"
        record.keep("trees", known, passed=not known)
    return cast("str", known)


def known_fault(model: PreTrainedModel) -> str:
    """Why a model cannot read trees, as far as that is seen without running it; empty if unseen.

    The model may be on the meta device, without weights.

    >>> known_fault(target)
    ''
    """
    return next(_obstacles(model), "")


def _obstacles(model: PreTrainedModel) -> Iterator[str]:
    for layer in DynamicCache(config=text_config(model)).layers:
        known = type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
        if not known and not has_no_states(layer):
            yield f"keeps a {type(layer).__name__}, which has no branches"
    config: Any = text_config(model)
    for kind in getattr(config, "layer_types", None) or ():
        if kind not in (FULL, SLIDING):
            yield f"has {kind}, for which there is no mask of a tree"
    if getattr(config, "alibi", False):
        yield "has ALiBi, which counts ids by their places"
    if attention_of(model) not in ("sdpa", "eager"):
        yield f"has {attention_of(model)} attention, which takes no mask of a tree as sdpa does"
    if "position_ids" not in parameters_of(model):
        yield _UNPLACED


def _fault_in_reading(model: PreTrainedModel) -> str:
    reading = reading_of(model)
    if way_of(model) != TOGETHER or reading.places:
        return _OTHERWISE
    return "" if reading.takes_positions else _UNPLACED


def _fault_in_tree(model: PreTrainedModel) -> str:
    """Read a tree, keep a path of it and read on, and read each path alone."""
    if any(_reads(model, number) for number in range(tries_of(model))):
        return ""
    return "gives other logits in one pass over a tree than in one for each path"


def _reads(model: PreTrainedModel, number: int) -> bool:
    prefix = _prefix_length(model)
    count = prefix + len(PARENTS) + REST
    # No two ids of a text are the same while there are others.
    ids = (torch.arange(1, count + 1) + number * count) % embedding_rows(model)
    text: list[int] = cast("Any", ids).tolist()
    nodes, rest = text[prefix : prefix + len(PARENTS)], text[prefix + len(PARENTS) :]
    lm, alone = (CachedLM(model, cache=new_cache(model)) for _ in range(2))
    lm.append(text[:prefix])
    lm.append(nodes)
    got = [lm.tree_logits(PARENTS).clone()]
    lm.keep_path(KEPT)
    lm.append(rest)
    got.append(lm.logits(REST))
    alone.append(text[:prefix])
    true: dict[int, Tensor] = {}
    for path in (*PATHS, KEPT):
        alone.apply(prefix, [nodes[node] for node in path])
        rows = alone.logits(1 + len(path)).clone()
        true.update(zip((-1, *path), rows, strict=True))
    alone.append(rest)
    wanted = [true[node] for node in range(-1, len(PARENTS))]
    return Comparison(model.dtype).logits(
        torch.cat(got), torch.cat([torch.stack(wanted), alone.logits(REST)])
    )


def _prefix_length(model: PreTrainedModel) -> int:
    """How many ids are before the tree: more than a window, where it is not too long."""
    own = not getattr(model, "_supports_attention_backend", False)
    most = LONGEST_OF_OWN if own else LONGEST
    lengths = [length for length in named_lengths(model) if length <= most]
    prefix = max([PROMPT, *(length + 1 for length in lengths)])
    limits = position_limit(model), reading_of(model).regimes.drift
    room = (limit - len(PARENTS) - REST for limit in limits if limit is not None)
    return min([prefix, *room])
