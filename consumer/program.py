"""How a command of `zkp2p-consumer` is run and how it ends, whichever it is.

Exit codes: 0 clean, 1 failed at its work, 2 wrong usage or settings. Whatever goes wrong is one line on stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import typer
from typer.exceptions import TyperException

from consumer import console
from consumer.core.errors import ConsumerError, UsageError

PROGRAM = "zkp2p-consumer"
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports it."""
GLOBAL_OPTIONS = {"--config": True, "--debug": False}
"""Understood before and behind the command: option -> whether a value follows."""


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Runs one command, by default that of the process's own arguments; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _interrupts() as interrupted:
            code = _run(app, given, interrupted)
        sys.stdout.flush()
        if arguments is None:
            _leave_threads(code)
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter's own last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _leave_threads(code: int) -> None:
    """Ends the process at once where a thread still waits in a client for a server that does not answer: it would hold
    up the interpreter's end, or wake up in the midst of it."""
    if threading.active_count() > 1:
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Set by Ctrl-C, which goes on as a KeyboardInterrupt: in the midst of librdkafka's calls that becomes any error."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _run(app: typer.Typer, given: Sequence[str], interrupted: threading.Event) -> int:
    try:
        command = typer.main.get_command(app)
        return int(command.main(_options_first(given), prog_name=PROGRAM, standalone_mode=False) or 0)
    except TyperException as error:
        return _usage(error)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug must end in one line too
        if interrupted.is_set():
            return INTERRUPTED  # whatever failed, failed because of it
        expected = isinstance(error, ConsumerError)
        if "--debug" in given:
            traceback.print_exc()
        console.complain(str(error) if expected else _unexpected(error))
        return error.exit_code if isinstance(error, ConsumerError) else 1


def _usage(error: TyperException) -> int:
    """typer says what is wrong over several lines; its help page, when nothing was asked, stays whole."""
    text = error.format_message()
    if "\n" in text.strip():
        sys.stderr.write(f"{text}\n")
    else:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else PROGRAM
        text = text.replace("Value error, ", "").rstrip(".")
        console.complain(f"{text}: see `{path} --help`")
    return 2


def _unexpected(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package == "chdb":
            return "the embedded engine is not installed: pip install 'zkp2p-consumer[embedded]'"
        return f"the package {package}, which this needs, is not installed: pip install {package}"
    return f"unexpected {type(error).__name__}: {error} (--debug shows the traceback)"


def _options_first(given: Sequence[str]) -> list[str]:
    """Moves the global options before the command, wherever they were written."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(given)
    for word in words:
        name, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif name not in GLOBAL_OPTIONS:
            rest.append(word)
        elif GLOBAL_OPTIONS[name] and not equals:
            value = next(words, None)
            if value is None:
                raise UsageError(f"{name} needs a value: see `{PROGRAM} --help`")
            front += [word, value]
        else:
            front.append(word)
    return front + rest
