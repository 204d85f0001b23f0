"""uag in transformers' pipelines and in lm-evaluation-harness."""
