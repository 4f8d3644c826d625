"""The command as people and scripts meet it: real processes, their exit codes, what is on stdout and stderr."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from consumer import __version__
from consumer.cli import main

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"
"""Nothing listens there."""


def environment(**settings: str) -> dict[str, str]:
    """This process's, without its settings, with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZKP2P_")}
    python_path = f"{ROOT}{os.pathsep}{kept.get('PYTHONPATH', '')}"
    return {**kept, "PYTHONPATH": python_path, **{f"ZKP2P_{name}": value for name, value in settings.items()}}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consumer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(**settings), timeout=60, check=False)


def failed(process: subprocess.CompletedProcess[str], code: int) -> str:
    """Its one line of stderr."""
    assert process.returncode == code, process.stderr
    lines = process.stderr.splitlines()
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def in_process(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ZKP2P_")]:
        monkeypatch.delenv(name)


def test_version() -> None:
    process = run("--version")
    assert (process.returncode, process.stdout, process.stderr) == (0, f"zkp2p-consumer {__version__}\n", "")


@pytest.mark.parametrize("command", ["run", "demo", "migrate", "check", "audit", "report", "config", "dlq"])
def test_help_lists_every_command_and_each_has_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "--help")
    assert (code, err) == (0, "")
    assert f"\n  {command} " in out
    code, out, err = in_process(capsys, command, "-h")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: zkp2p-consumer {command} ")


@pytest.mark.parametrize("inner", ["list", "show", "replay"])
def test_commands_inside_dlq_have_examples(inner: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = in_process(capsys, "dlq", inner, "--help")
    assert code == 0
    assert f"\n    zkp2p-consumer dlq {inner}" in out


def test_no_command_shows_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: zkp2p-consumer")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["frob"], "No such command 'frob'"),
        (["--frob"], "--frob"),
        (["run", "--frob"], "--frob"),
        (["run", "frob"], "frob"),
        (["config", "--config"], "--config needs a value"),
        (["config", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["report", "frob"], "'attempts', 'methods', 'outcomes', 'dashboard'"),
        (["audit", "--days", "0"], "--days"),
        (["audit", "--days", "91"], "--days"),
        (["check", "--sample", "-1"], "--sample"),
        (["demo", "--seconds", "0"], "--seconds"),
        (["demo", "--rate", "x"], "--rate"),
        (["dlq", "frob"], "No such command 'frob'"),
        (["dlq", "show"], "PARTITION/OFFSET"),
        (["dlq", "list", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = in_process(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["dlq", "list", "--code", "not_jsn"], "did you mean not_json?"),
        (["dlq", "list", "--since", "yesterday"], "--since yesterday: write a time such as"),
        (["dlq", "show", "17"], "PARTITION/OFFSET"),
        (["dlq", "replay"], "nothing is chosen"),
        (["dlq", "replay", "0/1", "--code", "empty"], "not both"),
        (["dlq", "replay", "--all", "--code", "empty"], "--all"),
    ],
)
def test_wrong_values_of_dlq(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert part in err


def test_wrong_settings_are_one_line_and_code_2() -> None:
    line = failed(run("run", KAFKA__TOPC="x"), 2)
    assert line == "error: ZKP2P_KAFKA__TOPC is not a setting: did you mean ZKP2P_KAFKA__TOPIC?"


@pytest.mark.parametrize(
    "arguments", [["run"], ["check"], ["dlq", "list"], ["dlq", "show", "0/1"], ["dlq", "replay", "--all"]]
)
def test_commands_that_need_kafka_ask_for_its_address(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err == "error: ZKP2P_KAFKA__BOOTSTRAP_SERVERS is not set: name the brokers, for example localhost:9092\n"


@pytest.mark.parametrize("command", [["dlq", "list"], ["run"]])
def test_a_wrong_librdkafka_property_is_wrong_usage(command: list[str]) -> None:
    line = failed(run(*command, KAFKA__BOOTSTRAP_SERVERS=NOBODY, KAFKA__EXTRA='{"no.such.property": "1"}'), 2)
    assert 'ZKP2P_KAFKA__EXTRA: No such configuration property: "no.such.property"' in line


def test_a_fault_that_is_none_is_wrong_usage() -> None:
    line = failed(run("run", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", TEST_FAULT="after_insert:kil:1"), 2)
    assert "ZKP2P_TEST_FAULT: 'after_insert:kil:1' is no fault: write STEP:ACTION:CHANCE" in line


def test_a_broker_that_is_not_there_is_given_up() -> None:
    line = failed(run("dlq", "list", KAFKA__BOOTSTRAP_SERVERS=NOBODY), 1)
    assert NOBODY in line
    assert "ZKP2P_KAFKA__BOOTSTRAP_SERVERS" in line


def test_a_clickhouse_that_is_not_there_is_given_up() -> None:
    line = failed(run("migrate", CLICKHOUSE__URL=f"http://{NOBODY}"), 1)
    assert NOBODY in line
    assert "ZKP2P_CLICKHOUSE__URL" in line


# config


def test_config_shows_values_and_sources_but_no_secret(tmp_path: Path) -> None:
    (tmp_path / "zkp2p.toml").write_text("[batch]\nmax_rows = 7\n")
    (tmp_path / "password").write_text("hunter2\n")
    process = run(
        "config",
        "--config",
        str(tmp_path / "zkp2p.toml"),
        "--format=json",
        KAFKA__TOPIC="t",
        KAFKA__EXTRA='{"ssl.key.password": "hunter3", "client.rack": "a"}',
        CLICKHOUSE__PASSWORD_FILE=str(tmp_path / "password"),
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "hunter" not in process.stdout
    shown = orjson.loads(process.stdout)
    assert shown["ZKP2P_KAFKA__TOPIC"] == {"value": "t", "source": "env ZKP2P_KAFKA__TOPIC"}
    assert shown["ZKP2P_BATCH__MAX_ROWS"] == {"value": 7, "source": f"file {tmp_path / 'zkp2p.toml'}"}
    assert shown["ZKP2P_BATCH__MAX_BYTES"] == {"value": 33554432, "source": "default"}
    assert shown["ZKP2P_CLICKHOUSE__PASSWORD"]["source"] == f"secret file {tmp_path / 'password'}"
    assert shown["ZKP2P_KAFKA__EXTRA"]["value"]["client.rack"] == "a"


@pytest.mark.parametrize(
    "arguments",
    [["--config", "F", "config"], ["config", "--config", "F"], ["config", "--config=F"], ["--config=F", "config"]],
)
def test_global_options_stand_before_or_behind_the_command(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "zkp2p.toml").write_text("[kafka]\ntopic = 'from-the-file'\n")
    given = [argument.replace("F", str(tmp_path / "zkp2p.toml")) for argument in arguments]
    code, out, err = in_process(capsys, *given)
    assert (code, err) == (0, "")
    assert "from-the-file" in out


def test_piped_output_is_plain_and_never_wrapped(tmp_path: Path) -> None:
    process = run("config", KAFKA__BOOTSTRAP_SERVERS=",".join(f"a-broker-with-a-long-name-{i}:9092" for i in range(20)))
    assert process.returncode == 0
    assert "\x1b" not in process.stdout
    (line,) = [line for line in process.stdout.splitlines() if "BOOTSTRAP_SERVERS" in line]
    assert "a-broker-with-a-long-name-19:9092" in line
    assert line.endswith("env ZKP2P_KAFKA__BOOTSTRAP_SERVERS")


def test_a_terminal_gets_a_table() -> None:
    """A real terminal: a pseudo-terminal as stdout."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "consumer", "config"]
    settings = {**environment(), "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=settings) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            output += part
        assert process.wait(30) == 0
    os.close(ours)
    assert "ZKP2P_KAFKA__TOPIC" in output.decode()
    assert "\u2500" in output.decode()


# Ends that are no errors


def test_a_reader_who_has_enough_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "consumer", "config"]
    process = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False)
    os.close(writer)
    assert process.stderr == b""
    assert process.returncode == 1


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts in the background ignores Ctrl-C, and so does whatever that starts; our tests may be."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_it_ends_quietly() -> None:
    """Ctrl-C while it waits for a broker that accepts and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = environment(KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{silent.getsockname()[1]}")
        command = [sys.executable, "-m", "consumer", "dlq", "list"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=settings) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()  # it is waiting now
            with connection:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=40)
    assert (out, err) == (b"", b"")
    assert process.returncode == 130


def test_a_bug_is_one_line_and_a_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("what\nnow")

    monkeypatch.setattr("consumer.settings.show.show", broken)
    code, out, err = in_process(capsys, "config")
    assert (code, out) == (1, "")
    assert err.startswith("error: unexpected KeyError: ")
    assert err.count("\n") == 1
    code, _, err = in_process(capsys, "config", "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in err


def test_a_missing_embedded_engine_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_it(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'chdb'", name="chdb")

    monkeypatch.setattr("consumer.settings.show.show", without_it)
    code, _, err = in_process(capsys, "config")
    assert code == 1
    assert "pip install 'zkp2p-consumer[embedded]'" in err


def test_help_and_config_load_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from consumer.cli import main\n"
        "main(['config'])\n"
        "heavy = {'pyarrow', 'numpy', 'confluent_kafka', 'clickhouse_connect', 'chdb', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize(
    "variables",
    [
        {"CLICKHOUSE__URL": "http://u:geh/eim@h:1"},
        {"CLICKHOUSE__URL": "http://u:geh@eim@h"},
        {"KAFKA__BOOTSTRAP_SERVERS": "u:geheim@h:9092"},
    ],
)
def test_a_password_in_an_address_is_not_shown(variables: dict[str, str]) -> None:
    line = failed(run("config", **variables), 2)
    assert "********@h" in line
    assert not any(part in line for part in ("geh", "eim"))


def test_an_age_beyond_all_dates_is_wrong_usage() -> None:
    line = failed(run("dlq", "list", "--since", "999999d", KAFKA__BOOTSTRAP_SERVERS=NOBODY), 2)
    assert "--since 999999d" in line
