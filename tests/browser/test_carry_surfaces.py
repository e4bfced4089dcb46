"""Every road to Stripe carries the click id: the URL that the browser really requested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE
from tools.engines.browser import CONTROL, ENTER, MIDDLE
from tools.engines.fake_stripe import payment_page

if TYPE_CHECKING:
    from tests.browser.shops import Shop

PNG = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

SURFACES = {
    "a": '<a id=x href="{pay}">Buy</a>',
    "a in upper case": '<A ID=x HREF="HTTPS://BUY.STRIPE.COM/{key}">Buy</A>',
    "a without scheme": '<a id=x href="//buy.stripe.com/{key}">Buy</a>',
    "a with an entity": '<a id=x href="https://buy&#46;stripe.com/{key}">Buy</a>',
    "book": '<a id=x href="https://book.stripe.com/{key}">Book</a>',
    "donate": '<a id=x href="https://donate.stripe.com/{key}">Give</a>',
    "own payment host": '<a id=x href="https://pay.{host}/{key}">Buy</a>',
    "element inside a": '<a href="{pay}"><span><b id=x>Buy</b></span></a>',
    "area": '<img id=x usemap="#m" width=80 height=80 src="' + PNG + '">'
    '<map name=m><area shape=rect coords="0,0,80,80" href="{pay}"></map>',
    "svg a": '<svg width=90 height=90><a href="{pay}"><rect id=x width=80 height=80 /></a></svg>',
    "svg xlink": '<svg width=90 height=90 xmlns:xlink="http://www.w3.org/1999/xlink">'
    '<a xlink:href="{pay}"><rect id=x width=80 height=80 /></a></svg>',
    # No selector finds this one, and only what HTML made has a host to look at.
    "svg a oddly spelled, in a new tab": "<svg width=90 height=90><a target=_blank"
    ' href="https://buy.str&#9;ipe.com/{key}"><rect id=x width=80 height=80 /></a></svg>',
    "form get": '<form action="{pay}"><button id=x>Buy</button></form>',
    "form post": '<form method=post action="{pay}"><button id=x>Buy</button></form>',
    "formaction get": '<form action="/no"><button id=x formaction="{pay}">Buy</button></form>',
    "formaction post": '<form action="/no" method=post><button id=x formaction="{pay}">Buy</button></form>',
    "button outside its form": '<form id=f action="{pay}"></form><button id=x form=f>Buy</button>',
}


@pytest.mark.parametrize("surface", SURFACES)
def test_surface_in_the_page(shop: Shop, surface: str) -> None:
    """Whatever leads to Stripe when the page has loaded asks for it with the reference."""
    shop.use(payment_hosts=[f"pay.{shop.host}"])
    shop.web.put_host(f"pay.{shop.host}", payment_page)
    markup = SURFACES[surface].format(pay=shop.pay, key=shop.key, host=shop.host)
    shop.visit(markup).click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


@pytest.mark.parametrize("surface", ["a", "svg a", "form get", "form post"])
def test_surface_inserted_later(shop: Shop, surface: str) -> None:
    """What a script inserts after the page has loaded carries the reference, too."""
    browser = shop.visit("<div id=here></div>")
    markup = SURFACES[surface].format(pay=shop.pay)
    browser.run("document.querySelector('#here').innerHTML = arguments[0]", markup)
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


def test_href_reset_by_a_framework(shop: Shop) -> None:
    """A framework that writes the href anew does not lose the reference, and reads what it wrote."""
    browser = shop.visit('<a id=x href="/other">Buy</a>')
    browser.run("document.querySelector('#x').href = arguments[0]", shop.pay + "/new?a=1")
    assert browser.attribute("#x", "href") == shop.pay + "/new?a=1"
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}/new?a=1&{REFERENCE}"


def test_href_set_in_the_moment_of_the_click(shop: Shop) -> None:
    """An href that the page sets while the mouse goes down still gets the reference."""
    browser = shop.visit(
        f"""<a id=x href="/other">Buy</a><script>
        for (const type of ['mousedown', 'mouseup'])
          x.addEventListener(type, () => x.href = '{shop.pay}/' + type)</script>"""
    )
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}/mouseup?{REFERENCE}"


MOMENTS = [
    *("click", "auxclick", "contextmenu", "dragstart", "submit", "touchstart"),
    *("pageshow", "visibilitychange", "storage"),
]


def test_every_moment_asks_the_store(shop: Shop) -> None:
    """Whatever a visitor does, Stripe's elements get the id that another tab brought meanwhile."""
    browser = shop.visit(shop.link() + "<stripe-buy-button id=element></stripe-buy-button>")
    seen = browser.run(
        """return arguments[0].map(type => {
          document.cookie = `tn_click_id=at-${type};max-age=9999;path=/;secure`;
          localStorage.tn_click_id = `at-${type}`;
          const target = /pageshow|visibility/.test(type) ? document : type == 'storage' ? window : buy;
          target.dispatchEvent(new Event(type, {bubbles: true, composed: true}));
          return element.getAttribute('client-reference-id') })""",
        MOMENTS,
    )
    assert seen == [f"at-{moment}" for moment in MOMENTS]


@pytest.mark.parametrize("how", ["target", "middle", "control", "enter"])
def test_ways_to_open_a_link(shop: Shop, how: str) -> None:
    """A link opened in another tab or by the keyboard asks Stripe with the reference."""
    browser = shop.visit(
        f'<a id=x href="{shop.pay}" {"target=_blank" if how == "target" else ""}>Buy</a>'
    )
    if how == "middle":
        browser.click("#x", MIDDLE)
    elif how == "control":
        browser.click("#x", keys=(CONTROL,))
    elif how == "enter":
        browser.focus("#x")
        browser.press(ENTER)
    else:
        browser.click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"
    assert len(shop.asked()) == 1


def test_link_in_a_shadow_root(shop: Shop) -> None:
    """Links in open shadow roots count: nested ones, and those that come later."""
    browser = shop.visit("<div id=host></div>")
    browser.run(
        """const outer = document.querySelector('#host').attachShadow({mode: 'open'});
        outer.innerHTML = '<div id=inner></div>';
        outer.firstChild.attachShadow({mode: 'open'}).innerHTML = `<a id=x href="${arguments[0]}">Buy</a>`;
        """,
        shop.pay,
    )
    browser.click("#host >>> #inner >>> #x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


ELEMENT = "<stripe-buy-button></stripe-buy-button>"


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_element_in_a_shadow_root_that_comes_later(shop: Shop, mode: str) -> None:
    """Stripe's element in a shadow root that is attached after the page has loaded carries the id."""
    browser = shop.visit("<div id=host></div>")
    browser.run(
        """window.root = host.attachShadow({mode: arguments[0]});
        root.innerHTML = arguments[1]""",
        mode,
        ELEMENT,
    )
    browser.until(
        f"return root.firstChild.getAttribute('client-reference-id') === '{ID}'",
    )


def test_element_in_a_shadow_root_of_the_page(shop: Shop) -> None:
    """Stripe's element in a shadow root that the page came with carries the id."""
    browser = shop.visit(
        f"""<div id=host></div><script>host.attachShadow({{mode: 'open'}}).innerHTML =
        '{ELEMENT}'</script>"""
    )
    browser.until(
        f"return host.shadowRoot.firstChild.getAttribute('client-reference-id') === '{ID}'"
    )


def test_page_that_stops_every_event(shop: Shop) -> None:
    """The newest id leaves also when the link lets nobody else hear of the click."""
    browser = shop.visit(
        f"""<a id=x target=_blank href="{shop.pay}">Buy</a><script>
        for (const type of ['pointerdown', 'mousedown', 'click'])
          x.addEventListener(type, event => event.stopImmediatePropagation(), true)</script>""",
        path="/?click_id=older",
    )
    browser.run(
        f"""document.cookie = 'tn_click_id={ID};max-age=9999;path=/;secure';
        localStorage.tn_click_id = '{ID}'"""
    )
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


def test_page_that_stops_the_event_on_the_link(shop: Shop) -> None:
    """A handler on the link that lets nobody else hear the click does not lose the reference."""
    browser = shop.visit(
        f"""<a id=x href="/other">Buy</a><script>
        for (const type of ['pointerdown', 'mousedown', 'click'])
          x.addEventListener(type, event => event.stopImmediatePropagation(), true);
        x.href = '{shop.pay}'</script>"""
    )
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


LINKED = [
    ("other.example", "/", "click_id=aff-7d1e_42"),
    ("www.other.example", "/a?b=1#c", "b=1&click_id=aff-7d1e_42"),
    ("other.example", "/?click_id=own", "click_id=own"),
    ("not-other.example", "/", ""),
]


@pytest.mark.parametrize(("host", "rest", "query"), LINKED)
def test_links_to_other_sites_of_the_merchant(shop: Shop, host: str, rest: str, query: str) -> None:
    """Links to ``link_domains`` bring the id there, and are as they were after the click."""
    shop.use(link_domains=["other.example"])
    shop.page("<p>Other", "/", host=host, script=False)
    shop.page("<p>Other", "/a", host=host, script=False)
    browser = shop.visit(f'<a id=x target=_blank href="https://{host}{rest}">Other</a>')
    since = len(shop.web.requests)
    browser.click("#x")
    asked = shop.web.wait_for(lambda request: request.host == host, since)
    assert asked.query == query
    # A page that is no longer in front is slow to put back what it changed for the click.
    browser.until("return x.getAttribute('href') === arguments[0]", f"https://{host}{rest}")


def test_links_inside_a_linked_site(shop: Shop) -> None:
    """A page does not land on its own site again: its own links carry no parameter."""
    shop.use(link_domains=[shop.host])
    shop.page("<p>Next", "/next")
    browser = shop.visit("<a id=x href=/next>Next</a>")
    browser.click("#x")
    asked = shop.web.wait_for(lambda request: (request.host, request.path) == (shop.host, "/next"))
    assert asked.query == ""


def test_link_in_a_closed_shadow_root_that_comes_later(shop: Shop) -> None:
    """A link that no event outside its shadow root tells of carries the id, in a new window, too."""
    browser = shop.visit("<div id=host></div>")
    browser.run(
        """host.attachShadow({mode: 'closed'}).innerHTML = `<a target=_blank
        style="display:block;height:40px" href="${arguments[0]}">Buy</a>`""",
        shop.pay,
    )
    browser.click("#host")
    assert shop.left().query == REFERENCE
