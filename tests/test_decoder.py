"""The front door: prompts, text, streams, statistics, and what is left behind."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import uag
from fakes import PROMPT, ScriptedDecoder, cache_in, plain_ids, random_model, telling, tokenizer
from transformers import PreTrainedModel
from uag import Fixed, Heuristic, SpeculativeDecoder
from uag.requests.prompt import assistant_ids


def decoder_of(target: str, assistant: str, lookahead: int | str = 5) -> ScriptedDecoder:
    first, second = tokenizer(target), tokenizer(assistant)
    small = random_model("llama", second, seed=1, num_hidden_layers=1)
    return ScriptedDecoder(
        telling(random_model("llama", first), first), first, small, second, lookahead=lookahead
    )


def fingerprint(model: PreTrainedModel) -> str:
    digest = hashlib.sha256(repr((model.config, model.generation_config)).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("target", "assistant"), [("gpt2", "llama2"), ("llama2", "gpt2"), ("bytes", "llama3")]
)
def test_text_is_what_the_tokenizer_makes_of_the_ids(target: str, assistant: str) -> None:
    decoder = decoder_of(target, assistant)
    out = decoder.generate(PROMPT, max_new_tokens=40)
    prompt = decoder.tokenizer(PROMPT)["input_ids"]
    before, whole = (
        decoder.tokenizer.decode(ids, skip_special_tokens=True)
        for ids in (prompt, prompt + out.token_ids)
    )
    assert whole == before + out.text


@pytest.mark.parametrize("beginning", ["", "<s>"])
def test_a_text_from_nothing_has_no_leading_space_of_the_tokenizer(beginning: str) -> None:
    target = tokenizer("llama2")
    decoder = SpeculativeDecoder(telling(random_model("llama", target), target), target)
    out = decoder.generate(beginning, max_new_tokens=12)
    assert out.text == target.decode(
        target(beginning)["input_ids"] + out.token_ids, skip_special_tokens=True
    )


@pytest.mark.parametrize("seed", range(3))
def test_streamed_pieces_are_whole_characters_and_add_up(seed: int) -> None:
    # A random model over bytes says every kind of broken UTF-8.
    target, assistant = tokenizer("bytes"), tokenizer("llama2")
    model = random_model("llama", target, seed=seed)
    decoder = SpeculativeDecoder(model, target, random_model("llama", assistant), assistant)
    prompt = "日本語"
    pieces = list(decoder.stream(prompt, max_new_tokens=60))
    out = decoder.generate(prompt, max_new_tokens=60)
    assert all(pieces) and "".join(pieces) == out.text
    assert out.text == bytes(
        b for id in out.token_ids for b in decoder.bridge.target.token_bytes(id) or b""
    ).decode(errors="replace")


def test_a_multi_byte_character_is_never_split() -> None:
    target = tokenizer("bytes")
    text = "é日🙂" * 4
    story = target(text)["input_ids"]

    def tell(_: object, __: object, named: dict[str, Any], output: Any) -> None:
        output.logits.zero_()
        end = cache_in(named).get_seq_length()
        for row in range(output.logits.shape[1]):
            output.logits[0, row, story[end - output.logits.shape[1] + row + 1]] = 1

    model = random_model("llama", target)
    model.register_forward_hook(tell, with_kwargs=True)
    decoder = SpeculativeDecoder(model, target)
    assert list(decoder.stream(story[:1], max_new_tokens=len(story) - 1)) == list(text)


def test_a_prompt_may_be_text_or_ids_in_any_wrapping() -> None:
    decoder = decoder_of("llama2", "gpt2")
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    prompts = [PROMPT, ids, torch.tensor(ids), torch.tensor([ids])]
    outs = [decoder.generate(prompt, max_new_tokens=20) for prompt in prompts]
    assert len({(out.text, *out.token_ids) for out in outs}) == 1
    assert ids == decoder.tokenizer(PROMPT)["input_ids"]


@pytest.mark.parametrize(
    ("target", "assistant"), [("llama2", "gpt2"), ("gpt2", "llama2"), ("llama3", "llama2")]
)
def test_both_models_read_the_prompt_as_their_own_tokenizer_writes_it(
    target: str, assistant: str
) -> None:
    decoder = decoder_of(target, assistant)
    own = decoder.assistant_tokenizer(PROMPT)["input_ids"]
    ids = decoder.tokenizer(PROMPT)["input_ids"]
    for prompt in (PROMPT, ids):
        assert assistant_ids(prompt, decoder.assistant_tokenizer, decoder.bridge) == own


def test_nothing_is_changed() -> None:
    decoder = decoder_of("gpt2", "llama2")
    parts = decoder.model, decoder.assistant
    tokenizers = decoder.tokenizer, decoder.assistant_tokenizer
    before = (
        [fingerprint(model) for model in parts],
        [each.backend_tokenizer.to_str() for each in tokenizers],
    )
    decoder.generate(PROMPT, max_new_tokens=20, repetition_penalty=1.2, stop_strings=["zzz"])
    after = (
        [fingerprint(model) for model in parts],
        [each.backend_tokenizer.to_str() for each in tokenizers],
    )
    assert before == after


def test_an_abandoned_or_interrupted_call_leaves_the_decoder_usable() -> None:
    decoder = decoder_of("gpt2", "llama2")
    expected = decoder.generate(PROMPT, max_new_tokens=30).token_ids

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    next(decoder.stream(PROMPT, max_new_tokens=30))
    hook = decoder.model.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        super(ScriptedDecoder, decoder).generate(PROMPT, max_new_tokens=30)
    hook.remove()
    assert decoder.generate(PROMPT, max_new_tokens=30).token_ids == expected


def test_two_streams_do_not_disturb_each_other() -> None:
    decoder = decoder_of("gpt2", "llama2")
    prompts = PROMPT, "One day, the dog"
    alone = ["".join(decoder.stream(prompt, max_new_tokens=20)) for prompt in prompts]
    streams = [decoder.stream(prompt, max_new_tokens=20) for prompt in prompts]
    texts = ["", ""]
    for _ in range(30):
        texts = [text + next(stream, "") for text, stream in zip(texts, streams, strict=True)]
    assert texts == alone


def test_an_assistant_keeps_drafting_when_the_text_outgrows_its_window() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("bytes")
    model = random_model("llama", target)
    small = random_model("gpt2", assistant, n_positions=32)
    out = SpeculativeDecoder(model, target, small, assistant, lookahead=5).generate(
        PROMPT * 2, max_new_tokens=40
    )
    assert out.token_ids == plain_ids(model, target(PROMPT * 2)["input_ids"], max_new_tokens=40)
    assert all(done.drafted for done in out.stats.history[:-1])


def test_end_of_text_of_the_assistant_is_that_of_the_target() -> None:
    # The assistant says its end-of-text at once; the target agrees with its own.
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    for model in models:
        end = model.config.eos_token_id

        def say(_: object, __: object, output: Any, end: int = end) -> None:
            output.logits[..., end] += 1000

        model.register_forward_hook(say)
    out = SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=5).generate(
        PROMPT, max_new_tokens=9
    )
    assert out.token_ids == [target.eos_token_id]
    assert (out.text, out.stats.accepted, out.stats.drafted) == ("", 1, 1)


def test_statistics_add_up() -> None:
    stats = decoder_of("gpt2", "llama2").generate(PROMPT, max_new_tokens=40).stats
    assert stats.tokens == 40 == sum(len(done.tokens) for done in stats.history)
    assert stats.target_forwards == stats.rounds
    assert stats.tokens_per_forward == 40 / stats.rounds
    assert stats.accepted <= stats.candidates and stats.drafted > 0
    assert all(done.drafted_accepted <= done.drafted for done in stats.history)
    assert stats.seconds["prefill"] > 0 and stats.seconds["verify"] > 0


def test_schedules_draft_as_much_as_they_say() -> None:
    target, assistant = tokenizer("gpt2"), tokenizer("llama2")
    models = random_model("llama", target), random_model("llama", assistant)
    for lookahead, first in [(1, 1), (7, 7), (Fixed(3), 3), ("heuristic", 20), (Heuristic(4), 4)]:
        decoder = SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=lookahead)
        assert decoder.generate(PROMPT, max_new_tokens=30).stats.history[0].drafted == first


def test_models_are_loaded_by_folder(tmp_path: Path) -> None:
    for role, name in (("target", "gpt2"), ("assistant", "llama2")):
        random_model("llama", tokenizer(name)).save_pretrained(tmp_path / role)
        tokenizer(name).save_pretrained(tmp_path / role)
    decoder = SpeculativeDecoder.from_pretrained(
        str(tmp_path / "target"), str(tmp_path / "assistant"), dtype="float64", lookahead=2
    )
    assert decoder.model.dtype == decoder.assistant.dtype == torch.float64
    assert len(decoder.generate(PROMPT, max_new_tokens=5).token_ids) == 5
    alone = SpeculativeDecoder.from_pretrained(str(tmp_path / "target"), None)
    assert alone.generate(PROMPT, max_new_tokens=5).stats.drafted == 0


@pytest.mark.parametrize(
    "work",
    [
        "import uag; dir(uag)",
        "import uag; uag.__version__, uag.UagError, uag.CoreError, uag.UagWarning",
        "import uag._core, uag.cli; runner.CliRunner().invoke(uag.cli.app, ['generate', '--help'])",
    ],
)
def test_importing_the_package_loads_neither_torch_nor_transformers(work: str) -> None:
    check = (
        f"import sys; from typer import testing as runner; {work}; "
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    assert all(getattr(uag, name) for name in uag.__all__)
