"""Which form of a linear layer is the fastest for one shape and width: found out as it is used.

Layers of the same shape take turns, so that each form is timed on weights that are not in a cache.
"""

from time import perf_counter

import torch
from torch import Tensor

from uag.models.linear.forms import Form, forms

# Times of each form, and of them the one that counts: others may need the cores meanwhile.
TIMES = 12
COUNTS = 2
# A form must be so much faster than torch's own, and by the seconds that calling it takes.
GAIN = 1.15
CALL = 1e-5
# A form that was never faster than this many times the fastest is tried no more.
TOO_SLOW = 1.3
# By how many units in the last place of the largest number a form may differ from torch's own.
ROUNDINGS = 64

# Rows and columns of a weight, the width of a pass, and the number of threads.
Case = tuple[torch.Size, int, int]


class Fastest:
    """The fastest form for one case.

    >>> fastest, weight = Fastest(), torch.randn(64, 32)
    >>> while fastest.form is None:
    ...     _ = fastest(torch.randn(4, 32), weight, None)
    >>> fastest.form in forms()
    True

    Attributes:
        form: the form; `None` until it is known.
    """

    def __init__(self) -> None:
        self.form: Form | None = None
        self._own, *others = forms()
        self._others = others  # those that are still to be compared with torch's own
        self._seconds: dict[Form, list[float]] = {self._own: []}

    @property
    def is_own(self) -> bool:
        """Whether torch's own form is known to be the one."""
        return self.form is self._own

    def __call__(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's result, `[width, columns]` -> `[width, rows of the weight]`."""
        if self.form is not None:
            return self.form(rows, weight, bias)
        if self._others:
            return self._compared(self._others.pop(), rows, weight, bias)
        seconds = self._seconds
        form = min(seconds, key=lambda each: len(seconds[each]))
        start = perf_counter()
        result = form(rows, weight, bias)
        seconds[form].append(perf_counter() - start)
        self._judge()
        return result

    def _compared(self, form: Form, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The result of torch's own form; the other is timed from now on if it gives the same."""
        true = self._own(rows, weight, bias)
        try:
            got = form(rows, weight, bias)
        except RuntimeError:  # not on this machine
            return true
        allowed = ROUNDINGS * torch.finfo(true.dtype).eps * true.abs().amax()
        if bool((got - true).abs().amax() <= allowed):
            self._seconds[form] = []
        return true

    def _judge(self) -> None:
        """Give up what is too slow; decide once all forms that are left have been timed enough."""
        seconds = self._seconds
        if all(seconds.values()):
            limit = TOO_SLOW * min(map(min, seconds.values()))
            for form in [each for each in seconds if min(seconds[each]) > limit]:
                if form is not self._own and len(seconds[form]) > COUNTS:
                    del seconds[form]
        if len(seconds) == 1:
            self.form = self._own
        elif min(map(len, seconds.values())) >= TIMES:
            found = {form: sorted(times)[COUNTS] for form, times in seconds.items()}
            best = min(found, key=lambda each: found[each])
            self.form = best if found[best] * GAIN + CALL < found[self._own] else self._own


_found: dict[Case, Fastest] = {}


def fastest_of(weight: Tensor, width: int, threads: int) -> Fastest:
    """What is known of layers with a weight's shape; one for each case."""
    case = weight.shape, width, threads
    return _found.get(case) or _found.setdefault(case, Fastest())
