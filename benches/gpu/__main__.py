"""Everything that is measured on a GPU, in one run of five minutes, and what compiles after that.

    python -m benches.gpu --out FOLDER [--device cuda] [--scale full] [--parts texts,passes]

Each part is a process with a time of its own, after which it begins nothing more. What it measures
is printed and written at once, a line of JSON each (`results.jsonl`); `results.json` has all lines
by part. A part that is cut off, or whose device fails, leaves what it has, and the next one begins.
Engines that this version does not have are skipped by name. With `--device cpu --scale tiny` all of
it is rehearsed.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from benches.gpu.record import Record, write_results

if TYPE_CHECKING:
    from benches.gpu.models import Setting

# Asking whether there is a device must not begin to use it: a forked process could not after that.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
ROOT = Path(__file__).parents[2]
CARRIED = ROOT / ".gpu" / "models"
SHARED = ROOT.parent / "shared" / "data" / "models"
# Ends this long before the limit, so that results are written.
RESERVE = 3
# A part may be this much longer than its time, to end what it has begun.
GRACE = 15


@dataclass(frozen=True, slots=True)
class Part:
    """A module of this package, and the seconds after which it begins nothing more."""

    name: str
    module: str
    seconds: float


# In the order of their worth; the last one has what the others leave. Parts of a stage run at the
# same time: what tests and ids find does not depend on how fast they are.
STAGES = (
    (Part("tests", "marked", 90), Part("ids", "ids", 32)),
    (Part("passes", "passes", 32),),
    (Part("texts", "texts", 100),),
    (Part("trees", "trees", 40),),
    (Part("first", "first", 12),),
    (Part("timeline", "timeline", 10),),
    (Part("batches", "batches", 16),),
    (Part("card", "card", 16),),
    (Part("variants", "variants", 30),),
    (Part("compiled", "compiled", 480),),
)
PARTS = tuple(part for stage in STAGES for part in stage)


def measured(part: Part, setting: "Setting") -> None:
    """A part, in a process of its own; whatever fails is recorded."""
    os.setsid()  # so that processes of its own end with it
    record = Record(setting.out, part.name, part.seconds)
    try:
        import_module(f"benches.gpu.{part.module}").measure(record, setting)
    except BaseException as error:
        text = traceback.format_exc(limit=-6)
        record("failed", error=f"{type(error).__name__}: {error}"[:500], where=text)
        raise SystemExit(1) from error
    record("done", seconds=record.seconds)


def limited(parts: Sequence[Part], left: float, setting: "Setting") -> None:
    """Run parts at the same time, each for its seconds and a little more, if so much is `left`."""
    begun = monotonic()
    running = [
        (part, multiprocessing.Process(target=measured, args=(part, setting))) for part in parts
    ]
    for _, process in running:
        process.start()
    for part, process in running:
        most = min(part.seconds + GRACE, left)
        process.join(max(0.0, begun + most - monotonic()))
        if process.is_alive():
            Record(setting.out, part.name)("cut off", after=most)
        if process.pid is not None:
            _end(process.pid)
        process.join()
        if process.exitcode not in {0, 1, -signal.SIGKILL}:
            Record(setting.out, part.name)("ended", exit=process.exitcode)


def start_method(device: str) -> str:
    """Forks, so that everything is imported once; "spawn" where forks cannot use the device."""
    multiprocessing.set_start_method("fork")
    trial = multiprocessing.Process(target=_touch, args=(device,))
    trial.start()
    trial.join(60)
    if trial.exitcode == 0:
        return "fork"
    trial.kill()
    multiprocessing.set_start_method("spawn", force=True)
    return "spawn"


def _touch(device: str) -> None:
    import torch

    torch.ones(1, device=device).add_(1).item()


def _end(group: int) -> None:
    """End the processes of a part, if there are any left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def main(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for the results.")],
    device: Annotated[str, typer.Option(help="cuda or cpu.")] = "cuda",
    scale: Annotated[str, typer.Option(help="full or tiny.")] = "full",
    parts: Annotated[str, typer.Option(help="Some parts only, between commas.")] = "",
    seconds: Annotated[int, typer.Option(help="For all parts together.")] = 480,
    patience: Annotated[int, typer.Option(help="Times each part's limit, for a rehearsal.")] = 1,
    models: Annotated[Path | None, typer.Option(help="Folder of the small trained models.")] = None,
) -> None:
    """Run the parts, one after the other."""
    begun = monotonic()
    out.mkdir(parents=True, exist_ok=True)
    setting = prepared(device, scale, out, models)
    chosen = parts.split(",") if parts else [part.name for part in PARTS]
    Record(out, "run")(
        "setting",
        device=device,
        scale=scale,
        models=str(setting.models),
        start=start_method(device),
        elsewhere=elsewhere(),
        changed=changed(),
        importing_s=monotonic() - begun,
    )
    for stage in STAGES:
        left = seconds - RESERVE - (monotonic() - begun)
        asked = [
            replace(part, seconds=min(part.seconds * patience, left))
            for part in stage
            if part.name in chosen
        ]
        if left < 1:
            for part in asked:
                Record(out, part.name)("left out", after=seconds)
            continue
        limited(asked, left, setting)
        write_results(out)
    import_module("benches.gpu.summary").summarise(
        out, list(setting.scale.targets), list(setting.scale.assistants)
    )
    Record(out, "run")("done", seconds=monotonic() - begun)
    write_results(out)


def elsewhere() -> list[str]:
    """Packages that are not imported from $UAG_GPU_SITE, where `start.sh` has put them."""
    site = os.environ.get("UAG_GPU_SITE", "")
    names = ("uag", "transformers", "tokenizers", "greenlet")
    return [name for name in names if not str(sys.modules[name].__file__).startswith(site)]


def changed() -> list[str]:
    """Files of the package that are not those of the checkout: the wheel was built before."""
    package = Path(str(sys.modules["uag"].__file__)).parent
    return [
        name
        for file in sorted((ROOT / "python" / "uag").rglob("*.py"))
        if not (package / (name := str(file.relative_to(ROOT / "python" / "uag")))).is_file()
        or (package / name).read_bytes() != file.read_bytes()
    ]


def prepared(device: str, scale: str, out: Path, models: Path | None) -> "Setting":
    """What every part is given, with everything imported that they need."""
    import torch

    from benches.gpu.models import SCALES, Setting
    from uag.cli.terminal import be_quiet

    be_quiet()
    for part in PARTS:
        import_module(f"benches.gpu.{part.module}")
    if device == "cpu":  # a rehearsal
        from tests.support.recorded import RecordedGraphs
        from uag.models.engines.capture import CAPTURERS

        CAPTURERS["cpu"] = RecordedGraphs
    found = next((each for each in (models, CARRIED, SHARED) if each and each.is_dir()), None)
    return Setting(torch.device(device), SCALES[scale], found, out.absolute())


if __name__ == "__main__":
    typer.run(main)
