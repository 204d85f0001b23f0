"""`python -m uag.lm_eval`: lm-evaluation-harness with uag as one more kind of model."""

# The harness need not be installed where this is checked.
# pyright: basic, reportMissingImports=false

from uag.integrations.lm_eval import AssistedLM

__all__ = ["AssistedLM"]

if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
