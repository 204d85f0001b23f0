"""A lookahead for a model that several processes compute together: all must decide the same.

transformers shards a model over the processes of `torchrun` (`tp_plan="auto"`). All of them take
part in every forward pass, so all must read the same ids. What is computed from logits is the same
in each process, but measured times differ. So all processes use the times of the first one.
"""

from dataclasses import replace
from typing import Any, cast

import torch.distributed
from transformers import PreTrainedModel

from uag.draft import GoesOn
from uag.lookahead.protocol import Sharing
from uag.stats import Round


class SyncedLookahead:
    """Wraps the "auto" lookahead where processes share a model: all learn the first one's times."""

    def __init__(self, lookahead: Sharing, model: PreTrainedModel) -> None:
        self._lookahead = lookahead
        mesh: Any = getattr(model, "_device_mesh", None)
        names = getattr(mesh, "mesh_dim_names", None) or ()
        self._group = mesh["tp"].get_group() if "tp" in names else None

    def start(self) -> None:
        self._lookahead.start()

    def share(self, rows: int) -> None:
        self._lookahead.share(rows)

    def next_k(self) -> int:
        return self._lookahead.next_k()

    def goes_on(self) -> GoesOn | None:
        return self._lookahead.goes_on()

    def update(self, done: Round) -> None:
        times: list[Any] = [(done.seconds, done.draft_seconds)]
        cast("Any", torch.distributed).broadcast_object_list(times, group=self._group, group_src=0)
        seconds, draft_seconds = times[0]
        self._lookahead.update(replace(done, seconds=seconds, draft_seconds=draft_seconds))
