"""Sizes of tiny models, by the names that configurations give them.

Windows, chunks and blocks are small enough for a text of forty new ids to leave them.
"""

from typing import Any

HEADS = 4
LAYERS = 4

_NAMES: list[tuple[Any, str]] = [
    (32, "hidden_size d_model n_embd emb_dim embedding_dim embedding_size input_embedding_size"),
    (32, "output_embedding_size word_embed_proj_dim lru_width backbone_hidden_size hidden_dim"),
    (32, "attention_hidden_size position_bias_num_buckets embed_dim"),
    (48, "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim dff dim_ff d_inner mlp_dim"),
    (48, "feed_forward_size intermediate_size_mlp dense_intermediate_size ffn_hidden_size"),
    (16, "moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size"),
    (16, "shared_experts_intermediate_size expert_ffn_hidden_size router_hidden_size"),
    (16, "moe_shared_expert_intermediate_size prefix_dense_intermediate_size"),
    (LAYERS, "num_hidden_layers n_layer num_layers n_layers num_blocks layers"),
    (2, "decoder_layers encoder_layers num_encoder_layers num_decoder_layers depth num_mem_blocks"),
    (HEADS, "num_attention_heads n_head n_heads num_heads attention_heads linear_num_heads"),
    (HEADS, "decoder_attention_heads encoder_attention_heads swa_num_attention_heads"),
    (HEADS, "num_encoder_attention_heads num_decoder_attention_heads linear_num_value_heads"),
    (2, "num_key_value_heads num_kv_heads swa_num_key_value_heads linear_num_key_heads"),
    (8, "head_dim v_head_dim qk_rope_head_dim qk_nope_head_dim index_head_dim swa_head_dim"),
    (8, "linear_head_dim dim_head attention_head_size linear_key_head_dim linear_value_head_dim"),
    (8, "global_head_dim kv_channels query_pre_attn_scalar d_head rotary_dim"),
    (16, "kv_lora_rank q_lora_rank o_lora_rank hc_lowrank adapter_rank gated_norm_rank"),
    (16, "laurel_rank"),
    (4, "num_experts num_local_experts n_routed_experts moe_num_experts"),
    (2, "num_experts_per_tok moe_topk moe_k top_k_experts n_group"),
    (1, "topk_group n_shared_experts num_shared_experts moe_num_shared_experts"),
    (1, "first_k_dense_replace num_dense_layers moe_layer_start_index"),
    (256, "max_position_embeddings n_positions max_target_positions max_seq_len n_ctx"),
    (256, "context_length original_max_position_embeddings"),
    (8, "sliding_window sliding_window_size attention_window_size window_size"),
    (8, "attention_chunk_size block_multiple_of hidden_size_per_layer_input"),
    (16, "local_attention index_n_heads shape_vocab_size pronunciation_vocab_size"),
    (8, "index_topk shape_embed_dim pronunciation_embed_dim"),
    (4, "index_block_size prompt_length"),
    (2, "index_topk_blocks"),
    (8, "mamba_d_state state_size mamba_state_dim ssm_state_size mamba_n_heads mamba_num_heads"),
    (8, "mamba_d_head mamba_head_dim mamba_headdim mamba_chunk_size chunk_size block_size"),
    (64, "mamba_d_ssm"),
    (1, "mamba_n_groups mamba_ngroups n_groups"),
    (128, "position_bias_max_distance"),
    (0, "num_kv_shared_layers num_nextn_predict_layers num_mtp_layers"),
]

SIZES: dict[str, Any] = {name: value for value, names in _NAMES for name in names.split()}

# Given even where the default is to work them out from other sizes.
ALWAYS = {
    "hidden_size",
    "num_key_value_heads",
    "head_dim",
    "num_kv_heads",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
}

VISION: dict[str, Any] = {
    name: value
    for name, value in SIZES.items()
    if name not in {"sliding_window", "window_size", "head_dim", "attention_chunk_size"}
} | {
    "image_size": 28,
    "patch_size": 14,
    "num_hidden_layers": 2,
    "depth": 2,
    "num_layers": 2,
    "out_hidden_size": 32,
    "projection_dim": 32,
    "output_dim": 32,
    "embed_dim": 32,
    "max_position_embeddings": 64,
    "num_position_embeddings": 16,
}

ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4}

_QWEN_VL: dict[str, Any] = {
    "text_config": {
        "rope_parameters": ROPE | {"mrope_section": [2, 1, 1]},
        "use_sliding_window": False,
        "sliding_window": None,
    }
}

_GLM_V: dict[str, Any] = {
    "text_config": {
        "rope_parameters": ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 1.0}
    }
}

# What a class needs beside or instead of its sizes, by its model type.
PARTICULAR: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "chameleon": {"vocabulary_map": {"<image>": 430}},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "rope_parameters": {
            "sliding_attention": ROPE | {"mrope_section": [2, 1, 1]},
            "full_attention": None,
        },
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"topk_method": "greedy", "num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dots3_note_text": {
        "num_key_value_heads": HEADS,
        "swa_num_attention_heads": HEADS,
        "swa_q_lora_rank": 16,
        "swa_kv_lora_rank": 16,
        "swa_head_dim": 16,
        "swa_num_key_value_heads": 4,
        "swa_qk_nope_head_dim": 8,
        "swa_v_head_dim": 8,
        "head_dim": 16,
    },
    "emu3": {"vocabulary_map": {"<image>": 430}},
    "ernie4_5_vl_moe": {"text_config": {"rope_parameters": ROPE | {"mrope_section": [1, 1, 2]}}},
    "glm46v": _GLM_V,
    "gemma3": {"mm_tokens_per_image": 4},
    "glm5_next_text": {"index_kpool": 4, "qk_rope_head_dim": 0},
    "glmga": _GLM_V,
    "glm4v": _GLM_V,
    "glm4v_moe": _GLM_V,
    "glm_ocr": _GLM_V,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    "granite4_vision": {"deepstack_layer_map": [[0, 0]], "spatial_target_layers": [1]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "hunyuan_vl": {
        "text_config": {"rope_parameters": ROPE | {"mrope_section": [1, 1, 1, 1]}},
    },
    "inkling2": {"vision_config": {"text_hidden_size": 32}},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "use_mamba_kernels": False,
    },
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "llama4": {
        "vision_config": {
            "intermediate_size": 128,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
            "vision_output_dim": 32,
        }
    },
    "llava_next": {"image_grid_pinpoints": [[28, 56], [56, 28]]},
    "llava_next_video": {"image_grid_pinpoints": [[28, 56], [56, 28]]},
    "llava_onevision": {"image_grid_pinpoints": [[28, 56], [56, 28]]},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "mistral3": {"vision_config": {"image_size": 56}},
    "mistral_large4": {"vision_config": {"image_size": 56}},
    "mllama": {
        "text_config": {"cross_attention_layers": [1]},
        "vision_config": {
            "intermediate_layers_indices": [0],
            "num_global_layers": 1,
            "attention_heads": HEADS,
            "vision_output_dim": 64,
        },
    },
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0], "text_hidden_size": 32}},
    "moshi": {"audio_vocab_size": 32},
    "nemotron_h_omni": {"vision_config": {"video_temporal_patch_size": 2}},
    "paddleocr_vl": {"text_config": {"rope_parameters": ROPE | {"mrope_section": [2, 1, 1]}}},
    "paligemma": {"projection_dim": 32, "vision_config": {"projection_dim": 32}},
    "qwen2_5_vl": _QWEN_VL,
    "qwen2_5_omni_thinker": {"vision_start_token_id": 7} | _QWEN_VL,
    "qwen2_vl": _QWEN_VL,
    "qwen3_omni_moe_thinker": {"vision_start_token_id": 7},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 4,
        "split_ngram_parts": 1,
        "ngram_vocab_size_base": 64,
        "make_ngram_vocab_size_divisible_by": 8,
        "heads_per_ngram": 2,
    },
    # Without a seed, each pass hashes otherwise: generate itself gives another text each time.
    "reformer": {
        "axial_pos_shape": (16, 16),
        "axial_pos_embds_dim": (16, 16),
        "hash_seed": 0,
    },
    "step3p7": {"text_config": {"sliding_window": 8}},
    "vipllava": {"vision_feature_layers": [-1, -2]},
    "xlstm": {
        "hidden_size": 128,
        "embedding_dim": 128,
        "num_heads": 2,
        "chunk_size": 64,
        "num_hidden_layers": 2,
        "num_blocks": 2,
    },
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}
