"""Makes .venv from the lock: exact versions, each file checked against its hash, the project itself in place.

Runs with nothing but a bare Python; `make` calls it when .venv is missing or older than the lock.
usage: make_venv.py FOLDER LOCK
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import venv
from collections import deque
from pathlib import Path

PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--progress-bar", "off")


class Progress:
    """One line that counts up on a terminal; elsewhere (a CI log) a line now and then."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total
        self.terminal = sys.stdout.isatty()

    def step(self, what: str) -> None:
        self.done += 1
        if self.terminal:
            print(f"\r\033[K  {self.done}/{self.total} {what}", end="", flush=True)
        elif self.done % 20 == 0:
            print(f"  {self.done}/{self.total}", flush=True)

    def say(self, text: str) -> None:
        print(f"\r\033[K  {text}" if self.terminal else f"  {text}", flush=True)


def pip(python: Path, *arguments: str, progress: Progress | None = None) -> None:
    """Runs pip; of what it says, only how far it is shows, and its last lines where it fails."""
    command = [str(python), *PIP, *arguments]
    said: deque[str] = deque(maxlen=25)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if progress is None:
                continue
            if found := re.match(r"Collecting ([^ =<>;]+)", line):
                progress.step(found[1])
            elif line.startswith("Installing collected packages"):
                progress.say("unpacking")
    if process.returncode:
        sys.exit(f"\nerror: pip failed ({process.returncode}); its last words:\n{''.join(said)}")


def main(folder: Path, lock: Path) -> None:
    started = time.monotonic()
    total = len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))
    print(f"Setting up {folder.name} from {lock.name}: {total} packages, about 1 GB on disk, once ...", flush=True)
    venv.create(folder, clear=True, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    progress = Progress(total)
    pip(python, "--require-hashes", "--only-binary", ":all:", "-r", str(lock), progress=progress)
    # The build backend came with the lock, so nothing unpinned is fetched to install the project itself.
    pip(python, "--no-deps", "--no-build-isolation", "--editable", str(lock.parent))
    progress.say(f"ready after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
