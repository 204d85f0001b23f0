r"""lm-evaluation-harness with a decoder: the same scores, sooner.

    pip install "uag[eval]"
    python -m uag.lm_eval --model uag --tasks gsm8k \
        --model_args pretrained=TARGET,assistant=ASSISTANT

`python -m uag.lm_eval` is the harness's own command `lm_eval` with one more kind of model. Only
what generates text goes through the decoder; likelihoods are computed as ever.
"""

# The harness is half a gigabyte and need not be installed where this is checked.
# pyright: basic, reportMissingImports=false, reportUntypedBaseClass=false

from typing import TYPE_CHECKING, Any, cast

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from uag.decoder import DEFAULT_LOOKAHEAD, SpeculativeDecoder
from uag.drafting.custom import Drafter
from uag.lookahead.schedules import parse_lookahead
from uag.models.loading import load_model, load_tokenizer
from uag.translation.tokenizers import AnyTokenizer

if TYPE_CHECKING:
    from torch import Tensor


@register_model("uag")
class AssistedLM(HFLM):
    """The harness's `HFLM`, whose `generate_until` tasks are decoded with an assistant.

    >>> lm = AssistedLM(decoder, batch_size=4)                                    # doctest: +SKIP
    >>> lm_eval.simple_evaluate(lm, tasks=["gsm8k"])                              # doctest: +SKIP

    Attributes:
        decoder: what generates.
    """

    def __init__(
        self,
        pretrained: str | PreTrainedModel | SpeculativeDecoder,
        assistant: str | PreTrainedModel | Drafter | None = None,
        assistant_tokenizer: str | AnyTokenizer | None = None,
        *,
        lookahead: int | str = DEFAULT_LOOKAHEAD,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> None:
        """Build a decoder for the model that the harness loads, or take one that there is.

        Args:
            pretrained: the target: a hub name, a folder or a model as in `HFLM`, or a decoder.
            assistant: see `SpeculativeDecoder`; or a hub name or folder. In the target's number
                type and on its device, if it is loaded here.
            assistant_tokenizer: by default the one of the assistant's name.
            lookahead: see `SpeculativeDecoder`.
            trust_remote_code: whether to run Python code that comes with the models.
            options: those of `HFLM`: `dtype`, `batch_size`, `parallelize`.

        Raises:
            LoadError: if the assistant cannot be loaded.
        """
        given = pretrained if isinstance(pretrained, SpeculativeDecoder) else None
        if given is not None:
            options["tokenizer"] = given.tokenizer
        harness: Any = super()
        harness.__init__(
            pretrained=pretrained if given is None else given.model,
            trust_remote_code=trust_remote_code,
            **options,
        )
        self.decoder = given or self._built(
            assistant, assistant_tokenizer, lookahead, trust_remote_code
        )

    def _built(
        self,
        assistant: str | PreTrainedModel | Drafter | None,
        tokenizer: str | AnyTokenizer | None,
        lookahead: int | str,
        trust_remote_code: bool,
    ) -> SpeculativeDecoder:
        harness = cast("Any", self)
        name = tokenizer or (assistant if isinstance(assistant, str) else None)
        if isinstance(name, str):
            tokenizer = load_tokenizer(name, trust_remote_code=trust_remote_code)
        if isinstance(assistant, str):
            assistant = load_model(
                assistant, trust_remote_code=trust_remote_code, dtype=harness.model.dtype
            ).to(harness.model.device)
        return SpeculativeDecoder(
            harness.model,
            harness.tokenizer,
            assistant,
            cast("AnyTokenizer | None", tokenizer),
            lookahead=parse_lookahead(lookahead),
        )

    def _model_generate(
        self, context: "Tensor", max_length: int, stop: list[str], **generation_kwargs: Any
    ) -> "Tensor":
        return cast("Any", super())._model_generate(
            context, max_length, stop, custom_generate=self.decoder, **generation_kwargs
        )
