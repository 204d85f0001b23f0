"""The algorithm: assisted generation with two vocabularies, one round at a time.

A round: the assistant drafts, the draft is translated to the target's ids, one forward pass of the
target verifies them, and both models keep only what is emitted.
"""

from collections.abc import Iterator

from uag._core import Proposal
from uag.clock import Clock
from uag.decoding.stopping import Stop
from uag.decoding.verify import Verify, agreement, round_width
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

        # 2. Translate: the draft's bytes as ids of the target, the candidates.
        with clock.phase("translate"):
            proposal = translator.propose(draft.ids, draft.text)
            drafted = drafted_ids(draft, proposal)
            candidates = proposal.ids[: round_width(min(len(proposal.ids) + 1, room)) - 1]

        # 3. Verify: one forward pass of the target over all candidates. Those before the first that
        #    it would not have chosen are accepted; then comes one id of its own. What follows the
        #    end of the generation is not looked at.
        with clock.phase(verifying):
            target.append(candidates)
            chosen = verify(target.logits(len(candidates) + 1), target.ids, candidates)
            tokens, ending = stop.cut(target.ids, end, chosen)

        # 4. Commit: find out what the assistant must keep and read for the emitted ids.
        with clock.phase("commit"):
            accepted = agreement(tokens, candidates)
            edit = translator.commit(tokens)

        # 5. Roll back: both models drop what was rejected and are fed what replaces it. The
        #    lookahead is told how the round went.
        target.apply(keep=end + accepted, feed=tokens[accepted:])
        drafts.apply(keep=edit.keep, feed=edit.feed)
        done = Round(
            tokens=tokens,
            accepted=accepted,
            drafted=drafted,
            drafted_accepted=drafted_accepted(accepted, proposal, drafted),
            looked_up=drafted - len(draft.ids),
            candidates=len(candidates),
            seconds=clock.seconds(),
            width=target.width,
            confidences=draft.confidences,
            draft_seconds=draft.seconds,
            searched=draft.searched,
            ending=ending,
        )
        lookahead.update(done)
        yield done
        if ending is not None:
            return
        drafting, verifying = ("draft" if drafted else drafting), "verify"


def drafted_ids(draft: Draft, proposal: Proposal) -> int:
    """How many ids a draft has, looked-up ones among them.

    >>> drafted_ids(Draft([5, 6]), Proposal([7, 8], draft_ends=[1, 3]))
    3
    """
    return max([len(draft.ids), *proposal.draft_ends[-1:]])


def drafted_accepted(accepted: int, proposal: Proposal, drafted: int) -> int:
    """How many drafted ids the first `accepted` candidates spell.

    >>> drafted_accepted(1, Proposal([7, 8], draft_ends=[2, 3]), drafted=3)
    2
    """
    if accepted == len(proposal.ids) and not proposal.cut:
        return drafted
    return proposal.draft_ends[accepted - 1] if accepted else 0
