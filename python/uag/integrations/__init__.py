"""uag in pipelines and in lm-evaluation-harness."""
