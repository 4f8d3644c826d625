"""`demo` as a newcomer starts it: no server, one command, and the proof at the end."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.process import COMMAND, environment, run_command
from tests.servers.process import free_port

PROOF = re.compile(
    r"proof: produced (\d+) = inserted (\d+) \+ duplicates (\d+) \+ rejected (\d+) \+ ignored (\d+) \+ expired (\d+)"
)


def figures(stdout: str) -> list[int]:
    found = PROOF.fullmatch(stdout.splitlines()[-1])
    assert found, stdout[-2000:]
    return [int(figure) for figure in found.groups()]


def live(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/livez")
    return connection.getresponse().status == 200


@pytest.mark.slow
def test_it_ends_by_itself_with_a_proof_that_adds_up() -> None:
    done = run_command("demo", "--seconds", "6", "--rate", "1500", settings={}, timeout=150)
    assert done.returncode == 0, done.stderr
    produced, *spent = figures(done.stdout)
    assert produced == sum(spent)
    assert min(spent[0], spent[2], spent[3]) > 0, "rows, rejects and other events are all among the traffic"
    assert "Traceback" not in done.stderr
    for method in ("venmo", "cashapp", "paypal", "zelle", "wise", "revolut"):
        assert method in done.stdout, "the questions are answered before"


@pytest.mark.slow
def test_ctrl_c_ends_it_with_the_proof_too(tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "stderr").open("wb") as stderr:
        started = subprocess.Popen(
            [*COMMAND, "demo", "--rate", "500"],
            env=environment({"HTTP__PORT": str(port)}),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "landed" not in (tmp_path / "stderr").read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert live(port), "the port that is set is the demo's too"
        started.send_signal(signal.SIGINT)
        stdout, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 0, (tmp_path / "stderr").read_text()
    produced, *spent = figures(stdout)
    assert produced == sum(spent)
