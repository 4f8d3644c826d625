"""Everything that can go wrong, as one tree.

    ConsumerError
    ├── UsageError     wrong command line or settings                       exit code 2
    ├── Stop           waiting won't mend it; the message says what will    exit code 1
    ├── Retryable      an outage: wait, then do the same thing again
    ├── LeaseOver      ClickHouse refused a write that came after its deadline
    └── Fenced         the group coordinator refused a commit of ours

A bad record is no error but a value (`consumer.core.batch.Reject`). Any other exception is a bug and
ends the process: what has not landed is read again by whoever comes next.
"""


class ConsumerError(Exception):
    """Base of all expected errors; `str()` is one readable line."""

    exit_code = 1


class UsageError(ConsumerError):
    """Wrong command line or settings."""

    exit_code = 2


class Stop(ConsumerError):
    """Something that waiting won't mend: the process ends and its last line says what to do."""


class Retryable(ConsumerError):
    """An outage or an answer that never came.

    `cause` is a short word of bounded cardinality for the metric `retries_total{cause}`: `timeout`,
    `network`, `too_many_parts`, ... The effect may or may not have happened.
    """

    def __init__(self, message: str, cause: str = "network") -> None:
        super().__init__(message)
        self.cause = cause


class LeaseOver(ConsumerError):
    """The server refused a write because its deadline had passed; nothing of it landed."""


class Fenced(ConsumerError):
    """The coordinator refused a commit: our generation is over or the partition is not ours."""
