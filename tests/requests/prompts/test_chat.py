"""Chats: each model reads its own format, and the reply is the target's own."""

import os
import re
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import AutoTokenizer, pipeline

from tests.support.architectures.models import Weights, fresh, tiny_model
from tests.support.chats import (
    CHATML,
    INSTRUCT,
    MESSAGES,
    SYSTEM,
    THINKS,
    assistant_tokenizer,
    chat_ids,
    chatty,
    decoder,
    processor,
    target_tokenizer,
)
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import Chat, OptionError, PromptError, SpeculativeDecoder
from uag.requests.prompts.chat import chat_inputs, plain_text

# An archive of real tokenizers, each in a folder of its own.
ARCHIVE = Path(
    os.environ.get(
        "UAG_TEST_TOKENIZERS",
        Path(__file__).parents[3] / "shared" / "data" / "tokenizers.tar.xz",
    )
)


def expected(messages: Any, **options: Any) -> list[int]:
    """What `model.generate` makes of the template's ids."""
    inputs = target_tokenizer().apply_chat_template(messages, return_tensors="pt", **options)
    out = decoder().model.generate(**inputs, max_new_tokens=16)
    return out[0, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("template", [INSTRUCT, None])
@pytest.mark.parametrize("messages", [MESSAGES, MESSAGES[:1], [SYSTEM, *MESSAGES]])
def test_replies_are_those_of_generate(messages: Any, template: str | None) -> None:
    ids = expected(messages, add_generation_prompt=True)
    one = decoder(template)
    assert one.chat(messages, max_new_tokens=16).token_ids == ids
    assert one.generate(messages, max_new_tokens=16).token_ids == ids
    assert one.generate([messages, PROMPT], max_new_tokens=16)[0].token_ids == ids
    stream = one.stream(Chat(messages), max_new_tokens=16)
    assert "".join(stream) == one.chat(messages, max_new_tokens=16).text


def test_the_last_reply_is_continued() -> None:
    ids = expected(MESSAGES[:2], continue_final_message=True)
    assert decoder().chat(MESSAGES[:2], max_new_tokens=16).token_ids == ids
    asked = expected(MESSAGES[:2], add_generation_prompt=True)
    given = {"continue_final_message": False, "add_generation_prompt": True}
    assert decoder().chat(MESSAGES[:2], max_new_tokens=16, **given).token_ids == asked != ids


def weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name.
    """
    return city


def test_tools_and_variables_reach_the_templates() -> None:
    for options in ({"tools": [weather]}, {"quick": True}, {"tools": [weather], "quick": True}):
        ids = expected(MESSAGES, add_generation_prompt=True, **options)
        assert decoder().chat(MESSAGES, max_new_tokens=16, **options).token_ids == ids


def test_sampled_replies() -> None:
    options: dict[str, Any] = {"do_sample": True, "seed": 3, "max_new_tokens": 16}
    drawn = [decoder(template).chat(MESSAGES, **options).text for template in (INSTRUCT, None)]
    assert drawn[0] == drawn[1] != decoder().chat(MESSAGES, max_new_tokens=16).text


@pytest.fixture
def read() -> Iterator[list[int]]:
    """What the assistant reads."""
    seen: list[int] = []

    def note(_: object, __: object, named: dict[str, Any]) -> None:
        seen.extend(named["input_ids"][0].tolist())

    hooks = [
        decoder(template).assistant.register_forward_pre_hook(note, with_kwargs=True)
        for template in (INSTRUCT, None)
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def test_the_assistant_reads_its_own_format(read: list[int]) -> None:
    decoder(INSTRUCT).chat(MESSAGES, max_new_tokens=4)
    text = (
        "<s>[INST] Tell me of a little girl. [/INST] Once upon a time there was one. </s>"
        "[INST] And her dog? [/INST] "  # its replies begin with a space
    )
    own = assistant_tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert read[: len(own)] == own and read.count(own[0]) == 1


def test_a_system_is_folded_in_where_a_template_knows_none(read: list[int]) -> None:
    decoder(INSTRUCT).chat([SYSTEM, *MESSAGES[:1]], max_new_tokens=4)
    text = "<s>[INST] Be kind.\n\nTell me of a little girl. [/INST] "
    own = assistant_tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert read[: len(own)] == own


def test_without_a_template_the_assistant_reads_plain_text(read: list[int]) -> None:
    decoder(None).chat([SYSTEM, *MESSAGES[:1]], max_new_tokens=4)
    text = "system:\nBe kind.\n\nuser:\nTell me of a little girl.\n\nassistant:\n"
    assert (
        read[: len(assistant_tokenizer()(text)["input_ids"])]
        == (assistant_tokenizer()(text)["input_ids"])
    )


def test_messages_no_assistant_can_render_are_plain_text_with_a_warning() -> None:
    odd = [{"role": "narrator", "content": "There was a dog."}, MESSAGES[0]]
    with pytest.warns(UserWarning, match="System role not supported.*plain text"):
        out = decoder().chat(odd, max_new_tokens=8)
    ids = expected(odd, add_generation_prompt=True)
    assert out.token_ids == ids[:8]


def test_pairs_of_the_user() -> None:
    target = chatty("gpt2", CHATML, "<|start|>", "<|stop|>", "<think>", "</think>")
    other = chatty("llama2", INSTRUCT, "[THINK]", "[/THINK]")
    models = random_model("llama", target), random_model("llama", other)
    pairs = [("<think>", "[THINK]"), ("</think>", "[/THINK]")]
    one = SpeculativeDecoder(models[0], target, models[1], other, special_pairs=pairs)
    think, end = target.convert_tokens_to_ids(["<think>", "</think>"])
    others = other.convert_tokens_to_ids(["[THINK]", "[/THINK]"])
    text = one.bridge.start(*chat_ids(MESSAGES, target, other))
    assert text.propose(others[:1]).ids == [think]
    assert text.commit([think]).keep == len(text.assistant_ids)
    draft = [*one.bridge.assistant.encode(b"Hm."), others[1]]
    assert text.propose(draft).ids[-1] == end
    text.commit([*target("Hm.")["input_ids"], end])
    assert text.assistant_ids[-1] == others[1]


REAL = ("qwen2.5", "phi-3-mini", "gemma", "gpt2")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    if not ARCHIVE.is_file():
        pytest.skip(f"no {ARCHIVE}; set UAG_TEST_TOKENIZERS")
    folder = tmp_path_factory.mktemp("tokenizers")
    with tarfile.open(ARCHIVE) as archive:
        wanted = [entry for entry in archive if entry.name.split("/")[0] in REAL]
        archive.extractall(folder, wanted, filter="data")
    return cache(lambda name: AutoTokenizer.from_pretrained(folder / name))


@pytest.mark.parametrize(
    ("names", "turns"),
    [
        (("qwen2.5", "phi-3-mini"), ("<|im_end|>", "<|end|>")),
        (("gemma", "qwen2.5"), ("<end_of_turn>", "<|im_end|>")),
        (("phi-3-mini", "gemma"), ("<|end|>", "<end_of_turn>")),
        (("qwen2.5", "gpt2"), ("<|im_end|>", "<|endoftext|>")),
    ],
    ids=str,
)
def test_real_templates(
    real: Callable[[str], Any], names: tuple[str, str], turns: tuple[str, str]
) -> None:
    target, assistant = map(real, names)
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1,
             "num_key_value_heads": 1, "num_hidden_layers": 1}  # fmt: skip
    one = SpeculativeDecoder(
        random_model("llama", target, **shape), target,
        random_model("llama", assistant, **shape), assistant,
    )  # fmt: skip
    ids = chat_ids(MESSAGES, target, assistant)
    sides = zip((target, assistant), ids, strict=True)
    for own, read in sides:
        if own.chat_template:
            trained_on = own.apply_chat_template(MESSAGES, add_generation_prompt=True)
            assert read == trained_on["input_ids"]
    turn = [own.convert_tokens_to_ids(t) for own, t in zip((target, assistant), turns, strict=True)]
    text = one.bridge.start(*ids)
    reply = "Yes, she had one: a poodle. 狗🐶"
    draft = [*one.bridge.assistant.encode(reply.encode()), turn[1]]
    expected = target(reply, add_special_tokens=False)["input_ids"]
    if target.convert_ids_to_tokens(expected[0]).startswith("▁"):  # after a special token: none
        expected = one.bridge.target.encode(reply.encode())
    candidates = text.propose(draft).ids
    assert target.decode(candidates[:-1]).strip() == reply and candidates[-1] == turn[0]
    edit = text.commit(candidates)
    assert edit.feed == [] and text.assistant_ids == ids[1] + draft


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        (None, {}, "no chat template; give a text, or set"),
        (None, {"tools": [weather]}, r"no chat template \(and tools need one\)"),
        (INSTRUCT, {"tools": [weather]}, "does not know any"),
        (INSTRUCT, {"max_tokens": 3}, "unknown option 'max_tokens': neither an option"),
        (INSTRUCT, {}, "cannot render these messages: System role"),
        ("{% if %}", {}, "cannot be read"),
    ],
    ids=lambda given: ",".join(given) if isinstance(given, dict) else str(given),
)
def test_chats_that_are_refused(
    template: str | None, options: dict[str, Any], message: str
) -> None:
    own = chatty("gpt2", template)
    one = SpeculativeDecoder(random_model("llama", own), own)
    with pytest.raises((PromptError, OptionError), match=message):
        one.chat([SYSTEM, *MESSAGES], max_new_tokens=4, **options)
    assert len(one.generate(PROMPT, max_new_tokens=3).token_ids) == 3


def test_bare_tokenizers_know_no_chats() -> None:
    bare = tokenizer("gpt2").backend_tokenizer
    one = SpeculativeDecoder(random_model("llama", tokenizer("gpt2")), bare)
    with pytest.raises(PromptError, match="no chat template"):
        one.chat(MESSAGES)


def test_a_chat_takes_the_arguments_of_generate() -> None:
    traced = decoder().chat(MESSAGES, trace=True, max_new_tokens=8)
    assert traced.trace is not None and len(traced.trace.steps) == traced.stats.rounds
    options: dict[str, Any] = {"do_sample": True, "seed": 1, "max_new_tokens": 8}
    outs = decoder().chat(MESSAGES, num_return_sequences=2, batch_size=2, **options)
    assert [len(out.token_ids) for out in outs] == [8, 8]
    assert outs[0].token_ids == decoder().chat(MESSAGES, **options).token_ids


NOT_TEXT: list[tuple[Any, str]] = [
    ([{"type": "image", "url": "cat.png"}, {"type": "text", "text": "What?"}], "'cat.png'"),
    ([{"type": "text", "text": "What?"}, {"type": "audio", "audio": [0.5]}], "'audio'"),
    ([{"type": "image", "text": "a cat"}], "'image'"),
    ([{"type": "hologram"}], "'hologram'"),
    ([{"type": "text"}], "'text'"),
    (["What?"], "'What?'"),
    ({"type": "video", "path": "cat.mp4"}, "'video'"),
]


@pytest.mark.parametrize(("content", "shows"), NOT_TEXT, ids=[shows for _, shows in NOT_TEXT])
def test_parts_that_are_no_text(content: Any, shows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = decoder()
    monkeypatch.setattr(type(target_tokenizer()), "apply_chat_template", None)  # nothing is read
    for messages in (
        [{"role": "user", "content": content}],
        [*MESSAGES, {"role": "x"} | {"content": content}],
    ):
        with pytest.raises(PromptError, match=f"the part .*{re.escape(shows)}.* reads text only"):
            one.chat(messages, max_new_tokens=4)
        with pytest.raises(PromptError, match="reads text only"):
            one.generate([PROMPT, messages], max_new_tokens=4)


def test_text_in_parts() -> None:
    template = (
        "{% for message in messages %}{% for part in message.content %}{{ part.text }}"
        "{% endfor %}{% endfor %}"
    )
    parts = [{"type": "text", "text": "Once upon"}, {"text": " a time"}]
    chat = Chat([{"role": "user", "content": parts}], chat_template=template)
    one = decoder()
    out = one.generate(chat, max_new_tokens=8)
    assert out.token_ids == one.generate("Once upon a time", max_new_tokens=8).token_ids


def test_an_assistant_without_parts_gets_their_text(read: list[int]) -> None:
    parts = [{"type": "text", "text": "Tell me of"}, {"type": "text", "text": " the dog."}]
    template = CHATML.replace("{{ message.content }}", "{{ message.content[0].text }}")
    decoder(INSTRUCT).chat(
        [{"role": "user", "content": parts}], chat_template=template, max_new_tokens=4
    )
    assert "[INST] Tell me of the dog. [/INST]" in assistant_tokenizer().decode(read)


@cache
def sees() -> SpeculativeDecoder:
    """A target that reads images, whose processor is given in place of its tokenizer."""
    own, assistant = processor(), assistant_tokenizer()
    size = len(own.tokenizer)
    target = tiny_model("llava", size + 1, Weights(0.3))
    target.config.image_token_id = own.tokenizer.convert_tokens_to_ids("<image>")
    models = target, random_model("llama", assistant, 3)
    return SpeculativeDecoder(models[0], own, models[1], assistant, lookahead=3)


def picture(seed: int, text: str) -> list[dict[str, Any]]:
    pixels = np.random.default_rng(seed).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    parts = [{"type": "image", "image": pixels}, {"type": "text", "text": text}]
    return [{"role": "user", "content": parts}]


@pytest.mark.filterwarnings("ignore:prompts with images are decoded one")
def test_a_chat_with_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    one, own = sees(), processor()
    assert one.processor is own and one.tokenizer is own.tokenizer
    chats = [picture(seed, "Tell me of the dog.") for seed in (0, 1)]
    replies: list[list[int]] = []
    for chat in chats:
        inputs = own.apply_chat_template(
            chat, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )
        whole = fresh(one.model).generate(**inputs, max_new_tokens=16, do_sample=False)
        replies.append(whole[0, inputs["input_ids"].shape[1] :].tolist())
        out = one.chat(chat, max_new_tokens=16, do_sample=False)
        assert out.token_ids == replies[-1]
        assert out.stats.candidates
    assert replies[0] != replies[1]
    outs = one.generate([*chats, "Once"], max_new_tokens=16, do_sample=False)
    assert [out.token_ids for out in outs[:2]] == replies
    ids = chat_inputs(chats[0], own, assistant_tokenizer())[1]
    assert assistant_tokenizer().decode(ids).strip() == "<s> [INST] Tell me of the dog. [/INST]"
    with pytest.raises(PromptError, match=r"reads text only, images, videos and audio"):
        one.chat([{"role": "user", "content": [{"type": "hologram"}]}])
    monkeypatch.setattr(own, "chat_template", None)
    with pytest.raises(PromptError, match="no chat template"):
        one.chat(chats[0])


def test_the_pipeline_for_images() -> None:
    one, chat = sees(), picture(0, "Tell me of the dog.")
    chat[0]["content"][0]["image"] = Image.fromarray(chat[0]["content"][0]["image"])
    pipe = pipeline("image-text-to-text", model=one.model, processor=processor())
    options = {"max_new_tokens": 12, "do_sample": False}
    plain, ours = (
        pipe(text=chat, return_full_text=False, generate_kwargs=options | more)
        for more in ({}, {"custom_generate": one})
    )
    assert plain == ours


def test_a_reply_that_cannot_be_continued_names_the_remedy() -> None:
    own = chatty("gpt2", THINKS)
    one = SpeculativeDecoder(random_model("llama", own), own)
    calls = [{"type": "function", "function": {"name": "weather", "arguments": {}}}]
    for last in (
        {"role": "assistant", "content": "<think>Once</think> upon"},
        {"role": "assistant", "content": None, "tool_calls": calls},
    ):
        with pytest.raises(PromptError, match="add_generation_prompt=True"):
            one.chat([MESSAGES[0], last], max_new_tokens=4)
    out = one.chat([MESSAGES[0], {"role": "assistant", "content": "Once"}], max_new_tokens=4)
    text = f"<|start|>user\n{MESSAGES[0]['content']}<|stop|>\n<|start|>assistant\nOnce"
    ids = own(text, add_special_tokens=False)["input_ids"]
    assert out.token_ids == one.generate(ids, max_new_tokens=4).token_ids


def test_tool_calls_without_content() -> None:
    calls = [{"type": "function", "function": {"name": "weather", "arguments": {"in": "Oslo"}}}]
    chat = [MESSAGES[0], {"role": "assistant", "tool_calls": calls}, {"role": "tool", "content": 5}]
    assert '{"name": "weather", "arguments": {"in": "Oslo"}}' in plain_text(Chat(chat))
    own = target_tokenizer()
    ids = own.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert chat_ids(chat, own, assistant_tokenizer(None))[0] == ids


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "half \ud800"}],
        [{"role": "user", "content": [{"type": "text", "text": "\udfff"}]}],
        [{"role": "assistant", "tool_calls": [{"name": "\ud800"}]}],
    ],
    ids=ascii,
)
def test_halves_of_characters(messages: Any) -> None:
    with pytest.raises(PromptError, match="lone surrogate"):
        decoder().chat(messages)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"content": "Hi"}], "not a dict with a role"),
        ([{"role": 5, "content": "Hi"}], "not a dict with a role"),
        ([], "at least one"),
        (5, "a list of messages"),
        ("Hi", "a list of messages"),
        (["Hi"], "not a dict with a role"),
    ],
    ids=str,
)
def test_what_is_no_chat(messages: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        decoder().chat(messages)


def test_what_a_tool_returns_may_be_any_value() -> None:
    chat = Chat([{"role": "tool", "content": {"degrees": 21}}, {"role": "tool", "content": 5}])
    assert '{"degrees": 21}' in plain_text(chat) and "5" in plain_text(chat)
