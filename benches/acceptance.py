"""How many tokens does a target pass give at a fixed lookahead, beside transformers' own?

    python -m benches.acceptance --stories FILE [--target T --assistant A] [--limit 18]

Prompts are the openings of stories. Both methods decode the same prompts greedily; ids are compared
with plain decoding.
"""

import typer

from benches.common import (
    Assistant,
    FixedLookahead,
    JsonFile,
    Limit,
    MaxNewTokens,
    Results,
    Stories,
    Target,
    Threads,
    Trust,
    begin,
    console,
    counted,
    draft_always,
    load_pair,
    story_openings,
    transformers_ids,
)


def main(
    stories: Stories,
    target: Target = None,
    assistant: Assistant = None,
    limit: Limit = 18,
    lookahead: FixedLookahead = 5,
    max_new_tokens: MaxNewTokens = 150,
    threads: Threads = 2,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Count target passes of both methods over the same prompts."""
    from uag.translation.tokenizers import prompt_ids

    begin(threads)
    decoder = load_pair(
        target,
        assistant,
        lookahead=lookahead,
        dtype="float32",
        trust_remote_code=trust_remote_code,
    )
    draft_always(decoder.assistant, lookahead)
    peers = {
        "assistant_model": decoder.assistant,
        "tokenizer": decoder.tokenizer,
        "assistant_tokenizer": decoder.assistant_tokenizer,
    }
    tokens, forwards, identical = {"uag": 0, "transformers": 0}, {"uag": 0, "transformers": 0}, 0
    texts = story_openings(stories, limit)
    options = {"do_sample": False, "max_new_tokens": max_new_tokens}
    for text in texts:
        ids = prompt_ids(decoder.tokenizer, text)
        plain = transformers_ids(decoder.model, ids, **options)
        with counted(decoder.model) as passes:
            out = decoder.generate(text, max_new_tokens=max_new_tokens)
        tokens["uag"] += len(out.token_ids)
        forwards["uag"] += len(passes)
        identical += out.token_ids == plain
        with counted(decoder.model) as passes:
            tokens["transformers"] += len(transformers_ids(decoder.model, ids, **options, **peers))
        forwards["transformers"] += len(passes)
    results = Results("", "tokens", "target forwards", "tokens per forward")
    for method, count in tokens.items():
        rate = count / forwards[method]
        results.add(method, f"{count:,}", f"{forwards[method]:,}", f"{rate:.2f}")
    results.show(json_file)
    console.print(f"{identical} of {len(texts)} identical to plain decoding, {lookahead} drafted")


if __name__ == "__main__":
    typer.run(main)
