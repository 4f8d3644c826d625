"""A ClickHouse: what tests do with one, and a process of our own out of npm's libchdb."""

from __future__ import annotations

import base64
import hashlib
import platform
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from tests.servers import cache
from tests.servers.base import Foreign, Server, Unavailable
from tests.servers.process import ProcessServer, answers, free_port

PACKAGE = "@chdb/lib-linux-x64-gnu"
VERSION = "26.7.3-stable.1"
SHA512 = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="


class ClickHouse(Server):
    """What can be done with any ClickHouse, whoever runs it."""

    name = "clickhouse"
    url: str
    """Of the HTTP interface, without user and password."""
    username = "default"
    password = ""

    def query(self, sql: str, **settings: str | int) -> str:
        """Runs one statement over plain HTTP and returns the answer (TSV unless FORMAT says otherwise).

        Raises ValueError with the server's words where it refuses.
        """
        request = urllib.request.Request(f"{self.url}/?{urlencode(settings)}", data=sql.encode(), method="POST")
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode(errors="replace")) from None

    def client(self, database: str | None = None, **options: Any) -> Client:
        """A clickhouse-connect client; close it."""
        where = urlsplit(self.url)
        return clickhouse_connect.get_client(
            host=where.hostname,
            port=where.port or 8123,
            secure=where.scheme == "https",
            username=self.username,
            password=self.password,
            database=database,
            **options,
        )


class ForeignClickHouse(ClickHouse, Foreign):
    """The server at ZKP2P_TEST_CLICKHOUSE: http://[user:password@]host:port."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.url = f"{where.scheme}://{where.hostname}:{where.port or 8123}"
        self.username = where.username or self.username
        self.password = where.password or ""


def library() -> Path:
    """libchdb.so, fetched once through npm, its hash checked."""

    def fetch(folder: Path) -> None:
        cache.need("npm")
        packed = (
            folder
            / cache.run("npm", "pack", "--silent", f"{PACKAGE}@{VERSION}", cwd=folder, timeout_seconds=900).split()[-1]
        )
        with packed.open("rb") as file:
            found = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
        if found != SHA512:
            raise Unavailable(f"{PACKAGE}@{VERSION} came with another content than expected (sha512 {found})")
        with tarfile.open(packed) as archive:
            packed_library = archive.extractfile("package/libchdb.so")
            assert packed_library is not None
            with (folder / "libchdb.so").open("wb") as file:
                shutil.copyfileobj(packed_library, file, 1 << 20)
        packed.unlink()

    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Unavailable(f"{PACKAGE} runs on Linux x86_64 with glibc only")
    what = f"ClickHouse {VERSION} from npm, 178 MB"
    return cache.once(f"clickhouse-{VERSION}", what, fetch) / "libchdb.so"


class ClickHouseServer(ClickHouse, ProcessServer):
    """A server of our own on 127.0.0.1; any number may run side by side.

    `timezone`: the server's, by name. `config`: XML that goes inside <clickhouse> of the server's
    configuration. `users`: XML that goes inside <clickhouse> of users.xml (users, profiles, quotas); the
    launcher's own query runs as `default`, which must be there without a password. `username` and `password`
    are what `query` and `client` use. In both XMLs `{folder}` stands for the server's folder.
    """

    def __init__(
        self,
        *,
        timezone: str = "UTC",
        config: str = "",
        users: str | None = None,
        username: str = "default",
        password: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._library = library()
        super().__init__("clickhouse")
        self.http_port, self.tcp_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.username, self.password = username, password
        self._environment = {"TZ": timezone, **(environment or {})}
        self._extra = self._write_config(config, users) if config or users else []

    def command(self) -> Sequence[str]:
        launcher = str(Path(__file__).with_name("clickhouse_server.py"))
        ports = (str(self.http_port), str(self.tcp_port))
        return [sys.executable, launcher, str(self._library), str(self.folder / "data"), *ports, *self._extra]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def ready(self) -> bool:
        if not answers(self.http_port):
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=5) as answer:
                return bool(answer.read() == b"Ok.\n") and answers(self.tcp_port)
        except OSError:
            return False

    def write_users(self, users: str) -> None:
        """Others than those it was made with, from its next start on; `username` and `password` are the caller's."""
        (self.folder / "users.xml").write_text(self._document(users))

    def _write_config(self, config: str, users: str | None) -> list[str]:
        if users is not None:
            self.write_users(users)
            path = self.folder / "users.xml"
            config += f"<users_config>{path}</users_config>"
            config += f"<user_directories><users_xml><path>{path}</path></users_xml></user_directories>"
        (self.folder / "config.xml").write_text(self._document(config))
        return ["--config-file", str(self.folder / "config.xml")]

    def _document(self, inner: str) -> str:
        return f"<clickhouse>{inner.replace('{folder}', str(self.folder))}</clickhouse>\n"
