"""Certificates made on the spot by openssl, and TLS before a server that has none of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

from tests.servers import cache

_OPENSSL = """
[ca]
default_ca = ours
[ours]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


class Authority:
    """A certificate authority in a folder of its own. Raises Unavailable where there is no openssl."""

    def __init__(self, folder: Path, name: str) -> None:
        cache.need("openssl")
        self._folder = folder
        folder.mkdir()
        (folder / "openssl.cnf").write_text(_OPENSSL)
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01\n")
        self.certificate = folder / "ca.crt"
        """What a client trusts to trust everything issued here."""
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt"),
            *("-days", "2", "-subj", f"/CN={name}", "-extensions", "root", "-config", "openssl.cnf"),
        )

    def issue(self, name: str, *, expired: bool = False, address: str = "IP:127.0.0.1") -> Path:
        """A server's key and certificate in one PEM file, valid for a day or since ever expired."""
        csr, crt, key = f"{name}.csr", f"{name}.crt", f"{name}.key"
        self._openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", f"/CN={name}"),
            *("-addext", f"subjectAltName={address}", "-config", "openssl.cnf"),
        )
        dates = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z") if expired else ("-days", "1")
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", "ca.crt", "-keyfile", "ca.key"),
            *("-in", csr, "-out", crt, *dates),
        )
        pem = self._folder / f"{name}.pem"
        pem.write_text((self._folder / key).read_text() + (self._folder / crt).read_text())
        return pem

    def _openssl(self, *arguments: str) -> None:
        cache.run("openssl", *arguments, cwd=self._folder, timeout_seconds=60)


class TlsProxy:
    """Ends TLS on a port of 127.0.0.1 and passes the bytes on to a plain port there."""

    def __init__(self, target: int, pem: Path) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection until either side ends it; a client that does not like our certificate just goes."""
        client.settimeout(60)
        with contextlib.suppress(OSError), client:
            with self._context.wrap_socket(client, server_side=True) as tls:
                with socket.create_connection(("127.0.0.1", self._target), timeout=60) as server:
                    upwards = threading.Thread(target=_pump, args=(tls, server), daemon=True)
                    upwards.start()
                    _pump(server, tls)
                    upwards.join(60)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
