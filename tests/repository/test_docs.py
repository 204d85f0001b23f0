"""The code on the documentation's pages runs, block after block, with tiny models in place."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import uag
from tests.support.models import random_model
from tests.support.tokenizers import tokenizer

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

# Names on the hub that pages load, and who stands in for them.
ASSISTANTS = ("SmolLM2", "vicuna")
# Pages whose target is a chat model. Elsewhere it is a base model, without a chat template.
CHATS = ("chat",)
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
# What transformers says of a model whose files hold all weights.
COMPLETE: dict[str, list[str]] = {"missing_keys": [], "mismatched_keys": []}


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem
)
@pytest.mark.filterwarnings("ignore")  # of transformers, about what the stand-ins lack
def test_code_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = copy.deepcopy(tokenizer("gpt2")), tokenizer("llama2")
    own[0].chat_template = TEMPLATE if page.stem in CHATS else None
    models = [random_model("llama", each, max_position_embeddings=1024) for each in own]

    def named(of: Any) -> Any:
        def load(name: str, **options: Any) -> Any:
            found = of[any(part in name for part in ASSISTANTS)]
            return (found, COMPLETE) if options.get("output_loading_info") else found

        return load

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", named(models))
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", named(own))
    names: dict[str, Any] = {
        "uag": uag,
        "torch": torch,
        "model": models[0],
        "tokenizer": own[0],
        "assistant": models[1],
        "assistant_tokenizer": own[1],
        "decoder": uag.SpeculativeDecoder(models[0], own[0], models[1], own[1]),
    }
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


def test_every_public_name_is_in_the_api() -> None:
    listed = re.findall(r"^::: uag\.(\w+)", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    shown = {*listed, *re.findall(r"\w+Error|UagWarning", (ROOT / "docs" / "api.md").read_text())}
    assert {name for name in dir(uag) if not name.startswith("__")} <= shown


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES[1:] if page.name not in navigation] == []


@pytest.mark.parametrize("name", [name for name in dir(uag) if not name.startswith("__")])
def test_public_names_are_documented(name: str) -> None:
    public = getattr(uag, name)
    assert public.__doc__
    if not (isinstance(public, type) and issubclass(public, Exception)):
        documented = [public.__doc__, *(getattr(member, "__doc__", None) or "" for member in
                                        vars(public).values())]  # fmt: skip
        assert any(">>>" in text for text in documented), f"{name} has no example"
