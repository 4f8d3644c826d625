"""Every question in every form, on nothing, little and plenty; and the page, as a browser draws it."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from PIL import Image

from consumer.core.errors import Stop
from consumer.operate.report import QUESTIONS, Format, Question, run, run_report
from tests.integration.warehouse import Warehouse, noon
from tests.servers import ClickHouse

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def house(clickhouse: ClickHouse, database: str) -> Iterator[Warehouse]:
    with clickhouse.client() as client:
        yield Warehouse(client, database)


def said(house: Warehouse, question: Question | None, form: Format, days: int | None = None) -> str:
    out = io.StringIO()
    run_report(house.client, house.database, question, days, form, out)
    return out.getvalue()


def event(house: Warehouse, kind: str, method: str, user: int = 7, days_ago: int = 1) -> None:
    house.run(
        "INSERT INTO {db}.zkp2p_payment_events (userId, sessionId, eventType, paymentMethod, usdAmount, buzzAmount,"
        f" timestamp) VALUES ({user}, generateUUIDv4(), '{kind}', '{method}', 12.5, 500, {noon(days_ago)})"
    )


def test_nothing_yet(house: Warehouse) -> None:
    assert orjson.loads(said(house, None, "json")) == {q: [] for q in QUESTIONS}
    assert said(house, None, "table").count("nothing yet") == 4
    assert list(csv.reader(io.StringIO(said(house, "methods", "csv")))) == [
        ["paymentMethod", "total_attempts", "percentage"]
    ]
    page = said(house, None, "html")
    assert "No events yet." in page
    assert "<svg" not in page


def test_a_rate_of_nothing_is_no_rate(house: Warehouse) -> None:
    event(house, "error", "wise")
    assert orjson.loads(said(house, "outcomes", "json")) == {
        "outcomes": [
            {
                "paymentMethod": "wise", "attempts": 0, "successes": 0, "errors": 1, "abandons": 0,
                "success_rate": None, "error_rate": None, "abandon_rate": None, "no_end": 0,
            }
        ]
    }  # fmt: skip
    assert orjson.loads(said(house, "methods", "json"))["methods"][0]["percentage"] is None
    assert orjson.loads(said(house, "dashboard", "json"))["dashboard"][0]["success_rate"] is None
    assert said(house, "outcomes", "csv").splitlines()[1] == "wise,0,0,1,0,,,,0"
    assert said(house, "outcomes", "table").splitlines()[2].split() == ["wise", *"0010---0"]
    assert said(house, None, "html").count("<svg") == 4  # no share of methods that nobody tried


def test_the_answers_are_right(house: Warehouse) -> None:
    for method in ("venmo", "venmo", "venmo", "wise"):
        event(house, "attempt", method)
    event(house, "success", "venmo")
    event(house, "success", "wise")  # the same buyer
    event(house, "abandoned", "venmo", days_ago=2)
    event(house, "success", "zelle", days_ago=20)
    answers = orjson.loads(said(house, None, "json"))
    assert [(row["total_attempts"], row["unique_users"]) for row in answers["attempts"]] == [(4, 1), (0, 0)]
    assert [(row["paymentMethod"], row["percentage"]) for row in answers["methods"]] == [
        ("venmo", 75.0), ("wise", 25.0), ("zelle", 0.0)
    ]  # fmt: skip
    venmo, wise = answers["outcomes"]
    assert (venmo["success_rate"], venmo["abandon_rate"], venmo["no_end"]) == (33.33, 33.33, 1)
    assert (wise["success_rate"], wise["no_end"]) == (100.0, 0)
    assert [row["total_usd"] for row in answers["dashboard"]] == [12.5, 12.5, 0.0, 12.5]
    assert len(orjson.loads(said(house, "dashboard", "json", days=2))["dashboard"]) == 3
    assert said(house, None, "csv").count("# ") == 4


def test_a_file(house: Warehouse, tmp_path: Path) -> None:
    target = tmp_path / "report.csv"
    run(house.client, house.database, "methods", days=None, format="csv", output=target)
    assert target.read_text() == "paymentMethod,total_attempts,percentage\n"
    with pytest.raises(Stop, match=r"nowhere/x\.csv can't be written: No such file"):
        run(house.client, house.database, "methods", days=None, format="csv", output=tmp_path / "nowhere" / "x.csv")


class Page(HTMLParser):
    """What a page is made of, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "action", "xlink:href"}]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []


def plenty(house: Warehouse) -> str:
    for day in range(1, 31):
        house.land(0, 1000 * day, 20 * day, at=noon(day))
    return said(house, None, "html")


def test_the_page_needs_nothing_else(house: Warehouse) -> None:
    text = plenty(house)
    page = Page()
    page.feed(text)
    page.close()
    assert page.tags.count("svg") == 5
    assert page.tags.count("table") == 4
    assert "script" not in page.tags
    assert len(set(page.ids)) == len(page.ids), "two drawings share a name"
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text.replace("url(#", "")
    assert len(text) < 400_000
    assert text == said(house, None, "html"), "the same data must draw the same page"
    one = said(house, "methods", "html")
    assert one.count("<svg") == one.count("<table") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page was looked at by its elements only")
def test_a_browser_draws_it(house: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(plenty(house))
    subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1900",
            f"--screenshot={tmp_path / 'page.png'}", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    with Image.open(tmp_path / "page.png") as picture:
        colours = {colour: count for count, colour in picture.convert("RGB").getcolors(1 << 24) or []}
    for name, colour, pixels in (
        ("attempts", (0x25, 0x63, 0xEB), 5_000),
        ("succeeded", (0x16, 0xA3, 0x4A), 5_000),
        ("errors", (0xDC, 0x26, 0x26), 5_000),
        ("abandoned", (0xF5, 0x9E, 0x0B), 5_000),
        ("a method", (0xDB, 0x27, 0x77), 3_000),
    ):
        assert colours.get(colour, 0) > pixels, f"{name} is not in the picture"
