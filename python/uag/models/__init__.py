"""A single model: loading it, its KV cache, and how its forward passes run."""
