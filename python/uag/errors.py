"""The errors that `uag` raises, and its warning.

Every message names the value, the limit it breaks and what to do instead. All errors are
`ValueError`s, and a decoder that raised one is still usable.
"""

import warnings


class UagError(ValueError):
    """Base class of every error that a user of `uag` can cause.

    >>> try:
    ...     decoder.generate("Once upon a time", max_new_tokens=-1)
    ... except UagError as error:
    ...     print(type(error).__name__)
    OptionError
    """


class LoadError(UagError):
    """A model or tokenizer could not be loaded from the given name or folder."""


class UnsupportedModelError(UagError):
    """The model cannot decode token by token with a KV cache that can be rolled back."""


class AdapterError(UagError):
    """Adapters of a model were switched in the middle of a text."""


class UnsupportedTokenizerError(UagError):
    """The tokenizer cannot be used, or does not belong to its model."""


class PromptError(UagError):
    """The prompt is empty, too long, or contains ids that the model does not have."""


class OptionError(UagError):
    """A generation option is unknown, out of range or not supported."""


class LogitsError(UagError):
    """The target's logits are NaN, or its logits processors allow no token."""


class FileError(UagError):
    """A file of results, of text or of a report can't be read or written."""


class UagWarning(UserWarning):
    """Something works, but slower than it could, or not as the caller may expect."""


_warned: set[str] = set()


def warn_once(message: str) -> None:
    """Give a `UagWarning`, unless the same message was given before in this process."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, UagWarning, stacklevel=3)
