"""The files on docs/scaling.md, as they are printed, with the demo pair in place of the models."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.asgi import Local, events, free_port, until
from tests.support.server_process import PYTHON, server_process
from uag import SpeculativeDecoder

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
MODELS = str(files("uag") / "demo_pair")
PROMPTS = ["Once upon a time", "One day, a boy", "The cat was", "Tom had a big red ball."] * 4
KEY = {"authorization": "Bearer secret"}
RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


def printed(name: str) -> str:
    """The indented block after the paragraph that begins with the name of a file."""
    found = re.search(
        rf"^`{name}`.*\n(?:\S.*\n)*\n((?:    .*\n|\n)+)", PAGE.read_text(), re.MULTILINE
    )
    assert found, name
    return textwrap.dedent(found[1]).replace("/models", MODELS)


@contextmanager
def started(folder: Path, *command: str) -> Generator[subprocess.Popen[bytes]]:
    """A process, which is interrupted at last."""
    path = os.pathsep.join([str(folder), PYTHON, *sys.path])
    environment = {**os.environ, **RAY, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def test_many_prompts(tmp_path: Path, decoder: SpeculativeDecoder) -> None:
    pytest.importorskip("ray.data")
    ray = "import ray; ray.init(num_cpus=4, include_dashboard=False)\n"
    (tmp_path / "decode.py").write_text(ray + printed("decode.py"))
    lines = [json.dumps({"prompt": prompt}) for prompt in PROMPTS]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    with started(tmp_path, sys.executable, "decode.py") as process:
        assert process.wait(timeout=120) == 0
    out = [
        line for file in (tmp_path / "texts").iterdir() for line in file.read_text().splitlines()
    ]
    found = {row["prompt"]: row["text"] for row in map(json.loads, out)}
    assert len(out) == len(PROMPTS)
    for prompt in {*PROMPTS}:
        expected = decoder.generate(prompt, max_new_tokens=64, do_sample=False).text
        assert found[prompt] == expected


def test_a_service(tmp_path: Path, decoder: SpeculativeDecoder) -> None:
    pytest.importorskip("ray.serve")
    (tmp_path / "service.py").write_text(printed("service.py"))
    port = free_port()
    (tmp_path / "run.py").write_text(
        "import ray\n"
        "from ray import serve\n"
        "from service import service\n"
        "ray.init(num_cpus=4, include_dashboard=False)\n"
        f"serve.start(http_options={{'port': {port}}})\n"
        "serve.run(service, blocking=True)\n"
    )
    with (
        started(tmp_path, sys.executable, "run.py"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        until(lambda: answers(client), seconds=300)
        expected = decoder.generate(PROMPTS[0], max_new_tokens=20, do_sample=False).text
        body = {"prompt": PROMPTS[0], "max_tokens": 20, "temperature": 0}
        whole = client.post("/v1/completions", json=body).json()
        assert whole["choices"][0]["text"] == expected
        streamed = client.post("/v1/completions", json=body | {"stream": True}).text
        assert "".join(each["choices"][0]["text"] for each in events(streamed)) == expected
        assert client.post("/v1/completions", json={"prompt": 3}).status_code == 400


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_servers_behind_nginx(tmp_path: Path, decoder: SpeculativeDecoder) -> None:
    config, port = tmp_path / "nginx.conf", free_port()
    nginx = ["nginx", "-p", str(tmp_path), "-e", "stderr", "-c", str(config)]
    key = ("--api-key", "secret")
    with server_process(*key) as one, server_process(*key) as two:
        text = printed("nginx.conf").replace("listen 8000", f"listen 127.0.0.1:{port}")
        for own, server in (("8001", one), ("8002", two)):
            text = text.replace(f":{own} ", f":{server.url.rpartition(':')[2]} ")
        places = [f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("proxy", "client_body")]
        text = text.replace("http {", "http { access_log off; " + " ".join(places))
        config.write_text(f"daemon off; pid {tmp_path}/pid;\n{text}")
        assert subprocess.run([*nginx, "-t"], check=False).returncode == 0
        with (
            started(tmp_path, *nginx),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY, timeout=60) as client,
        ):
            until(lambda: answers(client))
            expected = decoder.generate(PROMPTS[0], max_new_tokens=40, do_sample=False).text

            def ask(number: int) -> bool:
                if number == 4:
                    one.stop()
                body = {"prompt": PROMPTS[0], "max_tokens": 40, "stream": True}
                parts = events(client.post("/v1/completions", json=body).text)
                return "".join(each["choices"][0]["text"] for each in parts) == expected

            with ThreadPoolExecutor(4) as clients:
                assert all(clients.map(ask, range(16)))
            assert one.ended()[0] == 0
            assert client.get("/metrics").status_code == 403


def test_probes_of_the_deployment(local: Local) -> None:
    pod: Any = yaml.safe_load(printed("deployment.yaml"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert local.get(asked["path"]).status_code == 200
        assert asked["port"] == container["ports"][0]["containerPort"] == 8000
    grace = float(container["args"][container["args"].index("--grace") + 1])
    sleep = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert sleep + grace < pod["terminationGracePeriodSeconds"]


def test_commands_that_are_printed_name_options_that_exist() -> None:
    command = yaml.safe_load(printed("deployment.yaml"))
    words = command["spec"]["template"]["spec"]["containers"][0]["args"]
    done = subprocess.run(
        [sys.executable, "-m", *words[:2], "--help"], capture_output=True, text=True, check=True
    )
    used = [word for word in shlex.split(" ".join(words)) if word.startswith("--")]
    assert all(option in done.stdout for option in used)
