"""``check``: every way to a payment page, where it is, and what the browser makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.audit.conftest import LINK, page

if TYPE_CHECKING:
    from tests.audit.conftest import Site

CARRIES = "carries the click id"
NEWER = f"{CARRIES} in newer browsers"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (f'<a href="{LINK}">buy</a>', "link", CARRIES),
        (f'<form action="{LINK}"></form>', "form", CARRIES),
        ("<stripe-buy-button></stripe-buy-button>", "buy-button", f"{CARRIES}, as"),
        ("<stripe-pricing-table></stripe-pricing-table>", "pricing-table", f"{CARRIES}, as"),
        (f"<button onclick=\"go('{LINK}')\">b</button>", "handler", NEWER),
        (f"<script>var a = '{LINK}'</script>", "script", NEWER),
        (f"<script>location = '{LINK}'</script>", "script", "click id lost: the page redirects"),
        (f"<script>open('{LINK}')</script>", "script", "click id lost: a script opens a window"),
        (
            f"<script>const u = '{LINK}'; window.open(u)</script>",
            "script",
            "click id lost: a script",
        ),
        (f"<script>x.open('GET', '/'); go('{LINK}')</script>", "script", NEWER),
        (f"<script>function buy() {{ location = '{LINK}' }}</script>", "script", NEWER),
        (f"<script>b.onclick = () => {{ location = '{LINK}' }}</script>", "script", NEWER),
        (f"<p data-url='{LINK}'></p>", "data", "depends on the script"),
        (f"<iframe src='{LINK}'></iframe>", "frame", "click id lost: nothing is added"),
        (f"<a href='/go?to={LINK}'>b</a>", "parameter", "depends on the page"),
        (f"<a href='//t.example/?{LINK}'>b</a>", "parameter", "click id lost: it leads through"),
        (f"<noscript><a href='{LINK}'>b</a></noscript>", "link", "click id lost: only browsers"),
        (f'<a href="{LINK}?client_reference_id=null">b</a>', "link", f"{CARRIES}, in place of"),
        (f'<a href="{LINK}?client_reference_id=me">buy</a>', "link", "keeps its own reference"),
        (f'<a href="{LINK}?client_reference_id=a%20b">b</a>', "link", f"{CARRIES}, in place of"),
        (
            f'<meta http-equiv="refresh" content="0; url={LINK}">',
            "refresh",
            NEWER,
        ),
    ],
)
def test_what_the_browser_makes_of_it(site: Site, body: str, kind: str, text: str) -> None:
    """Kind, line and text of each way to a payment page, on a page as it should be."""
    site.write("a.html", page(body)).inject()
    ((found, line, shown),) = site.attributions()
    assert (found, line) == (kind, 3)
    assert shown.startswith(text)


def test_settings_change_the_text(site: Site) -> None:
    """existing_reference: overwrite, and window_open."""
    site.write("a.html", page(f'<a href="{LINK}?client_reference_id=me">buy</a>'))
    site.inject(existing_reference="overwrite")
    assert "in place of its own" in site.attributions("--existing-reference overwrite")[0][2]
    site.write("a.html", page(f"<script>open('{LINK}')</script>")).inject(window_open=True)
    assert "by the option window_open" in site.attributions("--window-open")[0][2]


def test_ways_that_lose_the_click_id_are_counted(site: Site) -> None:
    """On a page without the script every route loses it; the summary counts them."""
    site.write("a.html", page(f'<a href="{LINK}">1</a> <a href="{LINK}">2</a>'))
    result = site.check(code=1)
    assert "click id lost: the page has no script" in result.output
    assert "2 payment routes; 2 of them lose the click id" in result.output


def test_the_same_on_many_pages_is_one_entry(site: Site) -> None:
    """A menu's link is listed once, with its first place and the number of pages."""
    for number in range(30):
        site.write(f"{number:02}.html", page(f'<a href="{LINK}">buy</a>'))
    result = site.inject().check()
    assert result.output.count(LINK) == 1
    assert "site/00.html:3 and on 29 more pages" in result.output


def test_pages_are_counted_not_places(site: Site) -> None:
    """A link that is twice on each of two pages is on one more page."""
    for name in ("a.html", "b.html"):
        site.write(name, page(f'<a href="{LINK}">1</a> <a href="{LINK}">2</a>'))
    assert "site/a.html:3 and on 1 more page\n" in site.inject().check().output


def test_own_hosts(site: Site) -> None:
    """A custom domain is a payment page when the settings name it."""
    site.write("a.html", page('<a href="https://pay.shop.example/b/1">buy</a>'))
    site.inject(payment_hosts="pay.shop.example")
    assert site.attributions("--payment-hosts pay.shop.example") == [("link", 3, CARRIES)]


def test_what_a_build_finds_is_found_here(site: Site) -> None:
    """Test-mode link, plain http, hard-coded reference, the vendor's snippet: as in a build."""
    body = (
        '<a href="https://buy.stripe.com/test_x">1</a>\n'
        '<a href="http://buy.stripe.com/x">2</a>\n'
        f'<a href="{LINK}?client_reference_id=me">3</a>\n'
        "<script>localStorage.setItem('tn_click_id', 1)</script>\n"
    )
    site.write("a.html", page(body)).inject()
    assert site.codes() == [
        "a.html:3 TN101",
        "a.html:4 TN102",
        "a.html:5 TN103",
        "a.html:6 TN201",
    ]
    assert site.codes("--test-links error", code=1)[0] == "a.html:3 TN101"


def test_lines_are_those_of_the_file_on_the_disk(site: Site) -> None:
    """With all of the script in the page, which has lines of its own, lines still point there."""
    site.write("a.html", page(f'<a href="{LINK}">buy</a>')).inject(delivery="inline")
    lines = (site.root / "a.html").read_text().splitlines()
    ((_, line, _),) = site.attributions("--delivery inline")
    assert LINK in lines[line - 1]
    site.inject(delivery="inline", exclude="none")
    ((_, line, _),) = site.attributions("--param other --delivery inline", code=1)
    assert LINK in lines[line - 1]
