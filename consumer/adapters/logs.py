"""The log: one event a line on stderr, JSON for machines or columns for people.

What goes in: state changes, one debug line a batch, one summary line every 30 s; fields `topic`, `partition`,
`offset` and their like tie a line to its records. What stays out: payloads, and every secret of the settings,
whose values are masked wherever they turn up (an error text of a library, a URL). Lines of librdkafka and of
other libraries, which use the standard `logging`, take the same way out.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["json", "console"]
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
MASK = "**********"
LIBRDKAFKA = "librdkafka"

_OUR_HANDLER = "zkp2p-consumer"


def configure(
    level: str = "info", style: Format = "json", *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Sets the process's log up; a second call replaces the first.

    `secrets` are values that may never be written. Colours only on a terminal and without NO_COLOR.
    """
    stream = stream if stream is not None else sys.stderr
    threshold = LEVELS[level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _Masker(secrets),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.set_name(_OUR_HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(style, stream)],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.get_name() == _OUR_HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    logging.getLogger("asyncio").setLevel(max(threshold, logging.INFO))


def librdkafka_logger() -> logging.Logger:
    """For the `logger=` argument of confluent_kafka's clients; its lines are written while the client polls."""
    return logging.getLogger(LIBRDKAFKA)


def librdkafka_level() -> int:
    """Syslog's numbers. Only who asks for debug gets a line for every attempt; outages come through `error_cb` once."""
    return 7 if librdkafka_logger().isEnabledFor(logging.DEBUG) else 2


def _renderers(style: Format, stream: TextIO) -> list[Processor]:
    if style == "console":
        colours = stream.isatty() and not os.environ.get("NO_COLOR")
        # format_exc_info has made text of the exception already: no locals, which could hold secrets.
        return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


class _Masker:
    """Replaces secrets in every string of an event, however deep."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first: a secret may be part of another.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if not self._secrets:
            return event
        return {
            # Keys with an underscore are structlog's own and never rendered.
            key: value if key in ("level", "timestamp") or key.startswith("_") else self._mask(value)
            for key, value in event.items()
        }

    def _mask(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, Mapping):
            return {key: self._mask(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._mask(inner) for inner in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._mask(str(value))


class Summary:
    """What has happened since the last summary line, one info line every `interval_seconds`."""

    COUNTS = ("inserted", "duplicates", "rejected", "ignored", "expired", "missing")

    def __init__(
        self, logger: Any = None, *, interval_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = logger if logger is not None else structlog.get_logger("summary")
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._since = clock()
        self._batches = 0
        self._counts = dict.fromkeys(self.COUNTS, 0)

    def batch(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        *,
        reason: str,
        seconds: float,
        counts: Mapping[str, int],
    ) -> None:
        """A batch has landed: offsets inclusive, `counts` by the names in COUNTS (absent: 0)."""
        self._batches += 1
        spent = {name: counts.get(name, 0) for name in self.COUNTS}
        for name, count in spent.items():
            self._counts[name] += count
        self._log.debug(
            "batch landed",
            topic=topic,
            partition=partition,
            first_offset=first_offset,
            last_offset=last_offset,
            reason=reason,
            seconds=round(seconds, 3),
            **spent,
        )

    def due(self) -> bool:
        """Whether the interval is over; cheap enough for every turn of the loop."""
        return self._clock() - self._since >= self._interval_seconds

    def write(self, *, partitions: int, lag_records: int, lag_seconds: float) -> None:
        """Writes the line and starts over: lag of all our partitions together, and of the oldest of them."""
        now = self._clock()
        seconds = max(now - self._since, 1e-9)
        consumed = sum(count for name, count in self._counts.items() if name != "missing")
        self._log.info(
            "summary",
            seconds=round(seconds, 1),
            batches=self._batches,
            consumed=consumed,
            **self._counts,
            records_per_second=round(consumed / seconds, 1),
            partitions=partitions,
            lag_records=lag_records,
            lag_seconds=round(lag_seconds, 1),
        )
        self._since = now
        self._batches = 0
        self._counts = dict.fromkeys(self.COUNTS, 0)
