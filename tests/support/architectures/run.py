"""One case, or many of them: each in a process of its own, with limits of time and memory."""

import multiprocessing
import os
import resource
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from tests.support.architectures.checks import CHECKS, Subject, checked, llama_texts
from tests.support.architectures.kinds import group_of
from tests.support.architectures.models import Weights, tiny_model
from tests.support.architectures.texts import OTHER, PROMPTS, TOKENIZER, Texts
from tests.support.architectures.verdicts import Case, Finding, Verdict
from tests.support.tokenizers import tokenizer
from tests.support.words import words

# Ids beyond the tokenizer's, for images and the like.
SPARE = 40

VARIETY, SEEDS = 12, 3


@dataclass(frozen=True)
class Task:
    """A case to run."""

    kind: str
    weights: Weights
    checks: tuple[str, ...] = tuple(CHECKS)
    prompts: int = len(PROMPTS)

    def case(self) -> Case:
        """The case before any check."""
        return Case(self.kind, str(self.weights), group_of(self.kind))

    def failed(self, verdict: Verdict, message: str) -> Case:
        """The case, if nothing else is known of it."""
        case = self.case()
        case.findings.append(Finding("made", verdict, message))
        return case


def run(task: Task) -> Case:
    """Make the model, have `generate` tell the true texts, and check."""
    case = task.case()
    try:
        texts = _varied(task)
    except Exception as error:  # noqa: BLE001 - any is a reason
        return task.failed(Verdict.NOT_BUILT, f"{type(error).__name__}: {error}")
    case.architecture = type(texts.model).__name__
    case.variety = texts.variety
    subject = Subject(texts)
    case.findings += [checked(subject, name) for name in task.checks]
    return case


def _varied(task: Task) -> Texts:
    """The texts of the first seed whose texts vary, or of the one whose texts do so most."""
    vocabulary = len(tokenizer(TOKENIZER)) + SPARE
    found: list[Texts] = []
    for seed in range(SEEDS):
        weights = Weights(task.weights.std, task.weights.offset, seed)
        found.append(Texts.of(tiny_model(task.kind, vocabulary, weights), count=task.prompts))
        if found[-1].variety >= VARIETY:
            break
    return max(found, key=lambda texts: texts.variety)


@dataclass
class _Child:
    """A process that runs a task, and when its time is up."""

    task: Task
    process: BaseProcess
    answers: Connection
    ends: float = field(default=0.0)

    @classmethod
    def start(cls, task: Task, seconds: float, memory: int) -> "_Child":
        context = multiprocessing.get_context("fork")
        answers, sends = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(task, sends, memory), daemon=True)
        with warnings.catch_warnings():
            # Of threads, from Python 3.12 on: those that there are only wait.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        sends.close()
        return cls(task, process, answers, time.monotonic() + seconds)

    def result(self) -> Case | None:
        """The case, once there is one."""
        if self.answers.poll():
            try:
                return Case.from_json(self.answers.recv())
            except EOFError:
                self.process.join()
                code = self.process.exitcode
                return self.task.failed(Verdict.RAW_ERROR, f"the process ended with {code}")
        if time.monotonic() > self.ends:
            return self.task.failed(Verdict.RAW_ERROR, "no answer within the time limit")
        return None

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.answers.close()


def run_all(
    tasks: Iterable[Task], jobs: int, seconds: float = 300, memory: int = 6 << 30
) -> Iterator[Case]:
    """The cases as they end; `memory`: the bytes that a process may add to those it begins with."""
    torch.set_num_threads(1)
    for name in (TOKENIZER, OTHER):  # once, before processes divide
        words(name)
    llama_texts()
    waiting, running = iter(tasks), list[_Child]()
    while True:
        while len(running) < jobs and (task := next(waiting, None)):
            running.append(_Child.start(task, seconds, memory))
        if not running:
            return
        wait([child.answers for child in running], timeout=1)
        for child in list(running):
            if (case := child.result()) is not None:
                running.remove(child)
                child.close()
                yield case


def _work(task: Task, answers: Connection, memory: int) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    warnings.simplefilter("ignore")
    answers.send(run(task).as_json())
    answers.close()
