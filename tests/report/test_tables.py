"""Tables for a terminal: a story and its drafts."""

from tests.support.models import random_model, with_story
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder
from uag.report.tables import story


def test_a_story_marks_accepted_drafts_and_no_text_is_markup() -> None:
    target = tokenizer("gpt2")
    decoder = SpeculativeDecoder(with_story(random_model("llama", target), target), target)
    out = decoder.generate("[bold]a\x1b[2J", max_new_tokens=6)
    shown = "".join(
        str(part) for part in story("[bold]", out, decoder.bridge.target, str).renderables
    )
    assert shown.startswith("[bold]") and out.text in shown


def test_a_story_says_where_its_drafts_came_from() -> None:
    name = tokenizer("llama2")
    model = with_story(random_model("llama", name), name)
    decoder = SpeculativeDecoder(model, name, "lookup", lookahead=4)
    out = decoder.generate(PROMPT * 2, max_new_tokens=40)
    assert out.stats.looked_up_accepted
    legend = str(story(PROMPT * 2, out, decoder.bridge.target, str).renderables[-1])
    assert legend.startswith("looked up (")
