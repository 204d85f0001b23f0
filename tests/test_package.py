"""`import uag`: all public names, nothing heavy loaded."""

import subprocess
import sys

import pytest

import uag


@pytest.mark.parametrize(
    "work",
    [
        "import uag; dir(uag)",
        "import uag; uag.__version__, uag.UagError, uag.CoreError, uag.UagWarning",
        "import uag._core, uag.cli; runner.CliRunner().invoke(uag.cli.app, ['generate', '--help'])",
    ],
)
def test_importing_the_package_loads_neither_torch_nor_transformers(work: str) -> None:
    check = (
        f"import sys; from typer import testing as runner; {work}; "
        "sys.exit(bool({'torch', 'transformers', 'numpy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    assert all(getattr(uag, name) for name in uag.__all__)


def test_a_bridge_between_tokenizers_needs_no_torch() -> None:
    """It takes seconds to import, and other engines may not have it."""
    check = "import sys; from uag import Bridge; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
