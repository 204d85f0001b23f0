"""How ids are chosen from logits: greedily, by shared noise, or by rejection."""
