"""How long does a fresh process take to its first token, and what memory to the end of a text?

Each way runs in a process that has not touched the device before. Building the models is not
counted; what the way itself sets up is, such as captures.
"""

import multiprocessing
from time import perf_counter

import torch

from benches.gpu.clocks import wait
from benches.gpu.engines import SkippedError, decoder, generate_ids
from benches.gpu.models import Setting
from benches.gpu.record import Record, Values
from uag.benchmark.compare import PROMPTS
from uag.translation.tokenizers import prompt_ids

# Without eager decoding: it has nothing to set up.
WAYS = ("generate", "graphs")
LIMIT = 60


def measure(record: Record, setting: Setting) -> None:
    """The part "first"; must not touch the device itself."""
    for way in WAYS:
        process = multiprocessing.Process(target=one, args=(record, setting, way), daemon=True)
        process.start()
        process.join(LIMIT)
        if process.is_alive():
            process.kill()
            record(way, error=f"longer than {LIMIT} s")


def one(record: Record, setting: Setting, way: str) -> None:
    record.attempt(way, lambda: timed(setting, way))


def timed(setting: Setting, way: str) -> Values:
    """Seconds to the first token and to the end of a text; peaks of memory beyond the weights."""
    tokenizers = setting.tokenizer("target"), setting.tokenizer("assistant")
    target = setting.wide("target", next(iter(setting.scale.targets)))
    assistant = None
    if way != "generate":
        assistant = setting.wide("assistant", next(iter(setting.scale.assistants)))
    # Kernels of the model's own are loaded here, as they are for either way.
    ids = prompt_ids(tokenizers[0], PROMPTS[0])
    cuda = setting.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held, free = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
    wait(setting.device)
    begun = perf_counter()
    new: list[int]
    if way == "generate":
        new = generate_ids(target, ids, 1)
        first = perf_counter() - begun
        new += generate_ids(target, ids, setting.scale.warm)
        extra: Values = {}
    else:
        try:
            made = decoder(way, target, tokenizers[0], assistant, tokenizers[1])
        except SkippedError as error:
            return {"skipped": str(error)}
        built = perf_counter() - begun
        pieces = made.stream(PROMPTS[0], do_sample=False, max_new_tokens=setting.scale.warm)
        next(iter(pieces))
        first = perf_counter() - begun
        for _ in pieces:
            pass
        stats = pieces.stats
        extra = {
            "decoder_s": built,
            "setting_up_s": stats.compile_seconds,
            "engines": stats.engines,
        }
    wait(setting.device)
    found: Values = {"first_token_s": first, "all_s": perf_counter() - begun, **extra}
    if cuda:
        found["allocated_peak_mib"] = (torch.cuda.max_memory_allocated() - held) / 2**20
        found["device_mib"] = (free - torch.cuda.mem_get_info()[0]) / 2**20
    return found
