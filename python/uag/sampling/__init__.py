"""How ids are chosen from logits: greedy, by shared noise, by rejection."""
