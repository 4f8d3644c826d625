"""Refuses HTTP answers whose header broke off.

Python's `http.client` takes the end of a connection for the end of the header. Where that happens before the line
that says how long the body is, what remains looks like a success with an empty body: a query that found nothing, such
as "no ledger row, no orphan". ClickHouse says the length of every answer, so one without it is no answer.
"""

from __future__ import annotations

from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError
from urllib3.response import HTTPResponse


def _whole(answer: HTTPResponse) -> HTTPResponse:
    if "Transfer-Encoding" not in answer.headers and "Content-Length" not in answer.headers:
        answer.close()
        raise ProtocolError("Connection broken: the answer's header is not complete")
    return answer


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does itself
        return _whole(super().getresponse())


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does itself
        return _whole(super().getresponse())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def insist_on_whole_answers(manager: PoolManager) -> None:
    """For all connections that it makes from now on; those it has are closed."""
    classes: dict[str, Any] = {"http": _Pool, "https": _SecurePool}
    manager.pool_classes_by_scheme = classes
    manager.clear()
