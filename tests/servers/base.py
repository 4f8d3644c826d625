"""What every server is, however it came to be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Unavailable(Exception):
    """This way to a server doesn't work on this machine; the message says why."""


class Server(ABC):
    """Something that is started, may be hurt, and leaves nothing behind.

    As a context manager it is started on entry and closed on exit.
    """

    name: str
    """For messages: "kafka", "clickhouse"."""

    @abstractmethod
    def start(self) -> Self:
        """Starts on the same data and port as before, and returns once it answers.

        Raises Unavailable with the end of its log where it doesn't come up.
        """

    @abstractmethod
    def stop(self) -> None:
        """Lets it shut down in order; the data stays."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told. The data stays, as the file system has it."""

    @abstractmethod
    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""

    @abstractmethod
    def resume(self) -> None:
        """Ends `pause`."""

    @abstractmethod
    def close(self) -> None:
        """Ends it at once, however it is, and removes its data. May be called twice."""

    @property
    @abstractmethod
    def running(self) -> bool: ...

    @property
    @abstractmethod
    def pid(self) -> int:
        """Of the running server; raises Unavailable where there is none to name (somebody else's server)."""

    def restart(self) -> Self:
        """`stop` if it runs, then `start`."""
        if self.running:
            self.stop()
        return self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Foreign(Server):
    """A server somebody else runs, known by its address: it can be used, not hurt."""

    def start(self) -> Self:
        return self

    def stop(self) -> None:
        raise Unavailable(f"{self.name} is somebody else's server and is not ours to stop")

    kill = pause = resume = stop

    def close(self) -> None:
        pass

    @property
    def running(self) -> bool:
        return True

    @property
    def pid(self) -> int:
        raise Unavailable(f"{self.name} is somebody else's server: it has no process here")
