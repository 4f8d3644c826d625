"""Where the files that are no code are: sql/ and schemas/, in a checkout or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The folder `name` ("sql" or "schemas"), or a file in it ("sql/reports/attempts.sql").

    A wheel carries them as consumer/_data/…; a checkout has them at its root. Raises FileNotFoundError
    where neither is there: the installation is broken.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        found = root / name
        if found.exists():
            return found
    raise FileNotFoundError(
        f"{name} is neither in {_PACKAGE / '_data'} nor in {_PACKAGE.parent}: reinstall zkp2p-consumer"
    )
