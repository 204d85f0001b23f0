"""Runs calls: gives each generation its caches, drafts, lookahead and sampling, and decodes it."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from uag.batching.batch_cache import RowCache
from uag.batching.session import ASSISTANT, TARGET, Session
from uag.decoding.candidates import ANY, Fit, Trees, usual
from uag.decoding.loop import rounds
from uag.decoding.output import Output, TextStream
from uag.decoding.streamers import check_one, feed, put_prompt
from uag.decoding.trace import Trace, TracedModel
from uag.decoding.verify import verifier
from uag.drafting.fallback import GuardedDrafting
from uag.drafting.lookup import Lookup
from uag.drafting.lookup_drafts import DraftsAllFound
from uag.drafting.sides import DraftSide, LookupBeside, Opening, model_name, switched_off
from uag.errors import UagError, UnsupportedTokenizerError, warn_once
from uag.lookahead.auto import Auto
from uag.lookahead.estimates import Estimates
from uag.lookahead.protocol import TreeJudge
from uag.lookahead.rules.trees import Heaviest
from uag.lookahead.schedules import Schedule
from uag.lookahead.synced import SyncedLookahead
from uag.models.adapters.acting import check_adapters
from uag.models.cached_lm import CachedLM
from uag.models.caches.kept import KeptCaches
from uag.models.caches.protocol import ModelCache, TreeReading, Way
from uag.models.check.trees import trees_fault
from uag.models.conditions import conditions
from uag.models.engines.runner import ModelRunner
from uag.models.properties import context_window, device_of, embedding_rows, is_sharded
from uag.models.suitable import check_eval
from uag.requests.own_state import Claim
from uag.requests.request import Request
from uag.sampling.coupled import fresh_seed, sequence_key
from uag.sampling.method import SamplingMethod, TextSampling
from uag.stats import Round, Stats
from uag.translation.bridge import Both, Bridge
from uag.translation.detokenizer import WholeCharacters, text_decoder
from uag.translation.tokenizers import AnyTokenizer, backend_of
from uag.translation.within_rows import WithinRows


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a text is, where texts of several users are decoded together.

    Attributes:
        name: a text goes on from KV caches of the same owner only.
        lookup: what is looked up in beside the text itself; `None` for the decoder's own.
    """

    name: str = ""
    lookup: Lookup | None = None


NOBODY = Owner()


class Engine:
    """A target and its draft side, ready to run; a decoder builds it once.

    Between calls it keeps measurements of the two models (`Estimates`), and of generations only the
    KV caches that have a budget (`kept`).
    """

    def __init__(
        self,
        target: ModelRunner,
        side: DraftSide,
        bridge: Bridge,
        tokenizers: Both[AnyTokenizer],
        schedule: Schedule,
        sampling: SamplingMethod,
        tree: int = 0,
    ) -> None:
        """Prepare to run.

        Args:
            target: runs the target.
            side: what drafts.
            bridge: the translation.
            tokenizers: the target's and the assistant's, for the names of special tokens.
            schedule: how far to draft.
            sampling: how tokens are chosen.
            tree: the most candidates of a tree; 0 for chains.
        """
        self.estimates = Estimates(sets_up_apart=target.sets_up_apart)
        self.sampling = sampling
        self.kept = KeptCaches()
        self.runners = {TARGET: target} | ({} if side.runner is None else {ASSISTANT: side.runner})
        self._process = os.getpid()
        self._target = target
        self._side = side
        self._bridge = bridge
        self._tokenizers = tokenizers
        self._sizes = [backend_of(each).get_vocab_size() for each in tokenizers]
        self.schedule = schedule
        self._tree = tree

    def start(self, request: Request, seed: int | None) -> TextStream:
        """Begin one generation, which is decoded as the returned stream is read."""
        (text,) = self.texts([request], seed, self._session([request], 1))
        return text

    def run(
        self,
        requests: Sequence[Request],
        seed: int | None,
        batch_size: int,
        streamer: BaseStreamer | None = None,
        *,
        has_prompt: bool = False,
    ) -> list[Output]:
        """Decode all requests to their ends, at most `batch_size` at a time.

        Args:
            requests: what to generate; at least one.
            seed: the caller's seed; `None` to take one from torch's generator if tokens are
                sampled.
            batch_size: how many generations are decoded at the same time.
            streamer: gets the ids of the only request.
            has_prompt: whether transformers has given the streamer the prompt already.

        Raises:
            OptionError: for a streamer with several requests.
        """
        if streamer is not None:
            check_one(len(requests))
        session = self._session(requests, min(batch_size, len(requests)))
        texts = self.texts(requests, seed, session)
        if streamer is None:
            return session.finish(texts)
        (text,) = texts
        if not has_prompt:
            put_prompt(streamer, text.prompt)
        return [feed(streamer, text, WholeCharacters(self._bridge.target, text.prompt))]

    def open(self, size: int, longest: int, prompt_ids: int) -> Session:
        """A session for generations that come and go, of up to `longest` ids; see `Session`."""
        return self._opened(size, longest, prompt_ids)

    def _session(self, requests: Sequence[Request], size: int) -> Session:
        """What the generations of one call share: caches and lookahead."""
        longest = max(request.plan.stop.max_length for request in requests)
        if size > 1 and any(request.prefill for request in requests):
            warn_once("prompts with images are decoded one after the other")
            size = 1
        return self._opened(size, longest)

    def _opened(self, size: int, longest: int, prompt_ids: int | None = None) -> Session:
        self.check_unchanged()
        auto = Auto(self.estimates, stops_early=self._side.stops_early)
        sharded = [each.model for each in self.runners.values() if is_sharded(each.model)]
        lookahead = self.schedule.for_call(
            SyncedLookahead(auto, sharded[0]) if sharded else auto,
            drafts=self._side.drafts,
            beside_lookups=isinstance(self._side, LookupBeside),
        )
        judge = auto if self.schedule.automatic else DraftsAllFound(auto)
        return Session(
            self.runners,
            self.schedule,
            lookahead,
            judge,
            size,
            longest,
            prompt_ids=prompt_ids,
            kept=self.kept,
            tree_judge=auto if self.schedule.automatic else None,
        )

    def check_unchanged(self) -> None:
        """Check that models and tokenizers are as they were when the decoder was built."""
        self._check_process()
        for role, runner in self.runners.items():
            check_eval(runner.modules.now(), role)
            check_adapters(runner.model, role)
        for role, tokenizer, size in zip(
            (TARGET, ASSISTANT), self._tokenizers, self._sizes, strict=True
        ):
            if (now := backend_of(tokenizer).get_vocab_size()) != size:
                raise UnsupportedTokenizerError(
                    f"the {role}'s tokenizer had {size} tokens when the decoder was built, and has "
                    f"{now} now; build the decoder again"
                )

    def _check_process(self) -> None:
        """Refuse to compute where it would hang: torch's threads do not live on in a fork."""
        places = {device_of(each.model).type for each in self.runners.values()}
        if os.getpid() != self._process and "cpu" in places and torch.get_num_threads() > 1:
            raise UagError(
                f"this process was forked from one that computes with {torch.get_num_threads()} "
                'threads, which it lacks, so it would hang: start processes by "spawn", or call '
                "torch.set_num_threads(1) in each first"
            )

    def texts(
        self,
        requests: Sequence[Request],
        seed: int | None,
        session: Session,
        owner: Owner = NOBODY,
    ) -> list[TextStream]:
        """The generations of requests, which are decoded as they are read."""
        if requests[0].plan.sampling is None:
            seed = None
        elif seed is None:
            seed = fresh_seed()
        else:
            seed = int(seed)  # numpy's numbers are hashed otherwise
        # Generations of the same prompt get different noise by their number among them.
        before: Counter[tuple[int, ...]] = Counter()
        texts: list[TextStream] = []
        for request in requests:
            prompt = tuple(request.target_ids)
            texts.append(self._text(request, seed, before[prompt], session, owner))
            before[prompt] += 1
        return texts

    def _text(
        self,
        request: Request,
        seed: int | None,
        index: int,
        session: Session,
        owner: Owner = NOBODY,
    ) -> TextStream:
        plan, stats = request.plan, Stats(prompt_hints=[*request.hints])
        for hint in request.hints:
            warn_once(hint)
        caches: dict[str, ModelCache] = {}

        def new_cache(role: str, prompt: Sequence[int]) -> ModelCache:
            prefill = request.prefill if role == TARGET else None
            caches[role] = session.new_cache(role, prompt, owner.name, prefill)
            return caches[role]

        cache = new_cache(TARGET, request.target_ids)
        target = CachedLM(self._target.model, cache=cache)
        target.append(request.target_ids)
        translation = self._bridge.start(request.target_ids, request.assistant_ids)
        surplus = self._bridge.target.vocab_size > (rows := embedding_rows(self._target.model))
        translator = WithinRows(translation, rows) if surplus else translation
        if plan.sampling is None or seed is None:
            sampling = self.sampling.greedy(translator)
        else:
            key = sequence_key(seed, request.target_ids, index)
            sampling = self.sampling.begin(key, plan.sampling, target, translator, stats)
        side = self._side_for(cache.way)
        if self._tree:
            stats.chains = self._chains(request, cache, side, sampling)
            if stats.chains:
                warn_once(f"tree={self._tree} has no effect: {stats.chains}")
        trees = None if stats.chains else self._trees(sampling, session)
        opening = Opening(
            request.assistant_ids,
            sampling.choice,
            translation,
            self._bridge,
            partial(new_cache, ASSISTANT),
            session.judge,
            owner.lookup,
            None if trees is None else partial(trees.scoring, sampling.score),
        )
        drafting = GuardedDrafting(
            partial(side.source, opening),
            sampling.translator,
            session.new_lookahead(),
            stats,
            session.faults,
        )
        trace = self._trace(request, side) if request.trace else None

        def told(chosen: Tensor) -> list[int]:
            # Where nothing will be drafted, what is read next is what was chosen last.
            return target.told(chosen, plan.stop.max_length, drafting.quiet)

        chains = replace(ANY, fit=self._fit(session.tree_judge or ANY.judge))
        given = drafting, trees or chains
        translating, choosing = given if trace is None else trace.follow(*given)
        generation = rounds(
            target,
            drafting,
            translating,
            verifier(plan.processors, sampling.pick, plan.stop.device, told),
            plan.stop,
            drafting,
            choosing,
        )
        text = text_decoder(self._bridge.target, backend_of(self._tokenizers.target))
        text.add(request.target_ids)
        window = context_window(self._target.model)
        counted = _counted(generation, target, stats, session, request.claim, window)
        if not request.prefill:
            counted = _kept(counted, caches, session.keep)
        return TextStream(counted, text, stats, seed, request.target_ids, trace)

    def _chains(
        self, request: Request, cache: ModelCache, side: DraftSide, sampling: TextSampling
    ) -> str:
        """Why drafts are chains, and what to do about it; empty if they may be trees."""
        if side.chains:
            return side.chains
        if sampling.rank is None:
            return 'sampling="rejection" verifies chains; take "coupled", or leave tree out'
        if isinstance(cache, RowCache):
            return (
                "texts that share passes have chains; decode one at a time (batch_size=1), or "
                "leave tree out"
            )
        if request.prefill:
            return "a text after images has chains; leave tree out"
        if self._target.sets_up_apart and not isinstance(cache, TreeReading):
            engine = self._target.engine
            return f'a {engine} target reads chains; take engine="eager", or leave tree out'
        fault = trees_fault(self._target.model, cache)
        return fault and f"{type(self._target.model).__name__} {fault}; leave tree out"

    def _trees(self, sampling: TextSampling, session: Session) -> Trees | None:
        """What chooses the candidates of trees; `None` where drafts are chains."""
        if not self._tree or sampling.rank is None:
            return None
        judge = session.tree_judge or Heaviest(self._tree)
        return Trees(sampling.rank, judge, self._tree, self._fit(judge))

    def _fit(self, judge: TreeJudge) -> Fit:
        """How many of so many ids a pass reads: what the judge says where passes are padded."""
        return judge.fit if self._target.sets_up_apart else usual

    def _side_for(self, way: Way) -> DraftSide:
        """What drafts for a text that is read in this way."""
        if way.together or not self._side.drafts:
            return self._side
        return switched_off(self._target.model, way)

    def _trace(self, request: Request, side: DraftSide) -> Trace:
        target, assistant = self._tokenizers
        name = model_name(self._target.model)
        drafting = None if side.runner is None else side.runner.model
        return Trace(
            TracedModel(name, self._bridge.target, target, request.target_ids),
            TracedModel(side.name, self._bridge.assistant, assistant, request.assistant_ids),
            str(self.schedule.option),
            self._tree,
            conditions(self._target.model, drafting),
        )


def _counted(
    generation: Iterator[Round],
    target: CachedLM,
    stats: Stats,
    session: Session,
    claim: Claim,
    window: int | None,
) -> Iterator[Round]:
    """The same rounds; each is added to `stats` before it is yielded.

    Warns once of a text that outgrows the target's `window`. The claim is kept until the generation
    ends.
    """
    before = session.compile_seconds
    stats.engines = session.engines
    watches = session.watch_adapters()
    try:
        for done in generation:
            for watch in watches:
                watch.check()
            stats.history.append(done)
            stats.target_forwards = target.forwards
            stats.cached_tokens = target.taken_over
            if window is not None and len(target.ids) > window:
                warn_once(
                    f"the text is longer than the target's window of {window} ids; it goes on, as "
                    "in model.generate, but the model was not made for it"
                )
            if (spent := session.compile_seconds - before) != stats.compile_seconds:
                stats.compile_seconds = spent
                stats.engines = session.engines  # a model that failed to compile runs eagerly
            yield done
    finally:
        claim.release()


def _kept(
    generation: Iterator[Round],
    caches: Mapping[str, ModelCache],
    keep: Callable[[str, ModelCache], None],
) -> Iterator[Round]:
    """The same rounds; the caches are kept when they end, or when nobody asks for more.

    Not after an error, which may have left a cache half written.
    """
    try:
        yield from generation
    except GeneratorExit:
        for role, cache in caches.items():
            keep(role, cache)
        raise
    for role, cache in caches.items():
        keep(role, cache)
