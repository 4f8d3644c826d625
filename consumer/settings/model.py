"""The settings as typed, frozen models. What each may be is said here once: the docs' table is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from consumer.core.errors import UsageError
from consumer.settings import extra as extras
from consumer.settings import rules
from consumer.settings.rules import RuleError

PREFIX = "ZKP2P_"


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _no_bool(value: object) -> object:
    """pydantic reads true as 1; a TOML file that says so means something else."""
    if isinstance(value, bool):
        raise RuleError("must be a number")
    return value


def _compression(value: object) -> object:
    """The switch that many clients have is understood too."""
    value = _lower(value)
    if value in (True, "true", "1", "on", "yes"):
        return "lz4"
    return "none" if value in (False, "false", "0", "off", "no") else value


Level = Literal["debug", "info", "warning", "error"]
Count = Annotated[int, BeforeValidator(_no_bool)]
Seconds = Annotated[float, BeforeValidator(_no_bool)]
KafkaName = Annotated[str, AfterValidator(rules.kafka_name)]
ExistingPath = Annotated[str, AfterValidator(rules.existing_path)]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]
Properties = Annotated[dict[str, str], BeforeValidator(lambda tree: dict(extras.flatten(extras.parsed(tree))))]


class Section(BaseModel):
    """One level of names. Values are never in an error's own text: `consumer.settings.errors` decides what is shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KafkaSettings(Section):
    """Where the events come from, and as whom we read them."""

    bootstrap_servers: Annotated[str, AfterValidator(rules.servers)] | None = Field(
        default=None,
        description="Brokers as host:port, several separated by commas. Needed by all that talks to Kafka.",
    )
    topic: KafkaName = Field(default="zkp2p-events", description="Topic of the events.")
    dlq_topic: KafkaName = Field(default="zkp2p-events.dlq", description="Topic of the dead letters.")
    group_id: Annotated[str, AfterValidator(rules.group_name)] = Field(
        default="zkp2p-clickhouse", description="Consumer group."
    )
    instance_id: KafkaName | None = Field(
        default=None,
        description="Static membership: a name that a replica keeps, so that its restart moves no partition.",
    )
    group_protocol: Annotated[Literal["classic", "consumer"], BeforeValidator(_lower)] = Field(
        default="classic", description="Group protocol; `consumer` is KIP-848 and goes without `INSTANCE_ID`."
    )
    security_protocol: Annotated[SecurityProtocol, BeforeValidator(_upper)] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Annotated[SaslMechanism, BeforeValidator(_upper)] | None = Field(
        default=None, description="Needed with SASL_PLAINTEXT and SASL_SSL."
    )
    sasl_username: Annotated[str, AfterValidator(rules.user_name)] | None = Field(
        default=None, description="User for PLAIN and SCRAM."
    )
    sasl_password: SecretStr | None = Field(default=None, description="Password for PLAIN and SCRAM.")
    ssl_ca_location: ExistingPath | None = Field(
        default=None,
        description="File or folder of the CA certificates that signed the brokers'; the system's when not set.",
    )
    extra: Properties = Field(
        default_factory=dict,
        repr=False,
        description="JSON object of further librdkafka properties, except those that the consumer itself decides.",
    )

    @property
    def session_timeout_ms(self) -> int:
        """Milliseconds of silence after which the broker gives our partitions away (classic protocol)."""
        return extras.session_timeout_ms(self.extra)

    @model_validator(mode="after")
    def _agree(self) -> KafkaSettings:
        extras_error(self.extra, self.group_protocol)
        if self.topic == self.dlq_topic:
            raise RuleError(
                "must differ from the topic of the events: dead letters would be read as events", "dlq_topic"
            )
        if self.instance_id and self.group_protocol == "consumer":
            raise RuleError(
                "can't be combined with group_protocol=consumer: a restarted static member stays locked out until its"
                " old session ends; unset it, or use group_protocol=classic",
                "instance_id",
            )
        return self

    def check_security(self) -> None:
        """Raises RuleError for settings of TLS and SASL that don't go together; what names no broker needs none."""
        sasl = self.security_protocol.startswith("SASL_")
        for name in ("sasl_mechanism", "sasl_username", "sasl_password"):
            if getattr(self, name) is not None and not sasl:
                raise RuleError("needs ZKP2P_KAFKA__SECURITY_PROTOCOL=SASL_SSL (or SASL_PLAINTEXT)", name)
        if self.ssl_ca_location and not self.security_protocol.endswith("SSL"):
            remedy = "needs ZKP2P_KAFKA__SECURITY_PROTOCOL=SSL (or SASL_SSL): without it nothing is encrypted"
            raise RuleError(remedy, "ssl_ca_location")
        if sasl and self.sasl_mechanism is None:
            raise RuleError("needs ZKP2P_KAFKA__SASL_MECHANISM too, for example SCRAM-SHA-512", "security_protocol")
        by_password = sasl and self.sasl_mechanism not in {"OAUTHBEARER", "GSSAPI"}
        if by_password and (not self.sasl_username or self.sasl_password is None):
            remedy = "needs ZKP2P_KAFKA__SASL_USERNAME and ZKP2P_KAFKA__SASL_PASSWORD(_FILE) too"
            raise RuleError(remedy, "sasl_mechanism")


def extras_error(properties: Mapping[str, str], group_protocol: str) -> None:
    """Whatever is wrong with a property is EXTRA's fault, whichever section rule finds it."""
    try:
        extras.check_properties(properties, group_protocol)
    except RuleError as wrong:
        raise RuleError(str(wrong), "extra") from None


class ClickHouseSettings(Section):
    """Where the rows go."""

    url: Annotated[str, AfterValidator(rules.clickhouse_url)] = Field(
        default="http://localhost:8123",
        description="`http://host:8123`, `https://host:8443`, or `chdb:///DIR`, the embedded engine.",
    )
    database: Annotated[str, AfterValidator(rules.identifier)] = Field(
        default="civitai", description="Database of all our tables."
    )
    username: Annotated[str, AfterValidator(rules.user_name)] = Field(default="default", description="ClickHouse user.")
    password: SecretStr | None = Field(default=None, description="Password of that user.")
    ca_location: ExistingPath | None = Field(
        default=None, description="File of the CA certificates that signed the server's; the system's when not set."
    )
    compression: Annotated[Literal["none", "lz4", "zstd", "gzip"], BeforeValidator(_compression)] = Field(
        default="none", description="Compression of what is sent; `none` is cheapest on a fast network."
    )
    cluster: Annotated[str, AfterValidator(rules.cluster_name)] | None = Field(
        default=None, description="When set, tables are Replicated and made ON CLUSTER."
    )

    @property
    def embedded(self) -> bool:
        """The engine runs inside this process."""
        return self.url.startswith("chdb:")

    @model_validator(mode="after")
    def _agree(self) -> ClickHouseSettings:
        if self.ca_location and not self.url.startswith("https:"):
            raise RuleError(
                "needs an https:// address in ZKP2P_CLICKHOUSE__URL: without it nothing is encrypted", "ca_location"
            )
        if self.cluster and self.embedded:
            raise RuleError("needs a server: the embedded engine has no cluster; unset it", "cluster")
        return self


class BatchSettings(Section):
    """When a batch closes: whichever limit is reached first."""

    max_rows: Count = Field(default=50_000, ge=1, le=1_000_000, description="Rows of one batch.")
    max_bytes: Count = Field(default=32 << 20, ge=1, le=1 << 30, description="Bytes of Kafka records in one batch.")
    max_seconds: Seconds = Field(
        default=2.0, ge=0.01, le=3600, allow_inf_nan=False, description="Age of a batch's first record, in seconds."
    )
    buffer_bytes: Count = Field(
        default=128 << 20,
        ge=1 << 20,
        le=64 << 30,
        description="Bytes that wait for their insert, all partitions together.",
    )


class DedupSettings(Section):
    """The index of what has landed."""

    memory_bytes: Count = Field(
        default=512 << 20,
        ge=1,
        le=1 << 40,
        description="Bytes the index of duplicates may take; days beyond them are read again.",
    )


class HttpSettings(Section):
    """Metrics and health."""

    host: Annotated[str, AfterValidator(rules.host_name)] = Field(
        default="0.0.0.0",  # noqa: S104 - it is for the scraper on another host
        description="Address of /metrics, /livez and /readyz.",
    )
    port: Count = Field(default=9464, ge=0, le=65535, description="Its port; 0 takes a free one.")


class LogSettings(Section):
    """What goes to stderr."""

    level: Annotated[Level, BeforeValidator(_lower)] = Field(default="info", description="Least level that is written.")
    format: Annotated[Literal["json", "console"], BeforeValidator(_lower)] = Field(
        default="json", description="`json` for machines, `console` for people."
    )


class Settings(BaseSettings):
    """All settings of one process. Build them with `load`; by hand only what is passed counts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    batch: BatchSettings = BatchSettings()
    dedup: DedupSettings = DedupSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load` reads environment and file itself, to know where each value came from."""
        return (init_settings,)

    def remember_sources(self, sources: Mapping[str, str]) -> None:
        """For `load`: where the values that are no defaults came from."""
        self._sources.update(sources)

    def sources(self) -> dict[str, str]:
        """Where each value came from, by dotted name: `default`, `env NAME`, `file PATH`, `secret file PATH`."""
        names = (f"{section}.{field}" for section, model in sections().items() for field in model.model_fields)
        return {name: self._sources.get(name, "default") for name in names}

    def secrets(self) -> list[str]:
        """Every value that may never be written: for the log's mask."""
        passwords = [self.kafka.sasl_password, self.clickhouse.password]
        values = [secret.get_secret_value() for secret in passwords if secret is not None]
        return values + [value for name, value in self.kafka.extra.items() if extras.is_secret(name)]

    def require_kafka(self) -> str:
        """The brokers, for a command that talks to them; UsageError when none are set, or not how to log in."""
        if self.kafka.bootstrap_servers is None:
            name = f"{PREFIX}KAFKA__BOOTSTRAP_SERVERS"
            raise UsageError(f"{name} is not set: name the brokers, for example localhost:9092")
        try:
            self.kafka.check_security()
        except RuleError as wrong:
            source = self.sources()[f"kafka.{wrong.field}"]
            raise UsageError(f"{PREFIX}KAFKA__{wrong.field.upper()} ({source}) {wrong}") from None
        return self.kafka.bootstrap_servers


def sections() -> dict[str, type[Section]]:
    """The sections by name, in the order of their definition."""
    return {name: type(field.default) for name, field in Settings.model_fields.items()}
