"""Advice about a pair: why it cannot work, what to be aware of, and a verdict."""

from uag.inspection.model_facts import ModelFacts
from uag.inspection.pair import Advice, Pair
from uag.inspection.speedup import best_lookahead
from uag.translation.within_rows import belongs

# Acceptance of a typical pair, for the verdict.
USUAL = 0.7
# Acceptance that no pair reaches.
HOPELESS = 0.95
# Cost of a draft step above which drafting pays for few pairs.
DEAR = 0.5
# Assistant tokens per target token above which drafts take many steps.
SHORT = 2.0


def advise(pair: Pair) -> Advice:
    """The advice that follows from the facts about a pair."""
    found = _obstacles(pair)
    return Advice(found, _cautions(pair), _verdict(pair, found))


def _obstacles(pair: Pair) -> list[str]:
    """Why the two can't work together."""
    found: list[str] = []
    for role, side in _sides(pair):
        if not side.decoder_only:
            found.append(f"the {role} is an encoder-decoder; only decoders can be used")
        if side.rows is not None and not belongs(side.core.vocab_size, side.rows):
            found.append(
                f"the {role}'s tokenizer has {side.core.vocab_size:,} ids but its model only "
                f"{side.rows:,}: they do not belong together"
            )
    return found


def _cautions(pair: Pair) -> list[str]:
    """What works, but not as well as it could, or not as one may expect."""
    return [*_translation(pair), *_sizes(pair), *_special_tokens(pair), *_windows(pair)]


def _verdict(pair: Pair, obstacles: list[str]) -> str:
    """A summary in a few words: whether the pair works, and what speed-up to expect."""
    if obstacles:
        return f"Does not work: {'; '.join(obstacles)}."
    if pair.same_tokenizer:
        translation = "Both have the same tokenizer"
    elif pair.target.core.fast and pair.assistant.core.fast:
        translation = "Both sides take the fast exact path"
    else:
        slow = " and ".join(role for role, side in _sides(pair) if not side.core.fast)
        translation = f"The {slow} takes the slower path through its tokenizer"
    if pair.costs is None or pair.break_even is None:
        missing = " and the ".join(f"{role}'s" for role, side in _sides(pair) if side.size is None)
        refused = any(side.refused_code for _, side in _sides(pair))
        without = " without its own code (--trust-remote-code)" if refused else ""
        return f"Works. {translation}. The {missing} size is unknown{without}, and so is the cost."
    if pair.break_even.high > HOPELESS:
        promise = (
            "by its size the assistant costs too much to pay"
            if pair.break_even.low > HOPELESS
            else f"it pays only where memory is the limit, from an acceptance of "
            f"{pair.break_even.low:.0%} on"
        )
        return f"Works, but {promise}. {translation}."
    rate = 1 / pair.assistant_per_target
    low, high = (best_lookahead(USUAL, rate, cost) for cost in reversed(pair.costs))
    return (
        f"Works. {translation}. Drafting pays from an acceptance of {pair.break_even.high:.0%} on; "
        f"at {USUAL:.0%} it makes generation up to {_between(low[1], high[1])} times as fast, "
        f"with {_lookaheads(low[0], high[0])} a round."
    )


def _translation(pair: Pair) -> list[str]:
    found = [
        f"the {role} is translated through its tokenizer, which is slower; the reason is its "
        f"{side.core.reason}"
        for role, side in _sides(pair)
        if not side.core.fast
    ]
    for index, (role, _) in enumerate(_sides(pair)):
        unspelled = [one.name for one in pair.samples if not one.spelled[index]]
        if unspelled:
            found.append(
                f"the {role}'s vocabulary does not spell {_listed(unspelled)} byte for byte: "
                "drafts end there"
            )
    if pair.assistant_per_target > SHORT:
        found.append(
            f"the assistant needs {pair.assistant_per_target:.1f} tokens for one of the target's: "
            "it has to draft that many ids for each"
        )
    return found


def _sizes(pair: Pair) -> list[str]:
    refused = [
        f"the {role}'s size is unknown, as its model is code of its repository, which does not run "
        "unless you allow it: read it, and pass trust_remote_code=True (--trust-remote-code) if "
        "you trust it"
        for role, side in _sides(pair)
        if side.refused_code
    ]
    if refused:
        return refused
    target, assistant = pair.target.size, pair.assistant.size
    if target is None or assistant is None or pair.costs is None:
        return []
    if assistant.parameters >= target.parameters:
        return ["the assistant is not smaller than the target: swap them, or use a smaller one"]
    if pair.costs.high > DEAR:
        caution = (
            f"a drafted id costs up to {pair.costs.high:.2f} passes of the target: a smaller "
            "assistant, or one with fewer layers, would pay more"
        )
        return [caution]
    return []


def _special_tokens(pair: Pair) -> list[str]:
    found = [
        f"the {role} names no end-of-text token, so the two cannot be paired: the output ends by "
        "the target's rules, but no draft contains its end"
        for role, side in _sides(pair)
        if not side.ids_of("eos")
    ]
    if turn := pair.target.open_turn:
        found.append(
            f"{turn} ends a turn in the target's chat template, but is not among its end-of-text "
            "tokens, so replies may go on after their end: add it to eos_token_id"
        )
    if pair.target.chat_template and not pair.assistant.chat_template:
        found.append("the assistant has no chat template: it reads a chat as plain text")
    contents = {special.content for special in pair.assistant.specials}
    unpaired = [
        special.content
        for special in pair.target.specials
        if special.in_chat and "eos" not in special.roles and special.content not in contents
    ]
    if unpaired and pair.assistant.chat_template:
        found.append(
            f"{_listed(unpaired)} of the target's chat format have no counterpart in the "
            "assistant's vocabulary; special_pairs can name one for each"
        )
    return found


def _windows(pair: Pair) -> list[str]:
    target, assistant = pair.target.window, pair.assistant.window
    if target is None or assistant is None:
        return []
    # An assistant with longer tokens needs fewer for the same text.
    needed = target * pair.assistant_per_target
    if assistant >= needed:
        return []
    reached = int(assistant / pair.assistant_per_target)
    caution = (
        f"the assistant's window ends at about {reached:,} of the target's {target:,} ids: after "
        "that, it reads only as much recent text as fills half its window"
    )
    return [caution]


def _sides(pair: Pair) -> list[tuple[str, ModelFacts]]:
    return [("target", pair.target), ("assistant", pair.assistant)]


def _listed(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _between(low: float, high: float) -> str:
    first, second = f"{low:.1f}", f"{high:.1f}"
    return first if first == second else f"{first} to {second}"


def _lookaheads(low: int, high: int) -> str:
    if low == high:
        return f"{low} drafted id{'s' if low != 1 else ''}"
    return f"{min(low, high)} to {max(low, high)} drafted ids"
