"""The smoke test of an installed package, in an environment that has nothing else.

    make dist smoke

Needs no more than what the package brings.
"""

import subprocess
import sys
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

# Some folders beside this file have names of libraries, such as `requests`.
HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place).resolve() != HERE]

BIN = Path(sys.executable).parent
# Seconds, and nothing heavy: what `import uag` may take.
IMPORT = 0.1
IMPORTING = (
    "from sys import modules; from time import perf_counter; start = perf_counter(); import uag; "
    "seconds = perf_counter() - start; assert not {'torch', 'transformers', 'numpy'} & {*modules}; "
    "print(seconds)"
)
PROMPTS = ("Once upon a time", "One day, a little dog", "Ünïcödé: 日本語 🙂")


def ran(*command: str | Path, folder: str) -> str:
    """What a command prints; an error if it fails."""
    return subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def try_command_line(folder: str) -> None:
    """`uag --version` and `uag demo`, as a user has them."""
    program = BIN / "uag"
    assert ran(program, "--version", folder=folder).split()[-1] == version("uag-decoding")
    ran(program, "demo", "--runs", "1", "--report", "report.html", folder=folder)
    assert Path(folder, "report.html").read_text("utf-8").startswith("<!doctype html>")


def import_seconds(folder: str) -> float:
    """The least of five, each in a process of its own."""
    return min(float(ran(sys.executable, "-c", IMPORTING, folder=folder)) for _ in range(5))


def try_generating() -> int:
    """Texts of the demo pair are those of `model.generate`; how many ids were compared."""
    import uag

    assert uag.__file__ and "site-packages" in uag.__file__, uag.__file__
    compared = 0
    with as_file(files("uag") / "demo_pair") as pair:
        # A fixed lookahead: where drafting does not pay, "auto" does not.
        decoder = uag.SpeculativeDecoder.from_pretrained(
            str(pair / "target"), str(pair / "assistant"), lookahead=5
        )
    for prompt in PROMPTS:
        options = {"max_new_tokens": 60, "do_sample": False}
        inputs = decoder.tokenizer(prompt, return_tensors="pt")
        expected = decoder.model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
        out = decoder.generate(prompt, max_new_tokens=60)
        assert out.token_ids == expected.tolist(), (out.token_ids, expected.tolist())
        assert out.stats.drafted, "no candidate was drafted"
        compared += len(out.token_ids)
    return compared


def main() -> None:
    """All of it; the first thing that is wrong is an error."""
    with TemporaryDirectory() as folder:
        seconds = import_seconds(folder)
        assert seconds < IMPORT, f"import uag took {seconds:.3f} s"
        try_command_line(folder)
    compared = try_generating()
    print(
        f"uag {version('uag-decoding')} on Python {sys.version.split()[0]}, "
        f"torch {version('torch')}, transformers {version('transformers')}: "
        f"imported in {seconds:.3f} s, the demo ran, "
        f"{compared} ids are those of model.generate"
    )


if __name__ == "__main__":
    main()
