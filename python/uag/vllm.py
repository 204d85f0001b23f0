"""`uag.vllm.Proposer`, by which name vLLM finds it."""

from uag.integrations.vllm import Proposer

__all__ = ["Proposer"]
