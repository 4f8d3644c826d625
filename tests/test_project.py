"""The project as a whole: its lock, its make targets, its wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def run(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Outside of any make that may be running the tests."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, cwd=cwd, env={**clean, **(environment or {})}, capture_output=True, text=True, timeout=120, check=False
    )


def tracked() -> list[Path]:
    listed = run("git", "ls-files", "-z", cwd=PROJECT).stdout.split("\0")
    return [PROJECT / name for name in listed if name and (PROJECT / name).is_file()]


def locked(name: str) -> dict[str, set[str]]:
    """Package: its version, more than one where that depends on the Python."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", (PROJECT / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


# Lock


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_exact_versions_with_hashes_and_no_address(name: str) -> None:
    text = (PROJECT / name).read_text()
    assert "://" not in text
    entries = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    assert len(entries) > 20
    entry = re.compile(r"[a-z0-9-]+==[^ ]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in entries if not entry.fullmatch(line.strip())] == []


def test_both_locks_agree_and_hold_what_the_project_asks_for() -> None:
    service, everything = (locked(name) for name in LOCKS)
    assert {name: everything.get(name) for name in service} == service
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = [re.split(r"[^a-z0-9-]", line)[0] for line in project["project"]["dependencies"]]
    assert set(wanted) <= set(service)
    more = [*project["project"]["optional-dependencies"]["embedded"], *project["dependency-groups"]["dev"]]
    assert {re.split(r"[^a-z0-9-]", line)[0] for line in more} <= set(everything)
    assert "chdb" not in service, "half a gigabyte no server needs"


# Make


def test_help_is_the_default_and_lists_every_target() -> None:
    text = run("make", cwd=PROJECT).stdout
    assert text == run("make", "help", cwd=PROJECT).stdout
    targets = re.findall(r"^\.PHONY: (\S+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test", "check", "run", "migrate", "sim", "chaos", "bench", "lock", "clean"} <= set(targets)
    assert re.findall(r"^  (\S+) +\S", text, re.MULTILINE) == targets


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files `make` needs, and a python that only notes what it is asked to do."""
    for name in ("Makefile", "requirements-dev.lock"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "scripts", tmp_path / "scripts")
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = -c ]; then exit 0; fi\n'
        'echo "$@" >> calls\n'
        "if [ -e broken ]; then exit 1; fi\n"
        "mkdir -p .venv/bin\n"
        "printf '#!/bin/sh\\necho \"$@\" >> demos\\n' > .venv/bin/zkp2p-consumer\n"
        "chmod +x .venv/bin/zkp2p-consumer\n"
    )
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("make", *arguments, cwd=checkout, environment={"PYTHON": str(checkout / "python")})


def calls(checkout: Path) -> int:
    return len((checkout / "calls").read_text().splitlines())


def test_the_environment_is_made_once_and_again_when_the_lock_changes(checkout: Path) -> None:
    for _ in range(3):
        assert make(checkout, "demo").returncode == 0
    assert calls(checkout) == 1
    ready = (checkout / ".venv/.ready").stat().st_mtime
    os.utime(checkout / "requirements-dev.lock", (ready + 10, ready + 10))
    assert make(checkout, "demo").returncode == 0
    assert calls(checkout) == 2


def test_an_environment_that_was_not_finished_does_not_count(checkout: Path) -> None:
    (checkout / "broken").touch()
    assert make(checkout, "demo").returncode != 0
    assert not (checkout / "demos").exists()
    (checkout / "broken").unlink()
    assert make(checkout, "demo").returncode == 0
    assert calls(checkout) == 2


def test_options_of_the_demo_are_passed_only_when_given(checkout: Path) -> None:
    run("make", "demo", cwd=checkout, environment={"PYTHON": str(checkout / "python"), "PORT": "80", "ARGS": "--help"})
    make(checkout, "demo", "SECONDS=20", "RATE=5", "PORT=0")
    assert (checkout / "demos").read_text().splitlines() == ["demo", "demo --seconds 20 --rate 5 --port 0"]


def pythons(folder: Path, **versions: str) -> dict[str, str]:
    """A PATH with nothing but these: each able, too old, or a shim that only fails."""
    for name, kind in versions.items():
        file = folder / name.replace("_", ".")
        file.write_text(
            {"able": "#!/bin/sh\nexit 0\n", "old": "#!/bin/sh\nexit 1\n", "shim": "#!/bin/sh\nexit 127\n"}[kind]
        )
        file.chmod(0o755)
    return {"PATH": str(folder), "PYTHON": ""}


def test_an_able_python_is_found_behind_an_old_one_and_a_shim(tmp_path: Path) -> None:
    environment = pythons(tmp_path, python3="old", python3_13="shim", python3_12="able", python3_11="able")
    found = run("/bin/sh", str(PROJECT / "scripts/find-python"), cwd=tmp_path, environment=environment)
    assert (found.returncode, found.stdout) == (0, f"{tmp_path}/python3.12\n")


def test_no_able_python_is_said_with_what_to_do(tmp_path: Path) -> None:
    environment = pythons(tmp_path, python3="old", python="old")
    found = run("/bin/sh", str(PROJECT / "scripts/find-python"), cwd=tmp_path, environment=environment)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("error: no Python 3.11 or newer")
    assert "apt-get install" in found.stderr
    chosen = {**environment, "PYTHON": "/no/such/python"}
    found = run("/bin/sh", str(PROJECT / "scripts/find-python"), cwd=tmp_path, environment=chosen)
    assert "tried: /no/such/python" in found.stderr


def test_this_very_python_is_found_able(tmp_path: Path) -> None:
    chosen = {"PYTHON": sys.executable}
    found = run("/bin/sh", str(PROJECT / "scripts/find-python"), cwd=tmp_path, environment=chosen)
    assert (found.returncode, found.stdout) == (0, f"{sys.executable}\n")


# Wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        *(
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
        ),
        *("-w", str(folder), str(PROJECT)),
        cwd=folder,
    )
    assert built.returncode == 0, built.stderr
    return next(folder.glob("zkp2p_consumer-*.whl"))


def test_the_wheel_holds_the_package_and_its_files_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("sql", "schemas"):
        files = {path.relative_to(PROJECT) for path in (PROJECT / folder).rglob("*") if path.is_file()}
        assert files
        assert {f"consumer/_data/{name}" for name in files} <= names
    assert "consumer/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "consumer",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def test_an_installed_wheel_finds_its_files_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "from consumer.resources import path; print(path('sql/0001_database.sql')); print(path('schemas'))"
    found = run(sys.executable, "-c", code, cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path / "site")})
    data = tmp_path / "site/consumer/_data"
    assert found.stdout.splitlines() == [str(data / "sql/0001_database.sql"), str(data / "schemas")], found.stderr


# Text


def test_no_tracked_file_holds_a_path_of_this_machine() -> None:
    here = {f"{PROJECT}/".encode(), f"{Path.home()}/".encode()} - {b"//"}
    files = tracked()
    assert len(files) > 50
    assert [str(file) for file in files if any(path in file.read_bytes() for path in here)] == []


def test_the_list_of_jars_holds_no_address_but_its_own_namespace() -> None:
    text = (PROJECT / "tests/servers/pom.xml").read_text()
    assert re.findall(r"\w+://[^\"<\s]+", text) == ["http://maven.apache.org/POM/4.0.0"]
