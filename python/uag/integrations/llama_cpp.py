"""Any transformers assistant for a target that llama-cpp-python runs.

llm = llama_cpp.Llama("target.gguf", draft_model=DraftModel(tokenizer, assistant, ...))
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import ProcessorMixin

from uag.drafting.custom import Drafter
from uag.drafting.lookup import Lookup
from uag.limits import check_positive
from uag.models.wrappers import AnyModel
from uag.proposing.proposer import Proposer
from uag.translation.tokenizers import AnyTokenizer


class DraftModel:
    """The `draft_model=` of a `llama_cpp.Llama`.

    The library itself verifies each candidate against the id that it samples, so the text is the
    one without a draft model, for each seed too, up to rounding.

    >>> import numpy as np
    >>> drafts = DraftModel(target_tokenizer, assistant, assistant_tokenizer, num_pred_tokens=4)
    >>> ids = np.array(target_tokenizer("Once upon a time")["input_ids"], dtype=np.intc)
    >>> found = drafts(ids)
    >>> found.dtype == np.intc, len(found) <= 4
    (True, True)

    Args:
        target_tokenizer: a fast tokenizer with the ids of the GGUF file: that of the model which it
            was converted from.
        assistant: see `Proposer`.
        assistant_tokenizer: see `Proposer`.
        num_pred_tokens: the most candidates in a round.
        options: see `Proposer`.

    Attributes:
        proposer: proposes the candidates, and counts them.

    Raises:
        UagError: as `Proposer` does.
    """

    def __init__(
        self,
        target_tokenizer: AnyTokenizer | ProcessorMixin,
        assistant: AnyModel | Drafter | Lookup | str,
        assistant_tokenizer: AnyTokenizer | ProcessorMixin | None = None,
        *,
        num_pred_tokens: int = 5,
        **options: Any,
    ) -> None:
        check_positive(num_pred_tokens=num_pred_tokens)
        self.proposer = Proposer(target_tokenizer, assistant, assistant_tokenizer, **options)
        self._most = num_pred_tokens

    def __call__(self, input_ids: NDArray[np.intc], /, **options: Any) -> NDArray[np.intc]:
        """Candidates for what follows all ids of a text: `[length]` -> `[candidates]`."""
        del options
        (candidates,) = self.proposer.propose([input_ids.tolist()], self._most)
        return np.array(candidates, dtype=np.intc)
