"""Models on several devices, in other number types, quantised, sharded, shared between decoders."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.models import plain_ids, random_model
from tests.support.tokenizers import PROMPT, tokenizer
from uag import SpeculativeDecoder, UnsupportedModelError

TARGET, ASSISTANT = tokenizer("gpt2"), tokenizer("llama2")


def check(decoder: SpeculativeDecoder, length: int = 16) -> None:
    """Greedy ids are the model's own, drawn ones those without an assistant."""
    out = decoder.generate(PROMPT, max_new_tokens=length)
    expected = plain_ids(decoder.model, TARGET(PROMPT)["input_ids"], max_new_tokens=length)
    assert out.token_ids == expected and out.stats.drafted
    options: dict[str, Any] = {"do_sample": True, "seed": 1, "max_new_tokens": length}
    alone = SpeculativeDecoder(decoder.model, TARGET)
    drawn = decoder.generate(PROMPT, **options).token_ids
    assert drawn == alone.generate(PROMPT, **options).token_ids


def fingerprint(model: PreTrainedModel) -> str:
    """Of weights, buffers and both configs."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode() + values.cpu().numpy().tobytes())
    digest.update(model.config.to_json_string().encode())
    digest.update(model.generation_config.to_json_string().encode())
    digest.update(repr(sorted(model._forward_hooks)).encode() + bytes([model.training]))
    return digest.hexdigest()


def test_one_assistant_for_several_targets_and_several_for_one() -> None:
    targets = [random_model(name, TARGET, seed) for seed, name in enumerate(("llama", "qwen3"))]
    others = [(ASSISTANT, "llama"), (tokenizer("bytes"), "gpt2"), (TARGET, "mistral-window")]
    assistants = [(random_model(name, own, 5), own) for own, name in others]
    models = [*targets, *(model for model, _ in assistants)]
    before = [fingerprint(model) for model in models]
    settings = [own.backend_tokenizer.to_str() for own in (TARGET, ASSISTANT)]
    decoders = [
        SpeculativeDecoder(target, TARGET, assistant, own, lookahead=4)
        for target in targets
        for assistant, own in assistants
    ]
    for decoder in decoders:
        check(decoder)
    # In turns: texts of several decoders are under way at once.
    expected = [decoder.generate(PROMPT, max_new_tokens=12).text for decoder in decoders]
    streams = [decoder.stream(PROMPT, max_new_tokens=12) for decoder in decoders]
    told = [""] * len(streams)
    while any(pieces := [next(stream, "") for stream in streams]):
        told = [text + piece for text, piece in zip(told, pieces, strict=True)]
    assert told == expected
    assert [fingerprint(model) for model in models] == before
    assert [own.backend_tokenizer.to_str() for own in (TARGET, ASSISTANT)] == settings


@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "bfloat16")], ids=str)
def test_number_types_of_their_own(dtypes: tuple[str, str]) -> None:
    target, assistant = (getattr(torch, dtype) for dtype in dtypes)
    models = (
        random_model("llama", TARGET).to(target),
        random_model("llama", ASSISTANT).to(assistant),
    )
    check(SpeculativeDecoder(models[0], TARGET, models[1], ASSISTANT, lookahead=4))


def saved(tmp_path: Path, **changes: Any) -> str:
    random_model("llama", TARGET, **changes).save_pretrained(tmp_path)
    return str(tmp_path)


def loaded(folder: str, **options: Any) -> PreTrainedModel:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    return model.eval()


def test_device_map(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = saved(tmp_path)
    model = loaded(folder, device_map="auto", dtype="auto")
    check(
        SpeculativeDecoder(model, TARGET, random_model("llama", ASSISTANT), ASSISTANT, lookahead=4)
    )


def test_weights_on_disk(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = saved(tmp_path / "model")
    for where in ("model.embed_tokens", "model.layers.1"):
        parts = ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm"]
        places = {part: "disk" if part == where else "cpu" for part in [*parts, "lm_head"]}
        places["model.rotary_emb"] = "cpu"
        model = loaded(folder, device_map=places, offload_folder=str(tmp_path / "offload"))
        other = random_model("llama", ASSISTANT)
        check(SpeculativeDecoder(model, TARGET, other, ASSISTANT, lookahead=4))


def test_options_of_the_assistants_own(tmp_path: Path) -> None:
    folder = saved(tmp_path / "target")
    random_model("llama", ASSISTANT).save_pretrained(tmp_path / "assistant")
    TARGET.save_pretrained(folder)
    ASSISTANT.save_pretrained(tmp_path / "assistant")
    decoder = SpeculativeDecoder.from_pretrained(
        folder,
        str(tmp_path / "assistant"),
        dtype="float64",
        assistant_options={"dtype": "bfloat16"},
        lookahead=4,
    )
    assert decoder.model.dtype == torch.float64 and decoder.assistant.dtype == torch.bfloat16
    check(decoder)


class Elsewhere(nn.Module):
    """Weights in another number type and shape than they seem, as quantised layers have them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.abs().amax(-1, keepdim=True).detach() / 127
        packed = (linear.weight / self.scale).round().to(torch.int8).detach()
        self.weight = nn.Parameter(packed.reshape(-1, 1), requires_grad=False)
        self.out_features = linear.out_features

    def forward(self, states: Tensor) -> Tensor:
        return states @ (self.weight.reshape(self.out_features, -1) * self.scale).T


def replaced(model: PreTrainedModel) -> PreTrainedModel:
    linear = [
        (part, name, child)
        for part in model.modules()
        for name, child in part.named_children()
        if isinstance(child, nn.Linear)
    ]
    for part, name, child in linear:
        setattr(part, name, Elsewhere(child))
    return model


@pytest.mark.parametrize("sides", [(True, False), (False, True), (True, True)], ids=str)
def test_packed_weights(sides: tuple[bool, bool]) -> None:
    models = [random_model("llama", own) for own in (TARGET, ASSISTANT)]
    models = [replaced(model) if side else model for model, side in zip(models, sides, strict=True)]
    check(SpeculativeDecoder(models[0], TARGET, models[1], ASSISTANT, lookahead=4))


@pytest.mark.filterwarnings("ignore")  # of its own deprecations
def test_torchao(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    config = TorchAoConfig(Int8WeightOnlyConfig())
    model = loaded(saved(tmp_path), quantization_config=config, dtype="float32")
    assert "Int8" in type(model.model.layers[0].mlp.up_proj.weight).__name__
    check(
        SpeculativeDecoder(model, TARGET, random_model("llama", ASSISTANT), ASSISTANT, lookahead=4)
    )


SHARDED = """
import json, sys, time
import torch
import torch.distributed
from transformers import AutoModelForCausalLM
from uag import SpeculativeDecoder
from uag.clock import set_clock
from tests.support.models import random_model
from tests.support.tokenizers import PROMPT, tokenizer

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
load = AutoModelForCausalLM.from_pretrained
model = load(sys.argv[1], tp_plan="auto", dtype=torch.float32).eval()
up = model.model.layers[0].mlp.up_proj.weight
shape = tuple((up.to_local() if hasattr(up, "to_local") else up).shape)
own = tokenizer("llama2")
decoder = SpeculativeDecoder(model, tokenizer("gpt2"), random_model("llama", own), own)
# Clocks that differ: what "auto" measures may not take the processes apart.
set_clock(lambda: time.perf_counter() * (1 + 30 * torch.distributed.get_rank()))
for prompt in (PROMPT, "Once", "One day"):
    for _ in range(3):
        decoder.generate(prompt, max_new_tokens=40)
inputs = tokenizer("gpt2")([PROMPT], return_tensors="pt")
found = {
    "greedy": decoder.generate(PROMPT, max_new_tokens=16).token_ids,
    "drawn": decoder.generate(PROMPT, max_new_tokens=16, do_sample=True, seed=2).token_ids,
    "fresh": decoder.generate(PROMPT, max_new_tokens=16, do_sample=True).token_ids,
    "custom": model.generate(**inputs, max_new_tokens=16, custom_generate=decoder).tolist(),
    "drafts": [done.drafted for done in decoder.generate(PROMPT, max_new_tokens=40).stats.history],
    "shape": shape,
    "world": torch.distributed.get_world_size(),
}
with open(f"{sys.argv[1]}/rank{torch.distributed.get_rank()}.json", "w") as file:
    json.dump(found, file)
torch.distributed.barrier()  # none leaves while another still waits for it
torch.distributed.destroy_process_group()
"""


def test_tensor_parallelism(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
        f"--master-port={port}", str(script), folder,
    ]  # fmt: skip
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1] and ranks[0]["world"] == 2
    one = loaded(folder)
    assert ranks[0]["shape"][0] * 2 == one.model.layers[0].mlp.up_proj.weight.shape[0]
    alone = SpeculativeDecoder(one, TARGET)
    assert ranks[0]["greedy"] == plain_ids(one, TARGET(PROMPT)["input_ids"], max_new_tokens=16)
    drawn = alone.generate(PROMPT, max_new_tokens=16, do_sample=True, seed=2)
    assert ranks[0]["drawn"] == drawn.token_ids
    assert ranks[0]["custom"][0][-16:] == ranks[0]["greedy"]


@pytest.mark.parametrize("side", ["target", "assistant"])
def test_models_without_weights(side: str) -> None:
    models = [random_model("llama", TARGET), random_model("llama", ASSISTANT)]
    empty = models[side == "assistant"].to("meta")
    with pytest.raises(UnsupportedModelError, match=f"the {side} .* on the meta device"):
        SpeculativeDecoder(models[0], TARGET, models[1], ASSISTANT)
    assert empty.device.type == "meta"


@pytest.mark.gpu
def test_target_and_assistant_on_devices_of_their_own() -> None:
    for places in (("cuda", "cpu"), ("cpu", "cuda")):
        models = [
            random_model("llama", own).to(place)
            for own, place in zip((TARGET, ASSISTANT), places, strict=True)
        ]
        decoder = SpeculativeDecoder(models[0], TARGET, models[1], ASSISTANT, lookahead=4)
        out = decoder.generate(PROMPT, max_new_tokens=16)
        alone = SpeculativeDecoder(models[0], TARGET)
        assert out.token_ids == alone.generate(PROMPT, max_new_tokens=16).token_ids
