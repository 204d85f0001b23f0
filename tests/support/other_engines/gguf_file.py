"""A Llama of transformers as a GGUF file of float32, for llama.cpp."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

# The modules of a layer, as transformers and as GGUF name them.
MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Write the model. Of the tokenizer it has the tokens: texts are given as ids."""
    config: Any = model.config
    writer: Any = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _add_vocabulary(writer, tokenizer, config.vocab_size)
    _add_weights(writer, model)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: Any, tokenizer: Any, size: int) -> None:
    tokens = [tokenizer.convert_ids_to_tokens(id) or f"<{id}>" for id in range(size)]
    writer.add_vocab_size(size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * size)
    special = {*tokenizer.all_special_ids}
    writer.add_token_types([_kind(token, id in special) for id, token in enumerate(tokens)])
    writer.add_bos_token_id(tokenizer.bos_token_id or 0)
    writer.add_eos_token_id(tokenizer.eos_token_id)


def _kind(token: str, special: bool) -> TokenType:
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return TokenType.BYTE
    return TokenType.CONTROL if special else TokenType.NORMAL


def _add_weights(writer: Any, model: LlamaForCausalLM) -> None:
    config: Any = model.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    head = model.get_output_embeddings()
    found = {
        "token_embd": model.model.embed_tokens.weight,
        "output_norm": model.model.norm.weight,
        "output": head.weight,
    }
    for number, layer in enumerate(model.model.layers):
        for own, name in MODULES.items():
            weight: Any = layer.get_submodule(own).weight
            weight = _in_pairs(weight, heads[name]) if name in heads else weight
            found[f"blk.{number}.{name}"] = weight
    for name, weight in found.items():
        values = weight.detach().float().contiguous().numpy()
        writer.add_tensor(f"{name}.weight", np.ascontiguousarray(values))


def _in_pairs(weight: Tensor, heads: int) -> Tensor:
    """Numbers that are rotated together beside each other, and not half a head apart."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
