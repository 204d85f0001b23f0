"""What does the host cost a GPU, where passes take what a table says?

    python -m benches.virtual_gpu [--target T --assistant A] [--costs 8B] [--host 2]

Both models run on the CPU, so that drafts are accepted where they really are, by captured passes as
on a GPU (a stand-in records and replays them). Their seconds do not count: a device of its own
takes those of `COSTS`, one pass after the other, while the host goes on. The host's seconds are
those of this process, times `--host`. So all that is measured is how well the two overlap.

Each method decodes the texts twice to learn, then `--runs` times.
"""

from collections.abc import Callable
from time import thread_time
from typing import Annotated, Any, Self

import typer
from torch import Tensor

from benches.common import (
    Assistant,
    JsonFile,
    Results,
    Runs,
    Target,
    Threads,
    Trust,
    begin,
    load_pair,
)
from benches.gpu.engines import stand_in
from benches.limits import mislead
from tests.support.recorded import RecordedGraphs, RecordedMark
from uag import SpeculativeDecoder
from uag.benchmark.compare import PROMPTS
from uag.clock import set_clock
from uag.decoding import verify
from uag.models import cached_lm
from uag.models.engines.capture import CAPTURERS
from uag.models.engines.graphs import GraphRunner
from uag.stats import Stats

# Milliseconds of a pass by its width, on an H200: of targets, and of an assistant of 70 million
# parameters (the first is a draft step).
COSTS = {
    "8B": {1: 4.18, 2: 4.7, 4: 4.8, 8: 4.97, 16: 5.35, 32: 6.7, 64: 8.2},
    "3B": {1: 1.88, 2: 2.15, 4: 2.23, 8: 2.32, 16: 2.76, 32: 3.9, 64: 4.75},
    "1B": {1: 0.76, 2: 0.87, 4: 0.9, 8: 0.96, 16: 1.09, 32: 1.63, 64: 2.02},
}
ASSISTANT = {1: 0.21, 2: 0.3, 4: 0.31, 8: 0.34, 16: 0.4, 32: 0.8, 64: 1.0}
# Seconds of the host to launch a pass.
LAUNCH = 20e-6
TEXT = 128  # new ids


class Device:
    """A device that computes while the host goes on.

    Attributes:
        free: when all that was launched will be done.
        idle: for how many seconds it had nothing to do.
    """

    def __init__(self, slowness: float) -> None:
        """`slowness`: how many times this host's seconds a host takes."""
        self._slowness = slowness
        self._apart, self._waited = thread_time(), 0.0  # so that time begins now
        self._paused: float | None = None
        self.free = self.idle = 0.0

    def now(self) -> float:
        """The host's time, in seconds."""
        spent = thread_time() if self._paused is None else self._paused
        return (spent - self._apart) * self._slowness + self._waited

    def __enter__(self) -> Self:
        """Inside the `with` block the host's clock stands still."""
        assert self._paused is None
        self._paused = thread_time()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._paused is not None
        self._apart += thread_time() - self._paused
        self._paused = None

    def launch(self, seconds: float) -> None:
        """Compute for so many seconds, after what was launched before."""
        self._waited += LAUNCH
        begun = self.reached
        self.idle += begun - self.free
        self.free = begun + seconds

    @property
    def reached(self) -> float:
        """When the device reaches what is launched next."""
        return max(self.free, self.now())

    def wait(self, until: float) -> None:
        """The host waits until a time of the device."""
        self._waited += max(0.0, until - self.now())


class Copy:
    """See `Copied`."""

    def __init__(self, ids: Tensor, device: Device) -> None:
        self._ids: list[int] = ids.tolist()  # type: ignore[assignment]
        self._device, self._done = device, device.free

    @property
    def is_there(self) -> bool:
        return self._device.now() >= self._done

    def wait(self) -> list[int]:
        self._device.wait(self._done)
        return self._ids


def install(device: Device, costs: Callable[[Any], dict[int, float]]) -> None:
    """Have all decoders that are made from now on run on a device; `costs`: of a model's passes."""

    class Graphs(RecordedGraphs):
        def copied(self, ids: Tensor) -> Any:
            return Copy(ids, device)

        def mark(self) -> RecordedMark:
            return RecordedMark(device.reached)

    run = GraphRunner._run

    def launched(self: GraphRunner, memory: Any, key: Any, body: Any) -> Tensor:
        with device:
            out = run(self, memory, key, body)
        device.launch(costs(self.model)[key[1]] / 1000)
        return out

    def told(ids: Tensor) -> list[int]:
        device.wait(device.free)
        return ids.tolist()  # type: ignore[return-value]

    CAPTURERS["cpu"] = Graphs
    GraphRunner._run = launched
    for module in (cached_lm, verify):
        module.id_list = told
    set_clock(device.now)


def main(
    target: Target = None,
    assistant: Assistant = None,
    costs: Annotated[str, typer.Option(help=", ".join(COSTS))] = "8B",
    step: Annotated[float, typer.Option(help="Milliseconds of a draft step.")] = ASSISTANT[1],
    host: Annotated[float, typer.Option(min=0.01, help="Times this host's seconds.")] = 1.0,
    runs: Runs = 3,
    threads: Threads = 1,
    trust_remote_code: Trust = False,
    json_file: JsonFile = None,
) -> None:
    """Tokens a second of each method, and for how long the device waits."""
    begin(threads)
    pair = load_pair(target, assistant, trust_remote_code=trust_remote_code, dtype="float32")
    model, words = pair.model, pair.tokenizer
    helper, spoken = pair.assistant, pair.assistant_tokenizer
    wrong, as_large = stand_in(helper), stand_in(model)  # type: ignore[arg-type]
    mislead(wrong, "wrong")  # type: ignore[arg-type]
    device = Device(host)
    small = ASSISTANT | {1: step}
    install(device, lambda each: small if each in (helper, wrong) else COSTS[costs])

    def made(*drafting: Any, **options: Any) -> SpeculativeDecoder:
        decoder = SpeculativeDecoder(model, words, *drafting, engine="graphs", **options)
        decoder._engine._side.stops_early = False  # as on a GPU
        return decoder

    methods: dict[str, Callable[[], SpeculativeDecoder]] = {
        "plain": made,
        "auto": lambda: made(helper, spoken),
        "auto, no lookups": lambda: made(helper, spoken, lookup=False),
        "5 ids": lambda: made(helper, spoken, lookahead=5, lookup=False),
        "always wrong": lambda: made(wrong, spoken),
        "as large as the target": lambda: made(as_large, words),
    }
    results = Results(
        "method", "tokens/s", "x plain", "tokens a pass", "ms a pass", "ms idle a pass",
        title=f"{costs}, a draft step of {step} ms, the host {host} times as slow as here",
    )  # fmt: skip
    plain = 0.0
    for name, new in methods.items():
        decoder, every, seconds, idle = new(), list[Stats](), 0.0, 0.0
        for turn in range(2 + runs):
            for prompt in PROMPTS:
                device.wait(device.free)
                start = device.now(), device.idle
                out = decoder.generate(prompt, max_new_tokens=TEXT, do_sample=False)
                device.wait(device.free)
                if turn >= 2:
                    every.append(out.stats)
                    seconds += device.now() - start[0]
                    idle += device.idle - start[1]
        tokens, passes = sum(each.tokens for each in every), sum(each.rounds for each in every)
        plain = plain or tokens / seconds
        results.add(
            name,
            f"{tokens / seconds:.0f}",
            f"{tokens / seconds / plain:.2f}",
            f"{tokens / passes:.2f}",
            f"{1e3 * seconds / passes:.2f}",
            f"{1e3 * idle / passes:.2f}",
        )
    results.show(json_file)


if __name__ == "__main__":
    typer.run(main)
