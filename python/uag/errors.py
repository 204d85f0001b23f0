"""What `uag` raises when it is given something it cannot use.

Every message names the value, the limit it breaks and what to do instead. All are `ValueError`s,
and a decoder that raised one is still usable.
"""

import warnings


class UagError(ValueError):
    """Base of every error that a user of `uag` can cause."""


class LoadError(UagError):
    """A model or tokenizer could not be loaded from the given name or folder."""


class UnsupportedModelError(UagError):
    """The model cannot be driven token by token with a cache that can be rewound."""


class UnsupportedTokenizerError(UagError):
    """The tokenizer cannot be read, or does not belong to its model."""


class PromptError(UagError):
    """The prompt is empty, too long, or holds ids the model does not have."""


class OptionError(UagError):
    """A generation option is unknown, out of range or not supported."""


class LogitsError(UagError):
    """The target's logits are NaN, or its processors allow no token."""


class FileError(UagError):
    """A file of results, text or a report can't be read or written."""


class UagWarning(UserWarning):
    """Something works, but not as well as it could, or not as the caller may expect."""


_warned: set[str] = set()


def warn_once(message: str) -> None:
    """A `UagWarning`, the first time this one is given."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, UagWarning, stacklevel=3)
