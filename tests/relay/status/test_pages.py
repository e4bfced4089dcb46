"""What the status page shows: problems, destinations, a chart, lists, one sale; and hostile input."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

import lxml.html
import pytest

from tests.events import CREATED
from tests.relay.operate.parts import database_of, environment
from tests.relay.operate.test_sales import filled
from tests.relay.sales.shapes import charge, new, paid, refund, session
from tests.relay.status.parts import application, authorization, get
from tests.relay.status.test_serve import HOSTILE_TARGETS
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.verdicts import CODES
from tracknow_static.relay.status.chart import TONES, chart, months
from tracknow_static.relay.status.numbers import SiteReader
from tracknow_static.relay.status.pages import PAGE
from tracknow_static.relay.store.events import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.app import Relay

NOW = int(time.time())


@pytest.fixture
def environ(sqlite_url: str) -> dict[str, str]:
    """The environment of five sales of the past."""
    return filled(sqlite_url)


def sold(url: str) -> Relay:
    """A relay with five sales of the past, and four of today."""
    environ = filled(url)
    database = database_of(environ)
    at = NOW - 3600
    bodies = [
        *paid("today", created=at),
        *paid("lost", created=at - 60, client_reference_id=None),
        *paid("undone", created=at - 120, amount_total=123456789),
        session("delayed", created=at - 180, payment_status="unpaid"),
        refund("undone", 2000, at + 60 - CREATED),
    ]
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    database.close()
    return application(environ)


@pytest.fixture
def relay(sqlite_url: str) -> Iterator[Relay]:
    """That relay on SQLite."""
    made = sold(sqlite_url)
    yield made
    made.stop(30)


@pytest.fixture
def either(database_url: str) -> Iterator[Relay]:
    """That relay on each database."""
    made = sold(database_url)
    yield made
    made.stop(30)


def shown(relay: Relay, target: str) -> Any:
    """Return a page as a tree of elements; the answer must be a 200."""
    status, _, text = get(relay, target)
    assert status == 200, text
    return lxml.html.document_fromstring(text)


def words(tree: Any, selector: str) -> list[str]:
    """Return the texts of elements."""
    return [" ".join(one.text_content().split()) for one in tree.xpath(selector)]


def sales_in(tree: Any) -> list[str]:
    """Return the ids of the sales that a page links to, in order."""
    links = tree.xpath("//tbody//a/@href")
    return [link.rpartition("/")[2] for link in links]


def test_the_overview(either: Relay) -> None:
    """What needs attention comes with its command; then numbers, destinations, sales, refunds."""
    tree = shown(either, "/status")
    assert words(tree, "//h1") == ["One thing needs attention"]
    problem, command = words(tree, "//ol[@class='problems']/li/p")
    assert problem.startswith("http://127.0.0.1:9/hook has 1 dead letter.since ")
    assert command == "tracknow-relay list --state dead"
    figures = dict(
        zip(
            words(tree, "//dl[@class='figures']//dt"),
            words(tree, "//dl[@class='figures']//dd"),
            strict=True,
        )
    )
    assert figures["Sales"] == "3"
    assert figures["Paid"] == "1,234,607.89 EUR"
    (link,) = tree.xpath("//ul[@class='counts']//a[contains(@href, 'no-click-id')]/@href")
    assert len(sales_in(shown(either, f"/{link}"))) == 1, "the list has what was counted"
    assert words(tree, "//ul[@class='destinations']//h3") == ["http://127.0.0.1:9/hook active"]
    assert len(sales_in(tree)) == 8 + 2
    assert words(tree, "//h2") == [
        "The last 30 days",
        "Sales by month",
        "Destinations",
        "Latest sales",
        "Refunds to reverse",
    ]


def test_an_empty_database_shows_what_to_do(sqlite_url: str) -> None:
    """Before the first event the page names the command that connects Stripe."""
    made = application(environment(sqlite_url))
    tree = shown(made, "/status")
    assert words(tree, "//h1") == ["Everything is well"]
    assert any("stripe setup --relay-url" in text for text in words(tree, "//code"))
    assert "No sale yet." in words(tree, "//p")
    for path in ("/status/sales", "/status/refunds"):
        assert len(words(shown(made, path), "//p[@class='empty']")) == 1
    made.stop(30)


def test_the_list_of_sales(either: Relay) -> None:
    """All sales, the newest first, each with its verdict, and filters that count together."""
    tree = shown(either, "/status/sales")
    ids = ["cs_today", "cs_lost", "cs_undone", "cs_delayed", "cs_back", "cs_wait", "cs_bad"]
    assert [one for one in sales_in(tree) if one in ids] == ids
    tree = shown(either, "/status/sales?verdict=rejected")
    assert sales_in(tree) == ["cs_bad"]
    assert words(tree, "//option[@selected]") == ["rejected"]
    tree = shown(either, "/status/sales?link=plink_1&reference=click_wait&since=2026-09-01")
    assert sales_in(tree) == ["cs_wait"]
    assert tree.xpath("//input[@name='since']/@value") == ["2026-09-01"]
    tree = shown(either, "/status/sales?until=2020-01-01")
    assert words(tree, "//p[@class='empty']") == ["No sale matches."]


def test_pages_of_the_list_hold_every_sale_once(environ: dict[str, str]) -> None:
    """Links lead from page to page, and keep the filter."""
    database = database_of(environ)
    store(
        database,
        [
            new(session(f"many{number:03}", created=NOW - number // 3, payment_link="plink_x"))
            for number in range(2 * PAGE + 5)
        ],
    )
    Ledger(database).catch_up(60)
    database.close()
    made = application(environ)
    found: list[str] = []
    target: str | None = "/status/sales?link=plink_x"
    sizes = []
    while target:
        tree = shown(made, target)
        sizes.append(len(sales_in(tree)))
        found += sales_in(tree)
        following = tree.xpath("//a[@rel='next']/@href")
        target = f"/status/{following[0].removeprefix('../status/')}" if following else None
    assert sizes == [PAGE, PAGE, 5]
    assert len(set(found)) == 2 * PAGE + 5
    made.stop(30)


def test_one_sale(either: Relay) -> None:
    """The story that `explain` prints, with the same words; any id of the sale leads to it."""
    tree = shown(either, "/status/sales/cs_bad")
    assert words(tree, "//h1") == ["20.00 EUR rejected"]
    happened = words(tree, "//ol[@class='story']//strong")
    assert happened[0] == "created at Stripe"
    assert "dead letter" in happened
    assert "received" in happened
    assert words(tree, "//code[@class='command']") == ["tracknow-relay explain cs_bad"]
    assert words(shown(either, "/status/sales/ch_bad"), "//h1") == ["20.00 EUR rejected"]
    assert words(shown(either, "/status/sales/cs_none"), "//h1") == ["20.00 EUR no-click-id"]


def test_refunds(either: Relay) -> None:
    """Click id, charge and amounts of what is to be reversed, the newest first."""
    rows = words(shown(either, "/status/refunds"), "//tbody/tr")
    assert len(rows) == 2
    assert rows[0].startswith("click_undone")
    assert "500 JPY of 2,000 JPY" in rows[1].replace("JPYof", "JPY of")


def test_no_personal_data(relay: Relay) -> None:
    """Names, addresses, customers' ids and secrets of destinations are on no page."""
    for target in ("/status", "/status/sales", "/status/refunds", "/status/sales/cs_today"):
        text = get(relay, target)[2]
        assert "Someone" not in text
        assert "example.com" not in text
        assert "cus_" not in text


def test_hostile_requests(postgres_url: str) -> None:
    """Under WSGI and on PostgreSQL as in `serve` on SQLite."""
    made = application(filled(postgres_url))
    for target, wanted in HOSTILE_TARGETS.items():
        path, _, asked = target.partition("?")
        name = unquote_to_bytes(path).decode("latin-1")
        status, headers, text = get(made, "/status", PATH_INFO=name, QUERY_STRING=asked)
        assert status == wanted, target
        assert "<script" not in text
        assert "<img" not in text
        assert not any("\n" in value for value in headers.values())
    made.stop(30)


class _Markup(HTMLParser):
    """Collects the tags of a page, and attributes that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.events: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.events += [
            name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")
        ]


@pytest.mark.parametrize(
    "name",
    [
        '"><script>alert(1)</script>',
        "' onclick='x",
        "a/../../b?c#d",
        "\u202e\u2028 x",
        "{{7777*7777}}",
    ],
)
def test_ids_from_outside_are_text(sqlite_url: str, name: str) -> None:
    """Ids, click ids and links of an event are shown as they are; each sale's link leads to it."""
    environ = environment(sqlite_url)
    database = database_of(environ)
    ids: dict[str, Any] = {"payment_intent": f"pi_{name}", "created": NOW}
    click: dict[str, Any] = {
        "client_reference_id": f"click {name}",
        "payment_link": f"plink {name}",
    }
    charged = {**ids, "id": f"ch_{name}", "amount_refunded": 700}
    bodies: list[dict[str, Any]] = [
        session("a", id=f"cs_{name}", **ids, **click),
        charge("a", "refunded", at=NOW - CREATED, **charged),
    ]
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    database.close()
    made = application(environ)
    for target in ("/status", "/status/sales", "/status/refunds"):
        tree = shown(made, target)
        (link, *_) = tree.xpath("//tbody//a/@href")
        assert link.endswith(quote(f"cs_{name}", safe="")), target
        assert "60481729" not in words(tree, "//tbody")[0]
    status, _, text = get(
        made, "/status", PATH_INFO=f"/status/sales/cs_{name}".encode().decode("latin-1")
    )
    assert status == 200
    page = _Markup()
    page.feed(text)
    assert "script" not in page.tags
    assert page.events == []
    made.stop(30)


def test_links_are_relative(relay: Relay) -> None:
    """A proxy may publish the relay under a path of its own."""
    for target in ("/status", "/status/sales", "/status/sales/cs_bad"):
        tree = shown(relay, target)
        links = tree.xpath("//a/@href | //form/@action")
        assert links
        assert all(re.match(r"(\.\./)*status(/|$)|#", link) for link in links), target


def test_every_verdict_has_a_place_in_the_chart_or_none() -> None:
    """Verdicts without money are in no column; all others are."""
    without = {"unpaid", "payment-failed", "expired", "test"}
    assert set(TONES) == set(CODES) - without - {"not-received"}


def test_the_chart_at_the_turn_of_a_year() -> None:
    """Twelve months up to now; columns as high as their share of a round number."""
    shown_months = months(1_769_904_000.0)  # 2026-02-01
    assert [f"{one:%Y-%m}" for one in shown_months[:2]] == ["2025-03", "2025-04"]
    assert f"{shown_months[-1]:%Y-%m}" == "2026-02"
    made = chart(
        shown_months,
        {(202602, "attributed"): 30, (202602, "no-click-id"): 20, (202512, "expired"): 9},
    )
    assert (made.top, made.total, made.best.total) == (50, 50, 50)
    assert [(part.tone, part.y, part.height) for part in made.columns[-1].parts] == [
        ("good", 40.0, 60.0),
        ("none", 0.0, 40.0),
    ]
    assert chart(shown_months, {}).total == 0


def test_the_site_is_read_in_the_background(relay: Relay, tmp_path: Any) -> None:
    """A page does not wait for it, and it is not read again for the next page."""
    reader = SiteReader(replace(relay.config, site=str(tmp_path)))
    deadline = time.monotonic() + 100
    while not reader.current().missing and time.monotonic() < deadline:
        time.sleep(0.01)
    found = reader.current()
    assert "Site inventory" in found.missing
    assert reader.current() is found
    assert SiteReader(relay.config).current().missing == ""


def test_reloading_sums_up_once(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums that took long are kept for longer: who reloads does not keep the disk busy."""
    from tracknow_static.relay.status import numbers

    made: list[float] = []
    original = numbers.Summary._sum_up

    def counted(self: numbers.Summary, now: float) -> numbers.Numbers:
        made.append(now)
        return original(self, now)

    monkeypatch.setattr(numbers.Summary, "_sum_up", counted)
    monkeypatch.setattr(numbers, "_KEPT", 1e6)
    for _ in range(5):
        assert get(relay, "/status", HTTP_AUTHORIZATION=authorization())[0] == 200
    assert len(made) == 1
