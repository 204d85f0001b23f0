"""Do the tests that need a device pass?"""

import subprocess
import sys
from pathlib import Path

from benches.gpu.models import Setting
from benches.gpu.record import Record, Values

ROOT = Path(__file__).parents[2]


def measure(record: Record, setting: Setting) -> None:
    """The part "tests"."""
    record.attempt("marked gpu", lambda: run(setting))


def run(setting: Setting) -> Values:
    """pytest, over the files that have such tests: collecting all would take most of the time."""
    files = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in file.read_text(encoding="utf-8")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    # Packages of the machine's own may warn of each other: that fails no test.
    command += ["-W", "default"]
    if setting.device.type != "cuda":
        command.append("--collect-only")
    told = setting.out / "tests.txt"
    with told.open("w", encoding="utf-8") as file:  # what there is of it, if it is cut off
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False)
    return {
        "exit": done.returncode,
        "end": told.read_text(encoding="utf-8").strip().split("\n")[-1],
    }
