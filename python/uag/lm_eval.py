"""`python -m uag.lm_eval`: lm-evaluation-harness with an additional model type, "uag"."""

# The harness need not be installed where this file is type-checked.
# pyright: basic, reportMissingImports=false

from uag.integrations.lm_eval import AssistedLM

__all__ = ["AssistedLM"]

if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
