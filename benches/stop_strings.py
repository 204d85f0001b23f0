"""What do stop strings cost for a call, beside transformers' `StopStringCriteria`?

    python -m benches.stop_strings TOKENIZERS

TOKENIZERS holds a folder for each tokenizer. "a call" is done once for each text of a call, "an id"
after each new id; medians. "texts" counts the tokens of the vocabulary whose text is not the one
that transformers matches; "ends" the places in texts, some of them with ids of any kind in between,
where one of the two finds a string and the other does not.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, Any

import torch
import typer
from transformers import AutoTokenizer, StopStringCriteria
from transformers.generation.stopping_criteria import STOP_STRING_EMBEDDING_CACHE

from benches.common import JsonFile, Results, Runs, begin, timed

TEXT = """Question: What is 3 + 4?\nAnswer: 7. <|im_end|>\n\nUser: "Müller", déjà vu, 日本語 und 🙂!
```python
def add(x, y):\n    return x + y\n```\n</s> It's done. I don't know; don't ask. ###"""
STRINGS = ["\n\n", "User:", "###", "</s>", "日本", "🙂!", "ü", "on't", "return x +", "ed. I"]


def texts(words: Any, count: int) -> Iterator[list[int]]:
    """The text's ids, and the same with ids of any kind among them."""
    told: list[int] = words(TEXT, add_special_tokens=False)["input_ids"]
    yield told
    random = Random(1)
    for _ in range(count):
        at = random.randrange(len(told))
        strange = [random.randrange(len(words) + 5) for _ in range(random.randrange(3))]
        yield told[at:] + strange + told[:at]


def measure(words: Any, count: int) -> tuple[float, float, float, float, int, int]:
    """Seconds of a call and an id, ours and theirs; differences in token texts and in ends."""
    from uag.decoding.stop_strings import StopStrings
    from uag.decoding.token_texts import TokenTexts

    STOP_STRING_EMBEDDING_CACHE.clear()
    words(TEXT)  # its first call sets it up
    ours, own_call = timed(StopStrings, words, STRINGS)
    theirs, their_call = timed(StopStringCriteria, words, STRINGS)
    spent: tuple[list[float], list[float]] = ([], [])
    ends = 0
    for ids in texts(words, count):
        for end in range(1, len(ids) + 1):
            found = timed(ours.found, ids[:end])
            text: Any = torch.tensor([ids[max(0, end - theirs.maximum_token_len) : end]])
            met = timed(theirs, text, None)
            ends += (found[0] is not None) != bool(met[0])
            spent[0].append(found[1])
            spent[1].append(met[1])
    mode: Any = StopStringCriteria._get_stop_string_matching_mode(words)
    cleaned = StopStringCriteria.clean_tokenizer_vocab(words, stop_string_matching_mode=mode)
    own = TokenTexts(words)
    wrong = sum(
        own[id] != (text if isinstance(text, bytes) else text.encode())
        for text, id in zip(*cleaned, strict=True)
    )
    return own_call, median(spent[0]), their_call, median(spent[1]), wrong, ends


def main(
    folder: Annotated[Path, typer.Argument(metavar="TOKENIZERS", file_okay=False, exists=True)],
    runs: Runs = 3,
    count: Annotated[int, typer.Option("--texts", help="Texts with ids of any kind.")] = 20,
    json_file: JsonFile = None,
) -> None:
    """Measure and compare all tokenizers of a folder."""
    begin(1)
    results = Results(
        *("tokenizer", "ids", "a call, ms", "an id, µs"),
        *("transformers: a call, ms", "an id, µs ", "texts", "ends"),
    )
    for path in sorted(each for each in folder.iterdir() if (each / "tokenizer.json").exists()):
        words: Any = AutoTokenizer.from_pretrained(path)
        measured = [measure(words, count if run == 0 else 0) for run in range(runs)]
        call, id, their_call, their_id = (
            median(each) for each in zip(*(row[:4] for row in measured), strict=True)
        )
        times = (
            *(f"{1e3 * call:.2f}", f"{1e6 * id:.0f}"),
            *(f"{1e3 * their_call:,.0f}", f"{1e6 * their_id:.0f}"),
        )
        results.add(path.name, f"{len(words):,}", *times, *map(str, measured[0][4:]))
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
