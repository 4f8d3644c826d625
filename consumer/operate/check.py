"""`check`: would `run` find all it needs? One line a question; what fails says what mends it.

Later questions lean on earlier ones: where the broker is silent, its topics are not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from consumer import console
from consumer.core.errors import ConsumerError, UsageError
from consumer.settings import Settings

OK, WARN, FAIL = "ok", "warn", "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question. `FAIL` means that `run` would not work, or not as promised."""

    status: str
    name: str
    detail: str


Question = Callable[[], Iterator[Finding]]


def run(settings: Settings, *, sample: int = 0) -> int:
    """Prints every finding as it is made; 1 if one of them is a FAIL, else 0."""
    # They load Kafka's and ClickHouse's clients, which a wrong setting should not wait for.
    from consumer.operate import check_clickhouse, check_kafka

    failed = _show("settings", lambda: about_settings(settings))
    failed |= _show("broker", lambda: check_kafka.findings(settings, sample=sample))
    failed |= _show("clickhouse", lambda: check_clickhouse.findings(settings))
    return 1 if failed else 0


def _show(name: str, question: Question) -> bool:
    """True if anything failed; an error that ends the questions is a finding too."""
    failed = False
    try:
        for finding in question():
            console.status(finding.status, finding.name, finding.detail)
            failed |= finding.status == FAIL
    except UsageError:
        raise
    except ConsumerError as error:
        console.status(FAIL, name, str(error))
        return True
    return failed


def about_settings(settings: Settings) -> Iterator[Finding]:
    """They were readable, or we would not be here; some are odd all the same."""
    given = [source for source in settings.sources().values() if source != "default"]
    yield Finding(OK, "settings", f"{len(given)} set, the rest are defaults (`config` shows all)")
    batch = settings.batch
    if batch.max_bytes > batch.buffer_bytes:
        remedy = "raise BUFFER_BYTES or lower MAX_BYTES"
        yield Finding(WARN, "settings", f"ZKP2P_BATCH__MAX_BYTES is above ZKP2P_BATCH__BUFFER_BYTES: {remedy}")
    if settings.kafka.sasl_password is not None and settings.kafka.security_protocol == "SASL_PLAINTEXT":
        yield Finding(WARN, "settings", "the password to Kafka travels unencrypted: prefer SASL_SSL")
    remote = not any(host in settings.clickhouse.url for host in ("//localhost", "//127.", "//[::1]"))
    if settings.clickhouse.password is not None and settings.clickhouse.url.startswith("http:") and remote:
        yield Finding(WARN, "settings", "the password to ClickHouse travels unencrypted: prefer https://")
