"""The algorithm: assisted generation with two vocabularies, one round at a time.

A round: the assistant drafts, the draft is translated to the target's ids, one forward pass of the
target verifies them, and both models keep only what is emitted.
"""

from collections.abc import Iterator

from uag.clock import Clock
from uag.decoding.candidates import ANY, Trees
from uag.decoding.stopping import Stop
from uag.decoding.verify import Verify
from uag.draft import Draft
from uag.drafting.source import DraftSource
from uag.lookahead.protocol import Lookahead
from uag.models.cached_lm import CachedLM
from uag.stats import Round
from uag.translation.protocol import Translator


def rounds(
    target: CachedLM,
    drafts: DraftSource,
    translator: Translator,
    verify: Verify,
    stop: Stop,
    lookahead: Lookahead,
    trees: Trees = ANY,
) -> Iterator[Round]:
    """Continue a generation whose prompt is already in `target`, `drafts` and `translator`.

    Yields each round when it is done. At that point all three hold exactly the emitted sequence, so
    the caller may stop after any round.

    Args:
        target: the target model with its KV cache.
        drafts: proposes ids of the assistant's vocabulary.
        translator: converts between the two vocabularies.
        verify: decides from the target's logits which ids are emitted.
        stop: decides where the sequence ends.
        lookahead: chooses how many ids to draft, and is told how each round went.
        trees: chooses the candidates of drafts that are trees.
    """
    lookahead.start()
    drafting, verifying = "prefill", "prefill"
    while True:
        clock = Clock()
        end = len(target.ids)
        room = min(stop.room(end), target.room)

        # 1. Draft: the assistant proposes ids of its own vocabulary. If only one more id may
        #    follow, the target's own is that one, so nothing is drafted.
        with clock.phase(drafting):
            k = lookahead.next_k() if room > 1 else 0
            draft = drafts.draft(k, lookahead.goes_on()) if room > 1 else Draft()

        # 2. Translate: the draft's bytes as ids of the target, the candidates. They are a chain, or
        #    a tree of which only one path can be accepted.
        with clock.phase("translate"):
            found = trees.candidates(draft, translator, target.ids, room)
            candidates, parents = found.ids, found.parents

        # 3. Verify: one forward pass of the target over all candidates. Those before the first that
        #    it would not have chosen are accepted; then comes one id of its own. What follows the
        #    end of the generation is not looked at.
        with clock.phase(verifying):
            target.append(candidates)
            logits = target.tree_logits(parents)
            chosen = verify(logits, target.ids, candidates, parents)
            tokens, ending = stop.cut(target.ids, end, chosen)

        # 4. Commit: find out what the assistant must keep and read for the emitted ids.
        with clock.phase("commit"):
            path = found.path(tokens)
            accepted = len(path)
            edit = translator.commit(tokens)

        # 5. Roll back: both models drop what was rejected and are fed what replaces it.
        target.keep_path(path)
        target.append(tokens[accepted:])
        drafts.apply(keep=edit.keep, feed=edit.feed)

        # 6. Ahead: what comes next in all likelihood is begun, so that the device works while the
        #    host tells the lookahead and the caller how the round went.
        if ending is None:
            with clock.phase(drafting):
                begun = drafts.begin(k)
            if not begun:
                target.read_ahead()
        done = Round(
            tokens=tokens,
            accepted=accepted,
            drafted=found.drafted,
            drafted_accepted=found.drafted_accepted(tokens),
            looked_up=found.drafted - len(draft.ids),
            candidates=len(candidates),
            seconds=clock.seconds(),
            width=target.width,
            confidences=draft.confidences,
            draft_seconds=draft.seconds,
            searched=draft.searched,
            ending=ending,
            tree=found.judged(tokens),
        )
        lookahead.update(done)
        yield done
        if ending is not None:
            return
        drafting, verifying = ("draft" if found.drafted else drafting), "verify"
