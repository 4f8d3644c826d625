"""The whole job in one process, without any server: an in-process broker, the embedded engine, made-up traffic."""

from __future__ import annotations

from consumer.demo.run import run

__all__ = ["run"]
