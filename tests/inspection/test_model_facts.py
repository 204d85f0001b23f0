"""What is known of a model without its weights is what the loaded model and tokenizer say."""

import json
from pathlib import Path

import pytest

from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, TOKENIZERS, tokenizer
from uag import LoadError, inspect_pair
from uag.inspection.model_facts import read_facts
from uag.models.properties import context_window, embedding_rows, parameter_count


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_folder_a_file_and_objects_have_the_same_facts(name: str, tmp_path: Path) -> None:
    own, model = tokenizer(name), random_model("llama", tokenizer(name))
    own.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    folder, loaded = read_facts(str(tmp_path)), read_facts(own, model.config)
    file = read_facts(str(tmp_path / "tokenizer.json"))
    for facts in (folder, loaded):
        assert facts.rows == embedding_rows(model) and facts.window == context_window(model)
        assert facts.size.parameters == parameter_count(model) and facts.decoder_only
        assert facts.ids_of("eos") == [own.eos_token_id]
    assert (file.rows, file.window, file.size) == (None, None, None)
    for facts in (folder, loaded, file):
        prompt = own(PROMPT)["input_ids"]
        bare = own(PROMPT, add_special_tokens=False)["input_ids"]
        assert [*facts.begins] == own.convert_ids_to_tokens(prompt[: len(prompt) - len(bare)])
        assert {special.id for special in facts.specials} >= {*own.all_special_ids}


def test_code_that_must_run_for_the_size(tmp_path: Path) -> None:
    own = tokenizer("gpt2")
    own.save_pretrained(tmp_path)
    config = {"model_type": "nobody_knows", "auto_map": {"AutoConfig": "code.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    pair = inspect_pair(str(tmp_path), own, text=PROMPT)
    assert pair.target.refused_code and not pair.assistant.refused_code
    assert "(--trust-remote-code)" in pair.verdict
    assert any("pass trust_remote_code=True" in caution for caution in pair.cautions)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nobody_knows"}))
    pair = inspect_pair(str(tmp_path), own, text=PROMPT)
    assert not pair.target.refused_code and "trust" not in pair.verdict


def test_a_file_that_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(LoadError, match=r"other\.json is no tokenizer\.json"):
        read_facts(tmp_path / "other.json")
