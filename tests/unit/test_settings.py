"""What may be set, where from, and what is said about what may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.errors import UsageError
from consumer.settings import KafkaSettings, Settings, load
from consumer.settings.load import variables


def from_env(**values: str) -> Settings:
    return load(None, {f"ZKP2P_{name}": value for name, value in values.items()})


def refused(**values: str) -> str:
    with pytest.raises(UsageError) as caught:
        from_env(**values)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def from_toml(tmp_path: Path, text: str, **env: str) -> Settings:
    path = tmp_path / "zkp2p.toml"
    path.write_text(text)
    return load(path, {f"ZKP2P_{name}": value for name, value in env.items()})


def test_defaults_are_the_contract() -> None:
    settings = load(None, {})
    assert settings.kafka.bootstrap_servers is None
    assert (settings.kafka.topic, settings.kafka.dlq_topic) == ("zkp2p-events", "zkp2p-events.dlq")
    assert (settings.kafka.group_id, settings.kafka.group_protocol) == ("zkp2p-clickhouse", "classic")
    assert (settings.clickhouse.url, settings.clickhouse.database) == ("http://localhost:8123", "civitai")
    batch = settings.batch
    assert (batch.max_rows, batch.max_bytes, batch.max_seconds) == (50_000, 33_554_432, 2)
    assert (batch.buffer_bytes, settings.dedup.memory_bytes) == (134_217_728, 536_870_912)
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 9464)
    assert (settings.log.level, settings.log.format) == ("info", "json")
    assert set(settings.sources().values()) == {"default"}


def test_every_name_of_the_contract_exists() -> None:
    contract = """
        KAFKA__BOOTSTRAP_SERVERS KAFKA__TOPIC KAFKA__DLQ_TOPIC KAFKA__GROUP_ID KAFKA__INSTANCE_ID KAFKA__GROUP_PROTOCOL
        KAFKA__SECURITY_PROTOCOL KAFKA__SASL_MECHANISM KAFKA__SASL_USERNAME KAFKA__SASL_PASSWORD
        KAFKA__SASL_PASSWORD_FILE KAFKA__SSL_CA_LOCATION KAFKA__EXTRA KAFKA__EXTRA_FILE
        CLICKHOUSE__URL CLICKHOUSE__DATABASE CLICKHOUSE__USERNAME CLICKHOUSE__PASSWORD CLICKHOUSE__PASSWORD_FILE
        CLICKHOUSE__CA_LOCATION CLICKHOUSE__COMPRESSION CLICKHOUSE__CLUSTER
        BATCH__MAX_ROWS BATCH__MAX_BYTES BATCH__MAX_SECONDS BATCH__BUFFER_BYTES DEDUP__MEMORY_BYTES
        HTTP__HOST HTTP__PORT LOG__LEVEL LOG__FORMAT"""
    assert set(variables()) == {f"ZKP2P_{name}" for name in contract.split()}


def test_environment_wins_over_file_over_default(tmp_path: Path) -> None:
    text = "[kafka]\ntopic = 'from-file'\ngroup_id = 'g'\n[batch]\nmax_rows = 7\n"
    settings = from_toml(tmp_path, text, KAFKA__TOPIC="from-env")
    assert (settings.kafka.topic, settings.kafka.group_id, settings.batch.max_rows) == ("from-env", "g", 7)
    sources = settings.sources()
    assert sources["kafka.topic"] == "env ZKP2P_KAFKA__TOPIC"
    assert sources["kafka.group_id"] == f"file {tmp_path / 'zkp2p.toml'}"
    assert sources["kafka.dlq_topic"] == "default"


def test_overrides_win() -> None:
    settings = load(None, {"ZKP2P_KAFKA__TOPIC": "t"}, kafka={"topic": "mine"})
    assert settings.kafka.topic == "mine"
    assert settings.sources()["kafka.topic"] == "argument"


def test_settings_by_hand_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKP2P_KAFKA__TOPIC", "t")
    monkeypatch.setenv("ZKP2P_NONSENSE", "t")
    assert Settings(kafka=KafkaSettings(group_id="g")).kafka.topic == "zkp2p-events"


def test_load_reads_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ZKP2P_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ZKP2P_KAFKA__TOPIC", "t")
    assert load().kafka.topic == "t"


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = from_env(KAFKA__TOPIC="", CLICKHOUSE__PASSWORD="", BATCH__MAX_ROWS="")
    assert settings == load(None, {})


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"BATCH__MAX_ROWS": "many"}, ["ZKP2P_BATCH__MAX_ROWS=many", "whole number from 1 to 1000000"]),
        ({"BATCH__MAX_ROWS": "0"}, ["ZKP2P_BATCH__MAX_ROWS=0", "from 1"]),
        ({"BATCH__MAX_ROWS": "1.5"}, ["ZKP2P_BATCH__MAX_ROWS=1.5", "whole number"]),
        ({"BATCH__MAX_ROWS": "1000001"}, ["to 1000000"]),
        ({"BATCH__MAX_BYTES": "-1"}, ["ZKP2P_BATCH__MAX_BYTES=-1"]),
        ({"BATCH__MAX_SECONDS": "0"}, ["ZKP2P_BATCH__MAX_SECONDS=0", "a number from 0.01"]),
        ({"BATCH__MAX_SECONDS": "nan"}, ["ZKP2P_BATCH__MAX_SECONDS=nan"]),
        ({"BATCH__MAX_SECONDS": "inf"}, ["ZKP2P_BATCH__MAX_SECONDS=inf"]),
        ({"BATCH__BUFFER_BYTES": "1"}, ["ZKP2P_BATCH__BUFFER_BYTES=1", "1048576"]),
        ({"DEDUP__MEMORY_BYTES": "0"}, ["ZKP2P_DEDUP__MEMORY_BYTES=0"]),
        ({"HTTP__PORT": "65536"}, ["ZKP2P_HTTP__PORT=65536", "65535"]),
        ({"HTTP__HOST": "a b"}, ["ZKP2P_HTTP__HOST=a b", "address to listen on"]),
        ({"LOG__LEVEL": "loud"}, ["ZKP2P_LOG__LEVEL=loud", "debug, info, warning, error"]),
        ({"LOG__FORMAT": "xml"}, ["json, console"]),
        ({"KAFKA__TOPIC": "a b"}, ["ZKP2P_KAFKA__TOPIC=a b", "249"]),
        ({"KAFKA__TOPIC": ".."}, ["ZKP2P_KAFKA__TOPIC=.."]),
        ({"KAFKA__TOPIC": "x" * 250}, ["249"]),
        ({"KAFKA__TOPIC": "t\n"}, [r"ZKP2P_KAFKA__TOPIC='t\n'"]),
        ({"KAFKA__DLQ_TOPIC": "zkp2p-events"}, ["ZKP2P_KAFKA__DLQ_TOPIC=zkp2p-events", "must differ"]),
        ({"KAFKA__TOPIC": "zkp2p-events.dlq"}, ["ZKP2P_KAFKA__DLQ_TOPIC", "must differ"]),
        ({"KAFKA__GROUP_ID": " g"}, ["ZKP2P_KAFKA__GROUP_ID= g"]),
        ({"KAFKA__GROUP_PROTOCOL": "new"}, ["classic, consumer"]),
        ({"KAFKA__BOOTSTRAP_SERVERS": "http://h:1"}, ["ZKP2P_KAFKA__BOOTSTRAP_SERVERS", "host:port"]),
        ({"KAFKA__BOOTSTRAP_SERVERS": "h:99999"}, ["'h:99999'", "1 to 65535"]),
        ({"KAFKA__BOOTSTRAP_SERVERS": ","}, ["localhost:9092"]),
        ({"CLICKHOUSE__URL": "localhost:8123"}, ["ZKP2P_CLICKHOUSE__URL=localhost:8123", "http://", "chdb:///"]),
        ({"CLICKHOUSE__URL": "clickhouse://h:9000"}, ["native port"]),
        ({"CLICKHOUSE__URL": "http://h:0"}, ["port"]),
        ({"CLICKHOUSE__URL": "http://h:x"}, ["port"]),
        ({"CLICKHOUSE__URL": "http://"}, ["host"]),
        ({"CLICKHOUSE__URL": "http://h?database=x"}, ["ZKP2P_CLICKHOUSE__DATABASE"]),
        ({"CLICKHOUSE__URL": "chdb:///"}, ["folder"]),
        ({"CLICKHOUSE__URL": "chdb:data"}, ["chdb://./data"]),
        ({"CLICKHOUSE__DATABASE": "a-b"}, ["ZKP2P_CLICKHOUSE__DATABASE=a-b", "plain identifier"]),
        ({"CLICKHOUSE__DATABASE": "a; DROP TABLE b"}, ["plain identifier"]),
        ({"CLICKHOUSE__DATABASE": "1a"}, ["plain identifier"]),
        ({"CLICKHOUSE__DATABASE": "system"}, ["belongs to ClickHouse"]),
        ({"CLICKHOUSE__CLUSTER": "a b"}, ["ZKP2P_CLICKHOUSE__CLUSTER=a b"]),
        ({"CLICKHOUSE__CLUSTER": "c", "CLICKHOUSE__URL": "chdb:///d"}, ["ZKP2P_CLICKHOUSE__CLUSTER=c", "embedded"]),
        ({"CLICKHOUSE__COMPRESSION": "brotli"}, ["none, lz4, zstd, gzip"]),
        (
            {"CLICKHOUSE__CA_LOCATION": "/nowhere/ca.pem"},
            ["ZKP2P_CLICKHOUSE__CA_LOCATION=/nowhere/ca.pem", "no such file"],
        ),
        ({"CLICKHOUSE__CA_LOCATION": __file__}, ["https://"]),
        (
            {"KAFKA__INSTANCE_ID": "pod-0", "KAFKA__GROUP_PROTOCOL": "consumer"},
            ["ZKP2P_KAFKA__INSTANCE_ID=pod-0", "group_protocol=classic"],
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(values: dict[str, str], parts: list[str]) -> None:
    message = refused(**values)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"SSL_CA_LOCATION": __file__}, ["SSL_CA_LOCATION (env ZKP2P_KAFKA__SSL_CA_LOCATION)", "nothing is encrypted"]),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, ["SECURITY_PROTOCOL (env", "needs ZKP2P_KAFKA__SASL_MECHANISM"]),
        ({"SASL_USERNAME": "u"}, ["SASL_USERNAME (env", "needs ZKP2P_KAFKA__SECURITY_PROTOCOL=SASL_SSL"]),
        ({"SASL_PASSWORD": "hunter2"}, ["SASL_PASSWORD (env", "needs ZKP2P_KAFKA__SECURITY_PROTOCOL=SASL_SSL"]),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN"},
            ["SASL_MECHANISM (env", "SASL_USERNAME", "SASL_PASSWORD"],
        ),
    ],
)
def test_how_to_log_in_is_settled_before_somebody_talks_to_kafka(values: dict[str, str], parts: list[str]) -> None:
    """And not before: `config` shows what there is, and ClickHouse needs none of it."""
    settings = from_env(**{f"KAFKA__{name}": value for name, value in values.items()}, KAFKA__BOOTSTRAP_SERVERS="h:1")
    with pytest.raises(UsageError) as caught:
        settings.require_kafka()
    for part in parts:
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("KAFKA__TOPC", "ZKP2P_KAFKA__TOPIC"),
        ("KAFKA_TOPIC", "ZKP2P_KAFKA__TOPIC"),
        ("KAFKA__SASL_PASSWORD_FIL", "ZKP2P_KAFKA__SASL_PASSWORD_FILE"),
        ("BATCH__MAXROWS", "ZKP2P_BATCH__MAX_ROWS"),
        ("CLICKHOUSE_URL", "ZKP2P_CLICKHOUSE__URL"),
        ("HTTP_PORT", "ZKP2P_HTTP__PORT"),
        ("HTP__PORT", "ZKP2P_HTTP__PORT"),
    ],
)
def test_an_unknown_name_is_refused_and_the_nearest_suggested(name: str, suggestion: str) -> None:
    assert f"ZKP2P_{name} is not a setting: did you mean {suggestion}?" in refused(**{name: "1"})


def test_far_from_every_name_there_is_a_nearest_all_the_same() -> None:
    message = refused(FOO="1")
    assert "ZKP2P_FOO is not a setting: the nearest is ZKP2P_" in message
    assert "`zkp2p-consumer config` lists them all" in message


def test_names_are_upper_case() -> None:
    with pytest.raises(UsageError, match="did you mean ZKP2P_KAFKA__TOPIC"):
        load(None, {"zkp2p_kafka__topic": "t"})


def test_unknown_names_are_counted() -> None:
    assert "(and 1 more)" in refused(FOO="1", BAR="1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TEST_KAFKA", "127.0.0.1:1"),
        ("TEST_REQUIRE_SERVERS", "1"),
        ("SERVICE_HOST", "10.0.0.1"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("CONSUMER_SERVICE_HOST", "10.0.0.1"),
        ("CONSUMER_SERVICE_PORT_METRICS", "80"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("HTTP_PORT", "tcp://10.0.0.1:80"),
        ("CONSUMER_PORT", "tcp://10.0.0.1:80"),
        ("CONSUMER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("CONSUMER_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_tests_and_kubernetes_set_is_let_pass(name: str, value: str) -> None:
    assert from_env(**{name: value}) == load(None, {})


@given(st.dictionaries(st.sampled_from(sorted(variables())), st.text(max_size=20), max_size=4))
def test_any_values_give_settings_or_one_line(values: dict[str, str]) -> None:
    try:
        load(None, values)
    except UsageError as error:
        message = str(error)
    else:
        return
    assert message.isprintable()
    assert any(name in message for name in values)


# Addresses


@pytest.mark.parametrize(
    ("url", "effective"),
    [
        ("http://h", "http://h"),
        ("https://h:8443/", "https://h:8443"),
        ("http://[::1]:8123", "http://[::1]:8123"),
        ("https://h/clickhouse/", "https://h/clickhouse"),
        ("chdb:///var/lib/zkp2p", "chdb:///var/lib/zkp2p"),
    ],
)
def test_urls(url: str, effective: str) -> None:
    assert from_env(CLICKHOUSE__URL=url).clickhouse.url == effective


@pytest.mark.parametrize("url", ["chdb://data", "chdb://./data"])
def test_a_relative_folder_is_below_the_working_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = from_env(CLICKHOUSE__URL=url).clickhouse
    assert chosen.url == f"chdb://{tmp_path}/data"
    assert chosen.embedded


def test_credentials_in_the_url_are_refused_unseen() -> None:
    message = refused(CLICKHOUSE__URL="http://user:hunter2@h")
    assert "hunter2" not in message
    assert "ZKP2P_CLICKHOUSE__PASSWORD" in message


@pytest.mark.parametrize(
    "servers", ["h:9092", "h", "a:1,b:2", "[::1]:9092", "SASL_SSL://h:9093", "192.168.0.1:9092", " a:1 , b:2 "]
)
def test_servers(servers: str) -> None:
    assert from_env(KAFKA__BOOTSTRAP_SERVERS=servers).require_kafka() == servers.replace(" ", "")


def test_servers_are_needed_only_by_those_who_need_them() -> None:
    with pytest.raises(UsageError, match="ZKP2P_KAFKA__BOOTSTRAP_SERVERS is not set"):
        load(None, {}).require_kafka()


# Secrets


SASL = {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA__SASL_USERNAME": "u"}


def test_a_secret_comes_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    for content in ("s3cret \u00e9", "s3cret \u00e9\n", "s3cret \u00e9\r\n"):
        (tmp_path / "password").write_bytes(content.encode())
        settings = from_env(**SASL, KAFKA__SASL_PASSWORD_FILE=str(tmp_path / "password"))
        assert settings.kafka.sasl_password is not None
        assert settings.kafka.sasl_password.get_secret_value() == "s3cret \u00e9"
        assert settings.sources()["kafka.sasl_password"] == f"secret file {tmp_path / 'password'}"


def test_a_secret_from_a_file_named_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    settings = from_toml(tmp_path, f"[clickhouse]\npassword_file = '{tmp_path / 'password'}'")
    assert settings.clickhouse.password is not None
    assert settings.clickhouse.password.get_secret_value() == "s3cret"


def test_properties_with_secrets_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "extra.json").write_text('{"ssl.key.password": "s3cret"}')
    settings = from_env(KAFKA__EXTRA_FILE=str(tmp_path / "extra.json"))
    assert settings.kafka.extra == {"ssl.key.password": "s3cret"}


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_holds_no_secret(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(content)
    path = str(tmp_path / "password")
    assert f"ZKP2P_CLICKHOUSE__PASSWORD_FILE={path}: " in refused(CLICKHOUSE__PASSWORD_FILE=path)


def test_a_file_that_is_not_there() -> None:
    message = refused(CLICKHOUSE__PASSWORD_FILE="/nowhere/password")
    assert "ZKP2P_CLICKHOUSE__PASSWORD_FILE=/nowhere/password: No such file" in message


def test_a_secret_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    message = refused(CLICKHOUSE__PASSWORD="a", CLICKHOUSE__PASSWORD_FILE="/nowhere/password")
    assert "ZKP2P_CLICKHOUSE__PASSWORD and ZKP2P_CLICKHOUSE__PASSWORD_FILE are both set" in message
    with pytest.raises(UsageError, match=r"clickhouse\.password and clickhouse\.password_file are both set"):
        from_toml(tmp_path, "[clickhouse]\npassword = 'a'\npassword_file = '/nowhere'")


def test_the_environment_wins_whichever_form_it_has(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    settings = from_toml(tmp_path, f"[clickhouse]\npassword_file = '{tmp_path / 'old'}'", CLICKHOUSE__PASSWORD="new")
    assert settings.clickhouse.password is not None
    assert settings.clickhouse.password.get_secret_value() == "new"


def test_no_secret_is_ever_shown() -> None:
    settings = from_env(
        **SASL,
        KAFKA__SASL_PASSWORD="hunter2",
        CLICKHOUSE__PASSWORD="hunter3",
        KAFKA__EXTRA='{"ssl.key.password": "hunter4", "client.rack": "a"}',
    )
    for text in (repr(settings), str(settings), repr(settings.kafka), str(settings.clickhouse)):
        assert "hunter" not in text
    assert set(settings.secrets()) == {"hunter2", "hunter3", "hunter4"}


# The file


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[kafka]\ntopc = 'a'", ["kafka.topc in ", "did you mean kafka.topic?"]),
        ("[kafka]\nmax_rows = 1", ["kafka.max_rows in ", "batch.max_rows"]),
        ("[kaffka]\ntopic = 'a'", ["kaffka in ", "did you mean kafka?"]),
        ("topic = 'a'", ["topic in ", "kafka.topic"]),
        ("kafka = 1", ["kafka in ", "[kafka]"]),
        ("[kafka]\ntopic = 'a b'", ["kafka.topic = a b in ", "249"]),
        ("[kafka]\ntopic = 3", ["kafka.topic = 3 in ", "text"]),
        ("[batch]\nmax_rows = true", ["batch.max_rows = True in ", "number"]),
        ("[batch]\nmax_rows = 0", ["batch.max_rows = 0 in ", "from 1"]),
        ("[clickhouse]\npassword = 3", ["clickhouse.password in ", "text"]),
        ("[clickhouse]\nurl_file = 'x'", ["clickhouse.url_file in ", "is not a setting"]),
        ("[clickhouse]\npassword_file = 3", ["clickhouse.password_file in ", "path of a file"]),
        ('[clickhouse]\npassword_file = "a\\u0000b"', ["clickhouse.password_file in ", "null"]),
        ('[clickhouse]\nca_location = "a\\u0000b"', ["clickhouse.ca_location = ", "no such file"]),
        ("nonsense", ["zkp2p.toml", "not valid TOML"]),
    ],
)
def test_the_file_and_the_key_are_named(text: str, parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        from_toml(tmp_path, text)
    for part in [*parts, "zkp2p.toml"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(UsageError, match="Is a directory"):
        load(tmp_path, {})
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not valid TOML"):
        load(tmp_path / "x.toml", {})
