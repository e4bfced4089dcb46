"""Why a sale has no click id: the site's inventory and the account's payment links together."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import lxml.html
import pytest

from tests.account.stand_in import Stripe, running
from tests.account.test_catalog import LINK as PAYMENT_LINK
from tests.relay.operate.parts import environment, run, run_json
from tests.relay.sales.shapes import charge, new, paid, session
from tests.relay.sales.test_inventory import manifest
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.site import AWAITED, REASONS
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESS = "https://buy.stripe.com/aEU14A9PY00000"
# Name of the payment link, and its surface on the site: kind, pages, pages without the script.
SURFACES = {
    "good": ("link", ["shop.html", "index.html"], []),
    "bare": ("form", ["shop.html", "print.html"], ["print.html"]),
}
LINKS = ("good", "bare", "mail")


def filled(url: str) -> dict[str, str]:
    """Sell through each link, and by own code, with and without a click id."""
    bodies = [
        *paid("known", payment_link="plink_good"),
        *[session(f"good{number}", payment_link="plink_good", client_reference_id=None) for number in range(4)],
        session("bare", payment_link="plink_bare", client_reference_id=None),
        *[session(f"mail{number}", payment_link="plink_mail", client_reference_id=None) for number in range(3)],
        session("other", payment_link="plink_other", client_reference_id=None),
        session("code", payment_link=None, client_reference_id=None),
        charge("own"),
    ]  # fmt: skip
    database = Database(url, [])
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    database.close()
    return environment(url)


def surface(name: str) -> dict[str, Any]:
    """Return what the site has of a payment link."""
    kind, pages, bare = SURFACES[name]
    url = f"{ADDRESS}{name}?prefilled_email=a%40b.example"
    return {"kind": kind, "url": url, "count": 1, "pages": pages, "without_script": bare}


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    """The account that owns the payment links."""
    links = [
        {**PAYMENT_LINK, "id": f"plink_{name}", "url": ADDRESS + name, "livemode": True}
        for name in LINKS
    ]
    state = Stripe(mode="live", links=links)
    with running(state):
        yield state


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site's manifest."""
    file = tmp_path / "tracknow.json"
    file.write_bytes(manifest(surfaces=[surface(name) for name in SURFACES]))
    return file


@pytest.fixture
def ready(environ: dict[str, str], stripe: Stripe, site: Path) -> dict[str, str]:
    """An environment that knows the site and has a key."""
    return {
        **environ,
        "TRACKNOW_RELAY_SITE": str(site),
        "TRACKNOW_RELAY_FORWARD_WAIT": "0",
        "STRIPE_API_KEY": "rk_live_good",
        "TRACKNOW_STRIPE_API_BASE": stripe.base,
    }


def reasons(environ: dict[str, str], *args: str) -> dict[str, str]:
    """List the reasons of the sales without a click id."""
    found = run_json(environ, "sales", "--verdict", "no-click-id", *args)["sales"]
    return {sale["id"]: sale["reason"] for sale in found}


EXPECTED = {
    **{f"cs_good{number}": "page-with-script" for number in range(4)},
    **{f"cs_mail{number}": "link-not-on-site" for number in range(3)},
    "cs_bare": "page-without-script",
    "cs_other": "no-click-id",
    "cs_code": "own-code",
    "ch_own": "own-code",
}


def test_every_reason(ready: dict[str, str], stripe: Stripe) -> None:
    """Each sale gets its own; a link that is not the account's is named."""
    assert reasons(ready) == EXPECTED
    assert set(EXPECTED.values()) == {*REASONS, "no-click-id"} - {AWAITED}
    text = run(ready, "sales").output
    assert "no-click-id (link-not-on-site)" in text
    assert "plink_other: the account of the API key has no such payment link in live mode" in text
    rows = list(csv.DictReader(io.StringIO(run(ready, "sales", "--format", "csv").stdout)))
    assert {row["id"]: row["reason"] for row in rows if row["verdict"] == "no-click-id"} == EXPECTED
    assert {path for _, path, _ in stripe.requests} == {"/v1/payment_links"}


def test_nothing_is_asked_when_no_sale_needs_it(ready: dict[str, str], stripe: Stripe) -> None:
    """A list of sales with click ids, or of own code, asks neither Stripe nor the site."""
    run(ready, "sales", "--verdict", "attributed")
    run(ready, "explain", "cs_known")
    run(ready, "explain", "ch_own")
    assert stripe.requests == []


@pytest.mark.parametrize(
    ("wanted", "reason", "pages", "words"),
    [
        ("cs_good1", "page-with-script", ["shop.html", "index.html"], "refused consent"),
        ("cs_bare", "page-without-script", ["print.html"], "Pages: print.html."),
        ("cs_mail1", "link-not-on-site", [], "The link is on no page of the site"),
        ("ch_own", "own-code", [], "sets no client_reference_id"),
    ],
)
def test_explain_names_reason_and_pages(
    ready: dict[str, str], wanted: str, reason: str, pages: list[str], words: str
) -> None:
    """The finer reason is in the JSON, and in words for people."""
    found = run_json(ready, "explain", wanted)
    assert (found["verdict"], found["reason"], found["pages"]) == ("no-click-id", reason, pages)
    assert found["missing"] is None
    text = " ".join(run(ready, "explain", wanted).output.split())
    assert f"no-click-id ({reason})" in text
    assert words.split(".", maxsplit=1)[0].replace("sets", "set") in text.replace("sets", "set")


def test_the_option_replaces_the_variable(ready: dict[str, str], tmp_path: Path) -> None:
    """--site is used in place of TRACKNOW_RELAY_SITE, whatever that holds."""
    site = ready["TRACKNOW_RELAY_SITE"]
    environ = {**ready, "TRACKNOW_RELAY_SITE": str(tmp_path / "none")}
    assert reasons(environ, "--site", site) == EXPECTED
    for args in (["explain", "cs_bare"], ["report"]):
        assert "no such file or folder" in run(environ, *args).stderr
        assert "no such file" not in run(environ, *args, "--site", site).stderr


def test_buttons_and_tables_name_no_link(ready: dict[str, str], site: Path) -> None:
    """A buy button may be what sold through a link; a pricing table makes sessions without one."""
    button = {"kind": "buy-button", "url": "", "pages": ["b.html"], "without_script": []}
    table = {"kind": "pricing-table", "url": "", "pages": ["t.html"], "without_script": ["t.html"]}
    site.write_bytes(manifest(surfaces=[surface("good"), button, table]))
    found = reasons(ready)
    assert found["cs_mail1"] == "page-with-script"
    assert found["cs_code"] == "page-without-script"
    assert found["ch_own"] == "own-code"
    assert run_json(ready, "explain", "cs_mail1")["pages"] == ["b.html"]


ALONE = {**dict.fromkeys(EXPECTED, "no-click-id"), "cs_code": "own-code", "ch_own": "own-code"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TRACKNOW_RELAY_SITE": ""}, "set --site or TRACKNOW_RELAY_SITE"),
        ({"STRIPE_API_KEY": ""}, "a restricted key with Payment Links: Read"),
        ({"STRIPE_API_KEY": "nonsense"}, "STRIPE_API_KEY: its value is not accepted"),
        ({"STRIPE_API_KEY": "", "STRIPE_API_KEY_FILE": "/none"}, "STRIPE_API_KEY_FILE: '/none'"),
        ({"STRIPE_API_KEY": "rk_live_bad"}, "Stripe does not know this API key"),
        ({"STRIPE_API_KEY": "rk_test_good"}, "a key of test mode"),
        ({"TRACKNOW_STRIPE_API_BASE": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_what_is_missing_is_named(
    ready: dict[str, str], changes: dict[str, str], words: str
) -> None:
    """Without a site or a good key the reasons stop, the output shows why, and nothing fails."""
    environ = {**ready, **changes}
    assert reasons(environ) == ALONE
    for args in (["sales"], ["explain", "cs_mail0"], ["report"], ["report", "--format", "html"]):
        result = run(environ, *args)
        assert words in result.stderr
        assert "nonsense" not in result.output
    assert words in run_json(environ, "report")["missing"]


def test_a_key_without_the_permission(ready: dict[str, str], stripe: Stripe) -> None:
    """The permission is named, and what to do."""
    stripe.denied = ("payment_links",)
    assert reasons(ready) == ALONE
    assert "lacks the permission Payment Links: Read" in run(ready, "sales").stderr


@pytest.mark.parametrize("links", [[{"id": "plink_1"}], ["text"], [{"id": 7, "url": {}}]])
def test_an_answer_that_is_not_stripes(
    ready: dict[str, str], stripe: Stripe, links: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and nothing fails."""
    monkeypatch.setattr(stripe, "_link", lambda link, _given: link)
    stripe.links = links
    assert reasons(ready) == ALONE
    assert "the answer is none of Stripe's" in run(ready, "sales").stderr


@pytest.mark.parametrize(
    "surfaces", [[{"kind": "link", "url": "https://buy.stripe.com/test_other", "pages": ["x"]}], []]
)
def test_the_inventory_of_another_site(
    ready: dict[str, str], site: Path, surfaces: list[Any]
) -> None:
    """Links of which none is the account's prove nothing about the account's sales."""
    site.write_bytes(manifest(surfaces=surfaces))
    if surfaces:
        assert reasons(ready) == ALONE
        assert "none of its payment links belongs to the account" in run(ready, "sales").stderr
    else:
        assert reasons(ready)["cs_good1"] == "link-not-on-site"


def test_a_link_beyond_those_that_are_listed(ready: dict[str, str], site: Path) -> None:
    """A manifest that lists no more surfaces proves no link to be absent."""
    site.write_bytes(manifest(surfaces=[surface("good")] * 1000))
    assert reasons(ready)["cs_mail1"] == "no-click-id"


def test_the_most_useful_fix_comes_first(ready: dict[str, str]) -> None:
    """What can be fixed comes before visitors who came without a click, whatever their number."""
    found = run_json(ready, "report")["advice"]
    assert [(step["payment_link"], step["reason"]) for step in found] == [
        ("plink_mail", "link-not-on-site"),
        (None, "own-code"),
        ("plink_bare", "page-without-script"),
        ("plink_other", "no-click-id"),
        ("plink_good", "page-with-script"),
    ]
    assert [step["sales"] for step in found] == [3, 2, 1, 1, 4]
    first = "3 of 3 sales through plink_mail had no click id: the link is on no page of your site."
    assert found[0]["text"] == first
    assert "without the script are print.html." in found[2]["text"]

    lines = run(ready, "report").output.splitlines()
    assert lines[1] == f"- {first}"
    page = lxml.html.document_fromstring(run(ready, "report", "--format", "html").stdout.encode())
    assert page.xpath("//ol/li[1]/text()") == [first]
    result = run(ready, "report", "--by", "payment-link", "--format", "csv")
    rows = {row["payment-link"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert (rows["plink_mail"]["no_click_id"], rows["plink_mail"]["reason"]) == (
        "3",
        "link-not-on-site",
    )
    assert result.stderr.splitlines()[0] == f"- {first}"


def test_a_script_that_never_works_is_no_usual_thing(ready: dict[str, str], site: Path) -> None:
    """When not one of many sales through a page with the script has an id, the site needs a look."""
    database = Database(ready["TRACKNOW_RELAY_DATABASE"], [])
    bodies = [session(f"m{number}", payment_link="plink_bare", client_reference_id=None) for number in range(9)]  # fmt: skip
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    database.close()
    site.write_bytes(manifest(surfaces=[{**surface("bare"), "without_script": []}]))
    first = run_json(ready, "report")["advice"][0]
    assert (first["payment_link"], first["sales"], first["usual"]) == ("plink_bare", 10, False)
    assert "`tracknow-static probe`" in first["text"]


def test_pages_from_elsewhere_cannot_steer_a_terminal(ready: dict[str, str], site: Path) -> None:
    """Names of pages are text, whatever bytes they have."""
    entry = {**surface("bare"), "pages": ["\x1b[2Jx.html"], "without_script": ["\x1b[2Jx.html"]}
    site.write_bytes(manifest(surfaces=[entry]))
    for args in (["explain", "cs_bare"], ["report"], ["report", "--format", "html"]):
        assert "\x1b" not in run(ready, *args).output
