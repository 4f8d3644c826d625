"""`zkp2p-consumer` inside the test's own process: quicker than a process each, for tests of what a command does."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from unittest import mock

from consumer.cli import main


@dataclass(frozen=True)
class Done:
    """What a process would have left behind."""

    returncode: int
    stdout: str
    stderr: str

    def line(self, code: int) -> str:
        """The one line of stderr of a command that failed with this code."""
        assert self.returncode == code, self
        assert self.stderr.startswith("error: ")
        assert self.stderr.count("\n") == 1
        return self.stderr


def command(*arguments: str, settings: Mapping[str, str]) -> Done:
    """Runs it with these settings (names without the prefix) and no other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZKP2P_")}
    environment = {**kept, **{f"ZKP2P_{name}": value for name, value in settings.items()}}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _same_log(),
    ):
        code = main(arguments)
    return Done(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _same_log() -> Iterator[None]:
    """A command sets the process's log up; the next test finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
