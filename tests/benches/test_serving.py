"""The load of servers: rows for numbers of clients, and servers that do not come up."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benches import serving
from benches.servers import Kind

ARGUMENTS = [
    "--clients=1,2", "--requests=2", "--max-new-tokens=8", "--turns=2", "--runs=1",
]  # fmt: skip


def test_a_row_for_each_number_of_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = serving.kinds

    def kinds(*given: Any) -> list[Kind]:
        return [Kind("broken", "", ["-c", "print('no such model'); exit(1)"]), *real(*given)]

    monkeypatch.setattr(serving, "kinds", kinds)
    app = typer.Typer()
    app.command()(serving.main)
    out = tmp_path / "out.json"
    wanted = ["--server", "broken", "--server", "uag + assistant", "--json", str(out)]
    done = CliRunner().invoke(app, ARGUMENTS + wanted, catch_exceptions=False)
    assert "broken did not come up: no such model" in done.output
    found = json.loads(out.read_text())
    assert [row["clients"] for row in found["load"]] == ["1", "2"]
    assert all(row["tokens"] == "16" for row in found["load"])
    goes_on, anew = found["text that grows"]
    assert int(goes_on["ids not read"]) > 200 and anew["ids not read"] == "0"
