r"""A custom proposer for vLLM: any assistant for the models that it serves. Experimental.

    vllm serve TARGET \
        --speculative-config '{"model": "uag.vllm.Proposer", "num_speculative_tokens": 5}' \
        --additional-config '{"uag": {"assistant": "ASSISTANT"}}'

vLLM calls its interface for custom classes experimental, and so is this. Nothing of vLLM is
imported here: what it gives is in its configuration and in arrays.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from numpy.typing import NDArray

from uag.drafting.lookup import LOOKUP
from uag.errors import OptionError
from uag.models.loading.by_name import load_model, load_tokenizer
from uag.models.loading.options import of_files
from uag.models.wrappers import language_model
from uag.proposing.proposer import Proposer as EngineProposer
from uag.values import shown

OF_PROPOSER = ("lookahead", "lookup", "special_pairs", "draft_cost", "prompt_ids", "cache_bytes",
               "engine")  # fmt: skip
OPTIONS = ("assistant", "assistant_tokenizer", "device", "assistant_options", *OF_PROPOSER)


class Proposer:
    """What vLLM makes of `"model": "uag.vllm.Proposer"`, in each worker.

    Only the worker whose candidates vLLM reads loads the assistant. The options are those of
    `--additional-config '{"uag": {...}}'`: "assistant", a hub name, a folder or "lookup";
    "assistant_tokenizer", by default of the same name; "device", by default the target's;
    "assistant_options" for its `from_pretrained` ("dtype", "revision", "trust_remote_code"); and
    "lookahead", "lookup", "special_pairs", "draft_cost", "prompt_ids", "cache_bytes" and "engine"
    of `uag.Proposer`.

    Attributes:
        proposer: proposes the candidates, and counts them; `None` before `load_model`, and in other
            workers.
    """

    def __init__(self, vllm_config: Any) -> None:
        """Read the options.

        Raises:
            OptionError: for options that are unknown, and without an assistant.
        """
        self.proposer: EngineProposer | None = None
        self._model = vllm_config.model_config
        self._most: int = vllm_config.speculative_config.num_speculative_tokens
        self._options = _options(vllm_config.additional_config)

    def load_model(self, target: torch.nn.Module) -> None:
        """Load tokenizers and assistant, before vLLM measures what memory is left.

        Raises:
            LoadError: if one of them cannot be loaded.
            UagError: as `uag.Proposer` does.
        """
        if not _is_read():
            return
        given, name = self._options, self._options["assistant"]
        tokenizer = load_tokenizer(
            self._model.tokenizer,
            revision=self._model.tokenizer_revision,
            trust_remote_code=self._model.trust_remote_code,
        )
        assistant: Any = name
        other = None
        if name != LOOKUP:
            options = given.get("assistant_options", {})
            words = given.get("assistant_tokenizer", name)
            other = load_tokenizer(words, **(of_files(options) if words == name else {}))
            assistant = load_model(name, **options)
            model: Any = language_model(assistant, "assistant")
            model.to(given.get("device") or next(target.parameters()).device)
        self.proposer = EngineProposer(
            tokenizer,
            assistant,
            other,
            vocabulary=self._model.get_vocab_size(),
            **{option: given[option] for option in OF_PROPOSER if option in given},
        )

    def propose(
        self,
        sampled_token_ids: Sequence[Sequence[int]],
        num_tokens_no_spec: NDArray[Any],
        token_ids_cpu: NDArray[Any],
        **others: Any,
    ) -> list[list[int]]:
        """Candidates for what follows each text.

        Args:
            sampled_token_ids: for each text what the last pass emitted; nothing for a part of a
                prompt, after which nothing is proposed.
            num_tokens_no_spec: how many ids each text has, `[texts]`.
            token_ids_cpu: its ids, `[texts, longest]`.
            others: what vLLM gives besides.
        """
        del others
        if self.proposer is None:
            return [[] for _ in sampled_token_ids]
        lengths = [int(length) for length in num_tokens_no_spec[: len(sampled_token_ids)]]
        rows = [token_ids_cpu[row, :length] for row, length in enumerate(lengths)]
        limits = [
            # After the candidates comes one id of the target's own.
            max(0, min(self._most, self._model.max_model_len - length - 1)) if sampled else 0
            for sampled, length in zip(map(len, sampled_token_ids), lengths, strict=True)
        ]
        return self.proposer.propose(cast("list[list[int]]", rows), limits)


def _options(additional: object) -> Mapping[str, Any]:
    """The options of `--additional-config`."""
    given: Any = None
    if isinstance(additional, Mapping):
        given = cast("Mapping[str, Any]", additional).get("uag")
    if not isinstance(given, Mapping) or "assistant" not in given:
        raise OptionError(
            'there is no assistant; give one: --additional-config \'{"uag": {"assistant": NAME}}\''
        )
    options = cast("Mapping[str, Any]", given)
    for name in options:
        if name not in OPTIONS:
            raise OptionError(
                f"{shown(name)} in --additional-config is unknown; there are {', '.join(OPTIONS)}"
            )
    return options


def _is_read() -> bool:
    """Whether vLLM reads what this worker proposes: only the first of a tensor-parallel group's.

    Where vLLM is not loaded there is one worker.
    """
    state: Any = sys.modules.get("vllm.distributed.parallel_state")
    return state is None or state.get_tensor_model_parallel_rank() == 0
