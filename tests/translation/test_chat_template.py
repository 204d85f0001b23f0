"""The id that ends a turn, read off a chat template."""

import torch

from tests.support.chats import MESSAGES, assistant_tokenizer, chat_ids, decoder, target_tokenizer
from uag import Bridge
from uag.translation.chat_template import turn_end


def test_the_end_of_a_turn_is_the_others() -> None:
    stop = target_tokenizer().convert_tokens_to_ids("<|stop|>")
    end = assistant_tokenizer().convert_tokens_to_ids("</s>")
    assert turn_end(target_tokenizer()) == stop and turn_end(assistant_tokenizer()) == end
    text = decoder().bridge.start(*chat_ids(MESSAGES, target_tokenizer(), assistant_tokenizer()))
    draft = decoder().bridge.assistant.encode(b"Yes.")
    assert text.propose([*draft, end]).ids[-1] == stop
    text.commit([*target_tokenizer()("Yes.")["input_ids"], stop])
    assert text.assistant_ids[-1] == end


def test_bridges_of_chats_stay_unchanged() -> None:
    bridge = Bridge(target_tokenizer(), assistant_tokenizer())
    assert bridge.special_pairs == [(0, 2)]
    assert torch.equal(torch.tensor(chat_ids(MESSAGES, *2 * [target_tokenizer()])[0]),
                       target_tokenizer().apply_chat_template(
                           MESSAGES, add_generation_prompt=True, return_tensors="pt"
                       )["input_ids"][0])  # fmt: skip
