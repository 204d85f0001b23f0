"""Chats, and tokenizers with templates for them."""

from functools import cache
from typing import Any

from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

from tests.support.models import random_model
from tests.support.tokenizers import tokenizer
from uag import SpeculativeDecoder
from uag.requests.prompts.chat import chat_inputs

CHATML = (
    "{% if tools %}<|start|>tools {{ tools | tojson }}<|stop|>{% endif %}"
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|stop|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if quick %}<|quick|>{% endif %}{% endif %}"
)

INSTRUCT = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}"
    "[INST] {{ message.content }} [/INST]{% elif message.role == 'assistant' %}"
    " {{ message.content }} {{ eos_token }}"
    "{% else %}{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}"
)

# Takes content in parts only, with images.
PARTS = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<|stop|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)

# Leaves out what an assistant has thought.
THINKS = CHATML.replace("{{ message.content }}", "{{ message.content.split('</think>')[-1] }}")

MESSAGES = [
    {"role": "user", "content": "Tell me of a little girl."},
    {"role": "assistant", "content": "Once upon a time there was one."},
    {"role": "user", "content": "And her dog?"},
]

SYSTEM = {"role": "system", "content": "Be kind."}


def chat_ids(
    messages: Any, target: PreTrainedTokenizerFast, assistant: PreTrainedTokenizerFast
) -> tuple[list[int], list[int]]:
    """The target's ids and the assistant's ids of a chat."""
    inputs, ids, _ = chat_inputs(messages, target, assistant)
    return inputs["input_ids"], ids


def chatty(name: str, template: str | None, *tokens: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the tests with a chat template and special tokens for it."""
    plain = tokenizer(name)
    own = PreTrainedTokenizerFast(
        tokenizer_object=plain.backend_tokenizer.from_str(plain.backend_tokenizer.to_str()),
        eos_token=plain.eos_token,
        bos_token=plain.bos_token,
    )
    own.add_special_tokens({"additional_special_tokens": list(tokens)})
    own.chat_template = template
    return own


@cache
def target_tokenizer() -> PreTrainedTokenizerFast:
    return chatty("gpt2", CHATML, "<|start|>", "<|stop|>", "<|quick|>")


@cache
def assistant_tokenizer(template: str | None = INSTRUCT) -> PreTrainedTokenizerFast:
    return chatty("llama2", template)


@cache
def processor() -> LlavaProcessor:
    """Reads images of 28 x 28 pixels: 4 ids stand for one."""
    size = {"shortest_edge": 28}
    return LlavaProcessor(
        CLIPImageProcessor(size=size, crop_size={"height": 28, "width": 28}),
        chatty("gpt2", None, "<image>", "<|start|>", "<|stop|>"),
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=PARTS,
        num_additional_image_tokens=1,
    )


@cache
def decoder(template: str | None = INSTRUCT) -> SpeculativeDecoder:
    target, assistant = target_tokenizer(), assistant_tokenizer(template)
    models = [
        random_model("llama", own, max_position_embeddings=1024) for own in (target, assistant)
    ]
    models[0].generation_config.eos_token_id = [0, target.convert_tokens_to_ids("<|stop|>")]
    return SpeculativeDecoder(models[0], target, models[1], assistant, lookahead=4)
