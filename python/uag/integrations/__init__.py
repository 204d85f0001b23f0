"""uag in transformers' pipelines, lm-evaluation-harness, vLLM and llama-cpp-python."""
