"""After its window, is an assistant better off going on, or starting anew at half a window?

    python -m benches.windows --assistant A --text FILE [--windows 4]

The share of a text's ids that the model predicts, by where they are. "goes on": positions beyond
`max_position_embeddings`, as `generate` has them. "starts anew": as uag has it; whenever the window
is full, the model reads the latest half of it again, with positions from 0.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benches.common import JsonFile, Results, Threads, Trust, begin


@torch.no_grad()
def predictions(model: Any, ids: list[int]) -> list[int]:
    """The likeliest id after each id."""
    return model(torch.tensor([ids])).logits[0].argmax(-1).tolist()


def main(
    assistant: Annotated[str, typer.Option(help="A model whose positions are computed (rope).")],
    text: Annotated[Path, typer.Option(help="A text like those that it was trained on.")],
    windows: Annotated[int, typer.Option(min=2, help="How many windows of the text.")] = 4,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Predict each id of the text in both ways."""
    from uag.models.loading.by_name import load_model, load_tokenizer
    from uag.models.properties import context_window
    from uag.translation.tokenizers import prompt_ids

    begin(threads)
    model: Any = load_model(assistant, dtype="float32", trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(assistant, trust_remote_code=trust_remote_code)
    window = context_window(model) or 0
    ids = prompt_ids(tokenizer, text.read_text())[: windows * window]
    on = predictions(model, ids)
    anew = on[:window]
    for start in range(window // 2, len(ids) - window // 2, window // 2):
        anew += predictions(model, ids[start : start + window])[window // 2 :]
    results = Results("ids", "goes on", "starts anew")
    for start in range(0, len(ids) - 1, window):
        places = range(start, min(start + window, len(ids) - 1))
        shares = [sum(way[at] == ids[at + 1] for at in places) / len(places) for way in (on, anew)]
        results.add(f"{start} to {places.stop}", *(f"{share:.2f}" for share in shares))
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
