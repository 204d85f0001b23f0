import pytest
import torch
from torch.nn.functional import linear

from uag.models.linear.forms import Form, forms


@pytest.mark.parametrize("form", forms(), ids=lambda form: form.__name__)
@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 17, 64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 256), (256, 64), (100, 33)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_every_form_is_linear(
    form: Form, width: int, shape: tuple[int, int], has_bias: bool
) -> None:
    torch.manual_seed(width)
    weight = torch.randn(shape)
    bias = torch.randn(shape[0]) if has_bias else None
    before = None if bias is None else bias.clone()
    for rows in (torch.randn(width, shape[1]), torch.randn(shape[1], width).T):
        result = form(rows, weight, bias)
        torch.testing.assert_close(result, linear(rows, weight, bias), rtol=1e-4, atol=1e-4)
        assert result.is_contiguous()
    if bias is not None and before is not None:
        assert bias.equal(before)
