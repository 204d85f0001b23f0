r"""lm-evaluation-harness with a decoder: the same scores in less time.

    pip install lm-eval
    python -m uag.lm_eval --model uag --tasks gsm8k \
        --model_args pretrained=TARGET,assistant=ASSISTANT

`python -m uag.lm_eval` is the harness's own command `lm_eval` with the additional model type "uag".
Only tasks that generate text use the decoder; the harness computes likelihoods itself, as usual.
"""

# The harness is half a gigabyte and need not be installed where this file is type-checked.
# pyright: basic, reportMissingImports=false, reportUntypedBaseClass=false

from typing import TYPE_CHECKING, Any, cast

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel

from uag.decoder import DEFAULT_LOOKAHEAD, SpeculativeDecoder
from uag.drafting.custom import is_model
from uag.drafting.lookup import Lookup
from uag.lookahead.schedules import parse_lookahead
from uag.models.engines.choice import AUTO
from uag.models.loading.options import OF_FILES, OF_WEIGHTS, of_access
from uag.requests.named_models import AssistantSource, TokenizerSource, load_pair
from uag.sampling.method import COUPLED

if TYPE_CHECKING:
    from torch import Tensor


@register_model("uag")
class AssistedLM(HFLM):
    """The harness's `HFLM` with `generate_until` tasks decoded by a `SpeculativeDecoder`.

    >>> lm = AssistedLM(decoder, batch_size=4)                                    # doctest: +SKIP
    >>> lm_eval.simple_evaluate(lm, tasks=["gsm8k"])                              # doctest: +SKIP

    Attributes:
        decoder: the decoder.
    """

    def __init__(
        self,
        pretrained: str | PreTrainedModel | SpeculativeDecoder,
        assistant: AssistantSource | None = None,
        assistant_tokenizer: TokenizerSource | None = None,
        *,
        lookup: Lookup | bool | None = None,
        lookahead: int | str = DEFAULT_LOOKAHEAD,
        draft_temperature: float | None = None,
        sampling: str = COUPLED,
        engine: str = AUTO,
        compile: bool | str = False,
        trust_remote_code: bool = False,
        **options: Any,
    ) -> None:
        """Build a decoder for the model that the harness loads, or use a given one.

        Args:
            pretrained: the target: a hub name, a folder or a model as in `HFLM`; or a decoder, for
                which the arguments from `assistant` to `compile` are ignored.
            assistant: see `SpeculativeDecoder`; or a hub name or folder, which is loaded in the
                target's dtype and onto its device.
            assistant_tokenizer: the assistant's tokenizer, or its name; by default the assistant's
                name is used.
            lookup: see `SpeculativeDecoder`.
            lookahead: see `SpeculativeDecoder`.
            draft_temperature: see `SpeculativeDecoder`.
            sampling: see `SpeculativeDecoder`.
            engine: see `SpeculativeDecoder`.
            compile: see `SpeculativeDecoder`.
            trust_remote_code: whether to run Python code that comes with the models.
            options: passed to `HFLM`: `dtype`, `batch_size`, `revision`, `token`, ... Those that
                hold for any repository (`token`, `cache_dir`) reach the assistant too; its own ones
                begin with "assistant_": `assistant_revision`, `assistant_dtype`, ...

        Raises:
            LoadError: if the assistant cannot be loaded.
        """
        names = {f"assistant_{name}": name for name in (*OF_FILES, *OF_WEIGHTS)}
        own = {names[name]: options.pop(name) for name in [*options] if name in names}
        shared = of_access(options) | {"trust_remote_code": trust_remote_code}
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
            assistant,
            assistant_tokenizer,
            shared,
            own,
            {
                "lookup": lookup,
                "lookahead": parse_lookahead(lookahead),
                "draft_temperature": draft_temperature,
                "sampling": sampling,
                "engine": engine,
                "compile": compile,
            },
        )

    def _built(
        self,
        assistant: AssistantSource | None,
        tokenizer: TokenizerSource | None,
        shared: dict[str, Any],
        own: dict[str, Any],
        options: dict[str, Any],
    ) -> SpeculativeDecoder:
        harness = cast("Any", self)
        pair = load_pair(
            harness.model,
            assistant,
            tokenizer=harness.tokenizer,
            assistant_tokenizer=tokenizer,
            options=shared | {"dtype": harness.model.dtype},
            assistant_options=own,
        )
        placed = "device_map" in own or pair.assistant is assistant
        if is_model(pair.assistant) and not placed:
            pair.assistant.to(harness.model.device)
        return SpeculativeDecoder(*pair, **options)

    def _model_generate(
        self, context: "Tensor", max_length: int, stop: list[str], **generation_kwargs: Any
    ) -> "Tensor":
        return cast("Any", super())._model_generate(
            context, max_length, stop, custom_generate=self.decoder, **generation_kwargs
        )
