"""The algorithm: assisted generation in two vocabularies, round by round."""

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
    """Continue the text that `target`, `drafts` and `translator` hold, a round at a time.

    Between rounds all of them hold exactly the emitted text, so the consumer may stop anywhere.
    """
    lookahead.start()
    drafting, checking = "prefill", "prefill"
    while True:
        clock = Clock()
        end = len(target.ids)
        room = stop.room(end)

        # 1. The assistant proposes ids of its own vocabulary. A last id needs no proposal.
        with clock.phase(drafting):
            k = lookahead.next_k() if room > 1 else 0
            draft = drafts.draft(k, lookahead.goes_on()) if room > 1 else Draft()

        # 2. The same bytes as the target's ids.
        with clock.phase("translate"):
            proposal = translator.propose(draft.ids, draft.text)
            drafted = max([len(draft.ids), *proposal.draft_ends[-1:]])
            candidates = proposal.ids[: round_width(min(len(proposal.ids) + 1, room)) - 1]

        # 3. One forward pass of the target: the longest agreeing run, then one id of its own.
        with clock.phase(checking):
            target.append(candidates)
            tokens = verify(target.logits(len(candidates) + 1), target.ids, candidates)

        # 4. What is emitted, in the assistant's ids.
        with clock.phase("commit"):
            tokens, finished = stop.cut(target.ids, end, tokens)
            accepted = agreement(tokens, candidates)
            edit = translator.commit(tokens)

        # 5. Both models go back to what is emitted; the lookahead hears how the draft went.
        target.apply(keep=end + accepted, feed=tokens[accepted:])
        drafts.apply(keep=edit.keep, feed=edit.feed)
        done = Round(
            tokens=tokens,
            accepted=accepted,
            drafted=drafted,
            drafted_accepted=_drafted_behind(accepted, proposal, drafted),
            looked_up=drafted - len(draft.ids),
            candidates=len(candidates),
            seconds=clock.seconds(),
            width=target.width,
            confidences=draft.confidences,
            draft_seconds=draft.seconds,
            searched=draft.searched,
        )
        lookahead.update(done)
        yield done
        if finished:
            return
        drafting, checking = ("draft" if drafted else drafting), "verify"


def _drafted_behind(accepted: int, proposal: Proposal, drafted: int) -> int:
    """How many drafted ids the first `accepted` candidates stand for."""
    if accepted == len(proposal.ids) and not proposal.cut:
        return drafted
    return proposal.draft_ends[accepted - 1] if accepted else 0
