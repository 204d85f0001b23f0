"""Plain decoding, transformers' assisted generation and uag side by side."""

import operator
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

import uag
from tests.support.models import random_model, with_story
from tests.support.pages import shown
from tests.support.tokenizers import PROMPT, tokenizer
from uag.decoder import SpeculativeDecoder
from uag.decoding.output import Output
from uag.errors import OptionError, PromptError

SIZE = {"num_hidden_layers": 1}


def pair(kind: type[SpeculativeDecoder] = SpeculativeDecoder) -> SpeculativeDecoder:
    names = tokenizer("gpt2"), tokenizer("llama2")
    target, assistant = (
        with_story(random_model("llama", name, **size), name)
        for name, size in zip(names, ({}, SIZE), strict=True)
    )
    return kind(target, names[0], assistant, names[1])


def test_all_methods_give_the_same_ids_and_are_counted_the_same() -> None:
    decoder, seen = pair(), []
    decoder.lookahead = 3  # whether drafts pay depends on what else the machine does
    comparison = uag.compare(
        decoder,
        [PROMPT, "The dog"],
        runs=2,
        max_new_tokens=12,
        progress=lambda done, total: seen.append((done, total)),
    )
    plain, transformers_, ours = comparison.methods
    assert [method.name for method in comparison.methods] == ["plain", "transformers", "uag"]
    assert comparison.identical
    assert [comparison.identical_prompts(method) for method in comparison.methods] == [2, 2, 2]
    assert plain.tokens_per_forward == 1 < transformers_.tokens_per_forward
    assert ours.tokens_per_forward > 1 and ours.speed > 0
    # Once as a warm-up, then twice each prompt, three ways.
    assert seen == [(done, 15) for done in range(1, 16)]
    assert comparison.speedup(plain) == 1
    assert set(ours.phases) >= {"draft", "verify"} and not plain.phases
    # The hook sees what the decoder counts itself; how far "auto" drafts is up to the clock.
    decoder.lookahead = 3
    ours = uag.compare(decoder, PROMPT, runs=1, max_new_tokens=12).methods[-1]
    out = decoder.generate(PROMPT, max_new_tokens=12)
    assert ours.runs[0][0].target_forwards == out.stats.target_forwards
    assert "identical output: yes" in shown(comparison) and "2 of 2" in shown(comparison)


class Broken(SpeculativeDecoder):
    """Gets one id wrong, and only in the text of one prompt."""

    def generate(self, prompt: Any, **options: Any) -> Output:
        out = super().generate(prompt, **options)
        wrong = [*out.token_ids[:-1], (out.token_ids[-1] + 1) % 100]
        return replace(out, token_ids=wrong) if prompt == PROMPT else out


KINDS = (SpeculativeDecoder, Broken)


def test_a_wrong_id_is_detected() -> None:
    comparison = uag.compare(pair(Broken), [PROMPT, "The dog"], runs=1, max_new_tokens=6)
    assert not comparison.identical
    assert [comparison.identical_prompts(method) for method in comparison.methods] == [2, 2, 1]
    assert "identical output: NO" in shown(comparison)


def test_sampled_texts_are_those_of_the_target_alone() -> None:
    options: dict[str, Any] = {"runs": 1, "max_new_tokens": 6, "temperature": 0.9, "seed": 3}
    right, wrong = (uag.compare(pair(kind), [PROMPT, "The dog"], **options) for kind in KINDS)
    assert [method.name for method in right.methods] == [
        "plain",
        "transformers",
        "uag alone",
        "uag",
    ]
    assert [right.identical_prompts(method) for method in right.methods] == [None, None, 2, 2]
    assert [wrong.identical_prompts(method) for method in wrong.methods] == [None, None, 2, 1]
    assert right.identical and not wrong.identical
    assert right.methods[2].tokens_per_forward == 1
    # transformers replaces the embeddings of an assistant that it draws from.
    decoder = pair()
    before = [*decoder.assistant.modules()]
    for _ in range(2):
        uag.compare(decoder, PROMPT, **options)
    after = [*decoder.assistant.modules()]
    assert len(before) == len(after) and all(map(operator.is_, before, after))
    with pytest.raises(uag.OptionError, match="temperature=0 is out of range"):
        uag.compare(pair(), PROMPT, temperature=0)


def test_a_failure_of_transformers_is_shown_and_the_others_continue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoder = pair()
    generate: Callable[..., Any] = decoder.model.generate

    def failing(*inputs: Any, **options: Any) -> Any:
        if "assistant_model" in options:
            raise IndexError("[bold]no such\x1b[2J id\nand more")
        return generate(*inputs, **options)

    monkeypatch.setattr(decoder.model, "generate", failing)
    comparison = uag.compare(decoder, PROMPT, runs=1, max_new_tokens=6)
    failed = comparison.methods[1]
    assert failed.error == ("IndexError", "[bold]no such\x1b[2J id") and failed.runs == []
    assert comparison.identical and comparison.methods[2].speed > 0
    assert "IndexError" in shown(comparison) and "[bold]no such" in shown(comparison)
    assert comparison.as_dict()["methods"][1] == {
        "name": "transformers",
        "error": "IndexError: [bold]no such\x1b[2J id",
    }


def test_a_failure_of_uag_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = pair()

    def failing(*_: Any, **__: Any) -> Output:
        raise IndexError

    monkeypatch.setattr(decoder, "generate", failing)
    with pytest.raises(IndexError):
        uag.compare(decoder, PROMPT, runs=1, max_new_tokens=6)


def test_models_that_sample_by_default_are_compared_greedily() -> None:
    decoder = pair()
    for model in (decoder.model, decoder.assistant):
        model.generation_config.do_sample = True
        model.generation_config.temperature = 5.0
    transformers.logging.set_verbosity_error()
    assert uag.compare(decoder, PROMPT, runs=2, max_new_tokens=16).identical


def test_prompts_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("Once\nOne day\n")
    decoder = pair()
    comparison = uag.compare(decoder, path, runs=1, max_new_tokens=3, with_transformers=False)
    assert comparison.prompts == ["Once", "One day"]


def test_one_tokenizer_for_both_and_no_assistant() -> None:
    name = tokenizer("gpt2")
    target, assistant = (
        with_story(random_model("llama", name, **size), name) for size in ({}, SIZE)
    )
    both = uag.compare(SpeculativeDecoder(target, name, assistant, name), PROMPT, runs=1)
    assert [method.error for method in both.methods] == [None] * 3 and both.identical
    alone = uag.compare(SpeculativeDecoder(target, name), PROMPT, runs=1, max_new_tokens=6)
    assert [method.name for method in alone.methods] == ["plain", "uag"]
    assert [method.tokens_per_forward for method in alone.methods] == [1, 1]


def test_the_assistants_settings_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = pair()
    before, during = decoder.assistant.generation_config.to_dict(), []
    generate: Callable[..., Any] = decoder.model.generate

    def watched(*inputs: Any, **options: Any) -> Any:
        settings = decoder.assistant.generation_config
        during.append((settings.num_assistant_tokens, settings.num_assistant_tokens_schedule))
        return generate(*inputs, **options)

    monkeypatch.setattr(decoder.model, "generate", watched)
    uag.compare(decoder, PROMPT, runs=1, max_new_tokens=6, num_assistant_tokens=3)
    assert set(during) == {(3, "constant")}
    assert decoder.assistant.generation_config.to_dict() == before
    assert len(decoder.model._forward_hooks) == 1  # that of `with_story`


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "no prompts"),
        (["Once", ""], {}, "prompt 2 of 2: the prompt is empty"),
        (["\ud800"], {}, "prompt 1 of 1: .*lone surrogate"),
        (["Once"], {"runs": 0}, "runs is 0"),
        (["Once"], {"max_new_tokens": 0}, "max_new_tokens is 0"),
        (["Once"], {"num_assistant_tokens": -1}, "num_assistant_tokens is -1"),
    ],
)
def test_mistakes_show_before_anything_runs(
    prompts: list[str], options: dict[str, int], message: str
) -> None:
    ran: list[int] = []
    with pytest.raises((PromptError, OptionError), match=message):
        uag.compare(pair(), prompts, **options, progress=lambda done, _: ran.append(done))
    assert not ran


def test_texts_sampled_by_rejection_need_not_be_those_of_the_target_alone() -> None:
    """They depend on the drafts: the distribution is the same, not the text for a seed."""
    usual = pair()
    parts = usual.model, usual.tokenizer, usual.assistant, usual.assistant_tokenizer
    decoder = SpeculativeDecoder(*parts, lookahead=3, sampling="rejection")
    comparison = uag.compare(decoder, PROMPT, runs=1, max_new_tokens=12, temperature=1.0)
    assert comparison.identical_prompts(comparison.methods[-1]) is None
    assert comparison.identical
