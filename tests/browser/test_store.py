"""What the browser keeps of a landing URL, for how long, and beside Tracknow's own snippet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored

if TYPE_CHECKING:
    from tests.browser.shops import Shop

DAY = 86400
LONG = "x" * 200

# What Tracknow documents: a script that stores, and one that reads the cookie on paying pages.
VENDOR_STORES = """
const id = new URLSearchParams(location.search).get('click_id');
if (id) {
  const until = new Date();
  until.setDate(until.getDate() + 365);
  document.cookie = 'tn_click_id=' + encodeURIComponent(id) + '; expires=' + until.toUTCString() +
    '; path=/; Secure; SameSite=Lax';
  localStorage.setItem('tn_click_id', id);
}
"""
VENDOR_READS = """
for (const part of document.cookie.split(';')) {
  const [name, value] = part.trim().split('=');
  if (name === 'tn_click_id') return decodeURIComponent(value);
}
return null;
"""


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (f"?click_id={ID}", ID),
        (f"?click_id={LONG}", LONG),
        ("?utm_source=a&click_id=b&x=1#click_id=c", "b"),
        ("?click_id=&click_id={click_id}&click_id=a.b&click_id=first&click_id=second", "first"),
        ("?utm_source=news?click_id=after", "after"),
        ("?click%5Fid=%61bc", "abc"),
        ("?a=%E0%A4%A&click_id=good", "good"),
        ("?click_id=", None),
        ("?click_id={click_id}", None),
        ("?click_id=%7Bclick_id%7D", None),
        ("?click_id=a%20b", None),
        (f"?click_id={LONG}x", None),
        ("?click_id=%E0%A4%A", None),
        ("?xclick_id=a&click_idx=b&CLICK_ID=c", None),
        ("", None),
    ],
)
def test_landing(shop: Shop, query: str, kept: str | None) -> None:
    """The first value that Stripe would accept is kept, in both stores; anything else is not."""
    browser = shop.visit("<p>Hello", path="/" + query)
    assert stored(browser) == (kept, kept)


def test_bad_id_never_replaces_a_good_one(shop: Shop) -> None:
    """A later landing with an empty, unexpanded or invalid id leaves the stored one alone."""
    browser = shop.visit(shop.link())
    for query in ("?click_id=", "?click_id={click_id}", "?click_id=a.b", "?click_id=%", "?x=1"):
        browser.open(shop.url("/" + query))
        assert stored(browser) == (ID, ID), query
    browser.click("#buy")
    assert shop.left().query == REFERENCE


@pytest.mark.parametrize("days", [365, 30])
def test_cookie_attributes(shop: Shop, days: int) -> None:
    """The cookie is the page's own, Secure, SameSite=Lax, for the whole site and the window."""
    shop.use(window_days=days)
    browser = shop.visit("<p>Hello")
    (cookie,) = (cookie for cookie in browser.cookies() if cookie["name"] == "tn_click_id")
    assert cookie["domain"].lstrip(".") == shop.host
    assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == ("/", True, False)
    assert cookie["sameSite"] == "Lax"
    assert abs(cookie["expiry"] - time.time() - days * DAY) < DAY


def test_names_of_ones_own(shop: Shop) -> None:
    """Parameter and storage can have other names; the usual ones then mean nothing."""
    shop.use(param="via", storage_name="partner")
    browser = shop.visit("<p>Hello", path="/?click_id=usual&via=own")
    assert stored(browser, "partner") == ("own", "own")
    assert stored(browser) == (None, None)


@pytest.mark.parametrize(("attribution", "kept"), [("last", "second"), ("first", "first")])
def test_attribution(shop: Shop, attribution: str, kept: str) -> None:
    """With several affiliates the last click counts, or the first one, as the merchant chose."""
    shop.use(attribution=attribution)
    browser = shop.visit(shop.link(), path="/?click_id=first")
    browser.open(shop.url("/?click_id=second"))
    assert stored(browser) == (kept, kept)
    browser.click("#buy")
    assert shop.left().query == f"client_reference_id={kept}"


def test_reads_what_the_vendor_wrote(shop: Shop) -> None:
    """An id that Tracknow's own snippet stored is carried by ours."""
    shop.page(f"<script>{VENDOR_STORES}</script>", "/theirs", script=False)
    shop.page(shop.link())
    shop.browser.open(shop.url(f"/theirs?click_id={ID}"))
    shop.browser.open(shop.url())
    shop.browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_vendor_reads_what_ours_wrote(shop: Shop) -> None:
    """Tracknow's reader finds the id that ours stored."""
    browser = shop.visit("<p>Hello")
    assert browser.run(VENDOR_READS) == ID


def test_beside_the_vendor_snippet(shop: Shop) -> None:
    """With the vendor's scripts on the same page the last click counts and is sent once."""
    theirs = f"""<script>{VENDOR_STORES}
    addEventListener('load', () => {{
      const id = (() => {{ {VENDOR_READS} }})();
      for (const link of document.querySelectorAll('a[href*="buy.stripe.com"]'))
        if (id && !link.href.includes('client_reference_id'))
          link.href += (link.href.includes('?') ? '&' : '?') + 'client_reference_id=' + id;
    }})</script>"""
    browser = shop.visit(theirs + shop.link("?locale=pt"), path="/?click_id=older")
    browser.open(shop.url(f"/?click_id={ID}"))
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == f"locale=pt&{REFERENCE}"


def test_lost_cookie_is_restored(shop: Shop) -> None:
    """A lost cookie comes back from localStorage, for what is left of the window."""
    shop.use(window_days=100)
    browser = shop.visit(shop.link())
    browser.run(
        """document.cookie = 'tn_click_id=;max-age=0;path=/;secure';
        const [at, id] = localStorage.tn_click_id_at.split(' ');
        localStorage.tn_click_id_at = (at - 60 * 86400e3) + ' ' + id"""
    )
    browser.open(shop.url())
    assert stored(browser) == (ID, ID)
    (cookie,) = (cookie for cookie in browser.cookies() if cookie["name"] == "tn_click_id")
    assert abs(cookie["expiry"] - time.time() - 40 * DAY) < DAY


def test_lost_local_storage_is_restored(shop: Shop) -> None:
    """A lost localStorage entry comes back from the cookie."""
    browser = shop.visit("<p>Hello")
    browser.run("localStorage.clear()")
    browser.open(shop.url())
    assert stored(browser) == (ID, ID)


def test_window_holds_for_local_storage(shop: Shop) -> None:
    """An id older than the window is neither restored nor sent."""
    browser = shop.visit(shop.link())
    browser.run(
        """document.cookie = 'tn_click_id=;max-age=0;path=/;secure';
        const [at, id] = localStorage.tn_click_id_at.split(' ');
        localStorage.tn_click_id_at = (at - 366 * 86400e3) + ' ' + id"""
    )
    browser.open(shop.url())
    assert stored(browser)[0] is None
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


def test_sandboxed_frame(shop: Shop) -> None:
    """Where all storage throws, the id lives in the page's memory and reaches Stripe."""
    shop.page(
        f'<a id=buy target=_top style="position:fixed;inset:0" href="{shop.pay}">Buy</a>', "/inner"
    )
    shop.page(
        '<iframe sandbox="allow-scripts allow-top-navigation" width=300 height=200'
        f' src="/inner?click_id={ID}"></iframe>',
        script=False,
    )
    shop.browser.open(shop.url())
    shop.browser.click("iframe")
    assert shop.left().query == REFERENCE


def test_plain_http(shop: Shop) -> None:
    """On a site without HTTPS, where no Secure cookie exists, localStorage carries the id."""
    shop.page(shop.link())
    shop.browser.open(shop.url(f"/?click_id={ID}", scheme="http"))
    assert stored(shop.browser) == (None, ID)
    shop.browser.open(shop.url(scheme="http"))
    shop.browser.click("#buy")
    assert shop.left().query == REFERENCE


@pytest.mark.parametrize("host", ["localhost", "127.0.0.9"])
def test_loopback(shop: Shop, host: str) -> None:
    """A preview on this machine without HTTPS keeps the id in the cookie as well."""
    shop.page(shop.link(), host=host)
    shop.browser.open(shop.url(f"/?click_id={ID}", host=host, scheme="http"))
    assert stored(shop.browser) == (ID, ID)
    # The next landing replaces what the one before wrote, whatever form its cookie had.
    shop.browser.open(shop.url("/?click_id=newer", host=host, scheme="http"))
    assert stored(shop.browser) == ("newer", "newer")


def test_cookie_domain(shop: Shop) -> None:
    """A cookie for the whole domain is read on another subdomain of it."""
    shop.use(cookie_domain=shop.host)
    shop.page("<p>Hello", host=f"www.{shop.host}")
    shop.page(shop.link(), host=f"store.{shop.host}")
    shop.browser.open(shop.url(f"/?click_id={ID}", host=f"www.{shop.host}"))
    cookies = [cookie for cookie in shop.browser.cookies() if cookie["name"] == "tn_click_id"]
    assert [cookie["domain"].lstrip(".") for cookie in cookies] == [shop.host]
    shop.browser.open(shop.url(host=f"store.{shop.host}"))
    shop.browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_cookie_domain_that_is_refused(shop: Shop) -> None:
    """Where browsers refuse the domain, as on github.io, the page's own host gets the cookie."""
    host = f"{shop.key}.github.io"
    shop.use(cookie_domain="github.io")
    shop.visit("<p>Hello", host=host)
    cookies = [cookie for cookie in shop.browser.cookies() if cookie["name"] == "tn_click_id"]
    assert [(cookie["domain"].lstrip("."), cookie["value"]) for cookie in cookies] == [(host, ID)]


def test_older_host_cookie_does_not_hide_the_domain_one(shop: Shop) -> None:
    """A cookie from the time before ``cookie_domain`` does not win over a newer click."""
    www = f"www.{shop.host}"
    shop.visit("<p>Hello", host=www, path="/?click_id=older")
    shop.use(cookie_domain=shop.host)
    shop.visit(shop.link(), host=www, path=f"/?click_id={ID}")
    shop.browser.open(shop.url(host=www))
    shop.browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_prerendering_waits(shop: Shop) -> None:
    """A page that is prerendered stores nothing until somebody looks at it."""
    pretend = """<script>
    Object.defineProperty(document, 'prerendering', {value: true, configurable: true})</script>"""
    browser = shop.visit(shop.link(), recorder=pretend)
    assert stored(browser) == (None, None)
    browser.run(
        """Object.defineProperty(document, 'prerendering', {value: false});
        document.dispatchEvent(new Event('prerenderingchange', {bubbles: true}))"""
    )
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"/?click_id={ID}", "/"),
        (f"/?a=%20b&click_id={ID}&c=d+e;f#top", "/?a=%20b&c=d+e;f#top"),
        (f"/?click_id={ID}&x#click_id=stays", "/?x#click_id=stays"),
        (f"/?utm=a?click_id={ID}", "/?utm=a"),
    ],
)
def test_clean_url(shop: Shop, before: str, after: str) -> None:
    """``clean_url`` takes the parameter out of the address bar and nothing else."""
    shop.use(clean_url=True)
    state = "<script>history.replaceState({page: 7}, '', location.href)</script>"
    browser = shop.visit(state, path=before)
    browser.until("return location.href === arguments[0]", shop.url(after))
    assert browser.url == shop.url(after)
    assert browser.run("return [history.state.page, history.length]")[0] == 7
    assert stored(browser) == (ID, ID)


def test_url_stays_by_default(shop: Shop) -> None:
    """Without ``clean_url`` the address bar is left alone."""
    assert shop.visit("<p>Hello").url == shop.url(f"/?click_id={ID}")


def test_another_tab_brings_a_newer_click(shop: Shop) -> None:
    """A click that landed in another tab counts for the links of this one."""
    browser = shop.visit(shop.link(), path="/?click_id=older")
    browser.run(
        f"document.cookie = 'tn_click_id={ID};max-age=9999;path=/;secure;samesite=lax';"
        f"localStorage.tn_click_id = '{ID}'"
    )
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_real_prerendering(shop: Shop) -> None:
    """A browser that prerenders the landing page stores the id only when the page is shown."""
    host = f"127.0.0.{10 + int(shop.key[1:]) % 240}"
    start = shop.url(host=host, scheme="http")
    browser = shop.browser
    shop.page("<p>Landing", "/landing", host=host)
    shop.page(
        f"""<a id=go href="/landing?click_id={ID}">Go</a><script type=speculationrules>
        {{"prerender": [{{"urls": ["/landing?click_id={ID}"], "eagerness": "immediate"}}]}}
        </script>""",
        host=host,
        script=False,
    )
    browser.open(start)
    if not browser.run("return 'prerendering' in document"):
        # Firefox and WebKit have no prerendering: the page of the test above stands in for it.
        assert browser.name in ("firefox", "webkit")
        return
    shop.web.wait_for(lambda request: request.host == host and request.path == "/landing")
    carry = f"http://{host}/assets/carry"
    shop.web.wait_for(lambda request: request.url.startswith(carry))
    assert stored(browser) == (None, None)
    browser.run("window.__left = true")
    browser.click("#go")
    browser.loaded()
    assert browser.run("return performance.getEntriesByType('navigation')[0].activationStart > 0")
    browser.until(f"return localStorage.tn_click_id === '{ID}'")
    assert stored(browser) == (ID, ID)
