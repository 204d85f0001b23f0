"""`uag.llama_cpp.DraftModel`, for the `draft_model=` of llama-cpp-python."""

from uag.integrations.llama_cpp import DraftModel

__all__ = ["DraftModel"]
