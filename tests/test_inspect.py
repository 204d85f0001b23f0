"""Advice about a pair: what it counts is counted again with the real tokenizers and models."""

import json
from copy import deepcopy
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import uag
from fakes import ARCHITECTURES, PAIRS, PROMPT, random_model, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run
from transformers import AutoConfig, T5Config
from uag.inspection.model_size import size_of
from uag.inspection.pair import Pair
from uag.inspection.speedup import LONGEST, best_lookahead, break_even, speedup
from uag.inspection.spelling import sample_texts

TEXT = "Once upon a time, Ünïcödé 日本語 🙂 12 dogs"


def folder(root: Path, name: str, vocabulary: str, **changes: Any) -> str:
    """A model's folder without its weights."""
    tokenizer(vocabulary).save_pretrained(root / name)
    random_model("llama", tokenizer(vocabulary), **changes).config.save_pretrained(root / name)
    return str(root / name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("folders")
    return {
        "target": folder(root, "target", "gpt2", hidden_size=64, num_hidden_layers=8),
        "small": folder(root, "small", "llama2", num_hidden_layers=1),
        "middle": folder(root, "middle", "llama3", num_hidden_layers=3),
        "same": folder(root, "same", "gpt2", num_hidden_layers=1),
        "odd": folder(root, "odd", "odd", num_hidden_layers=1),
    }


def ends(name: str, text: str) -> list[int]:
    """Where each token ends, in bytes, by the tokenizer's own offsets."""
    encoding = tokenizer(name)(text, add_special_tokens=False, return_offsets_mapping=True)
    sizes = [0, *accumulate(len(character.encode()) for character in text)]
    return [sizes[end] for _, end in encoding["offset_mapping"]]


@pytest.mark.parametrize(("target", "assistant"), PAIRS)
def test_what_is_counted_on_a_text(target: str, assistant: str) -> None:
    # Plain text: offsets in characters can't tell the tokens of one character apart.
    text = TEXT.encode("ascii", "ignore").decode()
    pair = uag.inspect_pair(tokenizer(target), tokenizer(assistant), text=text)
    (one,) = pair.samples
    ours, theirs = ends(target, text), ends(assistant, text)
    assert (one.target_tokens, one.assistant_tokens) == (len(ours), len(theirs))
    assert one.shared_ends == sum(end in set(theirs) for end in ours)
    assert one.bytes == len(text) and one.spelled == (True, True)
    strings = [
        {core.token_bytes(id) for id in range(core.vocab_size)} - {None}
        for core in (pair.target.core, pair.assistant.core)
    ]
    assert (pair.target_strings, pair.assistant_strings) == tuple(map(len, strings))
    assert pair.shared_strings == len(strings[0] & strings[1])
    ids = tokenizer(target)(text, add_special_tokens=False)["input_ids"]
    assert one.known == sum(pair.target.core.token_bytes(id) in strings[1] for id in ids)
    assert pair.same_tokenizer == (target == assistant)


def test_samples_are_texts_of_many_kinds() -> None:
    texts = sample_texts()
    assert {"English", "Arabic", "Chinese", "Python"} <= set(texts) and len(texts) >= 12
    assert all(len(text.encode()) > 150 for text in texts.values())


def test_the_slow_side_and_the_reason_are_named() -> None:
    pair = uag.inspect_pair(tokenizer("gpt2"), tokenizer("odd"), text=TEXT)
    assert (pair.target.core.fast, pair.assistant.core.fast) == (True, False)
    assert pair.assistant.core.family == "byte-level BPE"
    assert pair.assistant.core.reason.startswith("pre_tokenizer: ")
    assert any(pair.assistant.core.reason in caution for caution in pair.cautions)
    assert "The assistant takes the slower path" in pair.verdict


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sizes_are_those_of_the_model(architecture: str) -> None:
    model = random_model(architecture, tokenizer("gpt2"))
    size = size_of(model.config)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.bytes == 4 * size.parameters
    assert 0 < size.active <= size.parameters and size.layers == 2
    if size.cache_bytes is not None:
        ids = model.dummy_inputs["input_ids"][:1, :3]
        cache = model(input_ids=ids, use_cache=True).past_key_values
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        assert held == size.cache_bytes * ids.shape[1]


def test_experts_that_an_id_does_not_visit_are_not_read() -> None:
    model = random_model("mixtral", tokenizer("gpt2"))
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    inputs = model.get_input_embeddings().weight.numel()
    size = size_of(model.config)
    assert experts and size.active == size.parameters - experts // 2 - inputs


chances = st.floats(0.01, 0.99)


@given(chances, st.floats(0.1, 4), st.floats(0.001, 2))
def test_the_best_lookahead_is_the_best_and_pays_above_the_break_even(
    acceptance: float, tokens_per_id: float, cost: float
) -> None:
    k, times = best_lookahead(acceptance, tokens_per_id, cost)
    assert times == max(speedup(acceptance, k, tokens_per_id, cost) for k in range(LONGEST + 1))
    assert times == speedup(acceptance, k, tokens_per_id, cost)
    edge = break_even(tokens_per_id, cost)
    if abs(acceptance - edge) > 1e-6:
        assert (k > 0) == (acceptance > edge)


@given(chances, st.integers(1, 6), st.floats(0.1, 4), st.floats(0.001, 2))
def test_the_speedup_is_that_of_the_rounds_themselves(
    acceptance: float, k: int, tokens_per_id: float, cost: float
) -> None:
    # Every outcome of a round: `accepted` ids are, the next isn't.
    tokens = sum(
        acceptance**accepted
        * ((1 - acceptance) if accepted < k else 1)
        * (1 + tokens_per_id * accepted)
        for accepted in range(k + 1)
    )
    assert speedup(acceptance, k, tokens_per_id, cost) == pytest.approx(tokens / (1 + k * cost))


def test_costs_windows_and_special_tokens_of_folders(folders: dict[str, str]) -> None:
    pair = uag.inspect_pair(folders["target"], folders["small"])
    assert pair.costs is not None
    read = [
        size_of(AutoConfig.from_pretrained(folders[name])).active for name in ("small", "target")
    ]
    assert sorted(pair.costs) == sorted([1 / 8, read[0] / read[1]])
    assert pair.target.window == 256 and pair.obstacles == []
    assert [pair.target.ids_of("eos"), pair.assistant.ids_of("eos")] == [[0], [2]]
    assert (pair.target.begins, pair.assistant.begins) == ((), ("<s>",))
    assert pair.verdict.startswith("Works. Both sides take the fast exact path.")
    described = pair.as_dict()
    assert json.loads(json.dumps(described)) == described
    assert described["target"]["parameters"] == pair.target.size.parameters


def test_a_tokenizer_of_another_model_and_an_encoder_decoder_are_obstacles() -> None:
    small = random_model("llama", tokenizer("bytes")).config
    wrong = uag.inspect_pair(tokenizer("gpt2"), tokenizer("gpt2"), config=small)
    assert "the target's tokenizer has 420 ids but its model only 258" in wrong.verdict
    other = uag.inspect_pair(
        tokenizer("gpt2"), tokenizer("gpt2"), assistant_config=T5Config(vocab_size=500)
    )
    assert "the assistant is an encoder-decoder" in other.verdict


def test_an_assistant_as_large_as_its_target_is_not_recommended(folders: dict[str, str]) -> None:
    pair = uag.inspect_pair(folders["middle"], folders["target"])
    assert "not smaller than the target" in " ".join(pair.cautions)
    assert "costs too much to pay" in pair.verdict


def test_an_assistant_that_cannot_spell_a_text_is_ranked_below_one_that_can() -> None:
    blind = tokenizers.Tokenizer(tokenizers.models.Unigram([("<unk>", 0.0), ("▁", -2.0), *(
        (letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"
    )], unk_id=0))  # fmt: skip
    blind.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    blind.decoder = tokenizers.decoders.Metaspace()
    pairs = uag.rank_assistants(tokenizer("gpt2"), [blind, tokenizer("bytes")], text="日本語 text")
    assert [pair.assistant.core.family for pair in pairs] == ["byte-level BPE", "Unigram"]
    assert pairs[1].score == 1 < pairs[0].score
    assert "does not spell text byte for byte" in " ".join(pairs[1].cautions)


def test_chat_formats_are_compared() -> None:
    target, assistant = deepcopy(tokenizer("llama3")), deepcopy(tokenizer("gpt2"))
    target.chat_template = "{{ messages }}<begin><end>"
    pair = uag.inspect_pair(target, assistant, text=TEXT)
    assert "the assistant has no chat template" in " ".join(pair.cautions)
    assistant.chat_template = "{{ messages }}"
    target.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    target.chat_template += "<turn>"
    cautions = " ".join(uag.inspect_pair(target, assistant, text=TEXT).cautions)
    assert "<turn>" in cautions and "special_pairs" in cautions and "<end>" not in cautions


def test_the_command_shows_a_pair(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str], tmp_path: Path
) -> None:
    status, out, err = run(capsys, "inspect", folders["target"], folders["odd"])
    assert (status, err) == (0, "")
    for part in ("byte-level BPE", "through the", "English", "k=", "Works."):
        assert part in out
    text = tmp_path / "own.txt"
    text.write_text(TEXT)
    asked = ["inspect", folders["target"], folders["small"], "--text", str(text), "--json"]
    status, out, _ = run(capsys, *asked)
    described = json.loads(out)
    assert (status, out.count("\n")) == (0, 1)
    assert [one["name"] for one in described["samples"]] == ["own.txt"]
    assert described["samples"][0]["bytes"] == len(TEXT.encode())


def test_the_command_ranks_assistants_and_reads_files(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str]
) -> None:
    file = str(Path(folders["small"]) / "tokenizer.json")
    names = [file, folders["target"], folders["middle"], folders["same"]]
    status, out, _ = run(capsys, "inspect", folders["target"], *names, "--json")
    pairs = json.loads(out)["pairs"]
    ranked = [pair["assistant"]["name"] for pair in pairs]
    assert (status, ranked) == (0, [folders["same"], folders["middle"], folders["target"], file])
    assert pairs[0]["score"] > pairs[1]["score"] and pairs[-1]["cost"] is None
    assert pairs[0]["same_tokenizer"] and not pairs[1]["same_tokenizer"]
    status, out, _ = run(capsys, "inspect", folders["target"], *names)
    assert status == 0 and out.index("1 " + folders["same"]) < out.index("4 " + file)


MISTAKES = [
    (["/no/folder", "FOLDER"], "cannot load"),
    (["FOLDER", "CONFIG"], "no tokenizer.json"),
    (["FOLDER", "FOLDER", "--text", "/no/text.txt"], "cannot read a text from /no/text.txt"),
    (["FOLDER", "FOLDER", "--text", "/dev/null"], "has no text"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES]
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], folders: dict[str, str], arguments: list[str], message: str
) -> None:
    known = {"FOLDER": folders["small"], "CONFIG": str(Path(folders["small"]) / "config.json")}
    status, out, err = run(capsys, "inspect", *(known.get(each, each) for each in arguments))
    assert (status, out) == (1, "")
    assert err.startswith("uag: ") and err.count("\n") == 1 and message in err


def test_names_from_files_do_not_reach_the_terminal_as_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console
    from uag.cli.terminal import printable
    from uag.report.pair_tables import pair_table, ranking_table

    hostile = deepcopy(tokenizer("gpt2"))
    hostile.add_special_tokens({"additional_special_tokens": ["[bold]\x1b[2J"]})
    pair: Pair = uag.inspect_pair(hostile, tokenizer("gpt2"), text=PROMPT)
    console = Console(highlight=False)
    console.print(pair_table(pair, printable))
    console.print(ranking_table([pair], printable))
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]" in out
