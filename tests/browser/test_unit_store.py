"""What is stored, read, restored and deleted: the script in pages without elements.

Real engines are asked in the tests beside these; here clock and cookie jar are ours, so that a
year passes at once.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.browser.node_page import NAME, ODD_QUERIES, QUERIES, SHOP, NodePage, cookie, text
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

DAY = 86400
FIRST = Settings(attribution="first")


@pytest.mark.parametrize(("query", "found"), QUERIES + ODD_QUERIES)
def test_the_first_valid_value_counts(page: NodePage, query: str, found: str | None) -> None:
    """What Stripe would drop is no id; malformed URLs throw nothing."""
    page.load(query)
    assert page.click_id() == found
    assert page.cookies() == ([(found, "", 365)] if found else [])


@settings(max_examples=60, phases=[Phase.explicit, Phase.generate])
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_query_throws(node: NodePage, query: str) -> None:
    """Whatever stands in the address bar, the script runs through."""
    node.reset()
    node.load("?" + query, Settings(clean_url=True))
    assert node.click_id() is None


def test_both_stores_hold_what_the_vendor_writes(page: NodePage) -> None:
    """The cookie and the raw localStorage value are those of Tracknow's own snippet."""
    page.load("?click_id=abc")
    assert page.storage()[NAME] == "abc"
    written = next(text for kind, text in page.log() if kind == "cookie")
    assert written == f"{NAME}=abc;max-age=31536000;path=/;secure;samesite=lax"


def test_carry_alone_stores(page: NodePage) -> None:
    """Where a policy forbids the inline part the file reads the landing URL itself."""
    page.ask("page", script=(compose(Settings()).asset or b"").decode(), url=SHOP + "?click_id=abc")
    assert page.cookies() == [("abc", "", 365)]
    assert page.click_id() == "abc"


def test_a_bad_value_never_replaces_a_good_one(page: NodePage) -> None:
    """A landing URL with an unexpanded macro leaves the stored id alone."""
    page.load("?click_id=good")
    page.load("?click_id={click_id}")
    assert page.click_id() == "good"
    assert page.cookies() == [("good", "", 365)]


def test_the_last_click_wins(page: NodePage) -> None:
    """By default a later affiliate takes over."""
    page.load("?click_id=one")
    page.load("?click_id=two")
    assert (page.click_id(), page.storage()[NAME]) == ("two", "two")


def test_the_first_click_wins_within_its_window(page: NodePage) -> None:
    """With attribution: first a later affiliate has to wait until the window is over."""
    page.load("?click_id=one", FIRST)
    page.ask("wait", seconds=364 * DAY)
    page.load("?click_id=two", FIRST)
    assert page.click_id() == "one"
    assert page.cookies() == [("one", "", 1)]
    page.ask("wait", seconds=2 * DAY)
    page.load("?click_id=two", FIRST)
    assert page.click_id() == "two"
    assert page.cookies() == [("two", "", 365)]


def test_the_first_click_survives_a_snippet_that_overwrites(page: NodePage) -> None:
    """With attribution: first the dated value wins over what the vendor's snippet wrote later."""
    page.load("?click_id=one", FIRST)
    state = page.storage() | {NAME: "two"}
    page.reset(jar=[cookie("two")], storage=state)
    page.load(settings=FIRST)
    assert page.click_id() == "one"
    assert page.storage()[NAME] == "one"


def test_localstorage_ends_with_the_window(page: NodePage) -> None:
    """Where the cookie is lost, localStorage counts for the window and no longer."""
    page.load("?click_id=abc", Settings(window_days=30))
    kept = page.storage()
    page.reset(storage=dict(kept), clock=1.7e12 + 29 * DAY * 1000)
    page.load(settings=Settings(window_days=30))
    assert page.click_id() == "abc"
    assert page.cookies() == [("abc", "", 1)]
    page.reset(storage=dict(kept), clock=1.7e12 + 31 * DAY * 1000)
    page.load(settings=Settings(window_days=30))
    assert page.click_id() is None
    assert NAME not in page.storage()


def test_a_lost_localstorage_is_restored_from_the_cookie(page: NodePage) -> None:
    """Each store restores the other."""
    page.reset(jar=[cookie("abc")])
    page.load()
    assert page.storage()[NAME] == "abc"


def test_what_the_vendor_wrote_counts_from_its_first_sight(page: NodePage) -> None:
    """A localStorage value without a date is read, and gets the window from now on."""
    page.reset(storage={NAME: "theirs"})
    page.load()
    assert page.click_id() == "theirs"
    assert page.cookies() == [("theirs", "", 365)]
    page.ask("wait", seconds=366 * DAY)
    page.load()
    assert page.click_id() is None


def test_what_the_vendor_wrote_later_wins(page: NodePage) -> None:
    """Beside our own dated value a newer one of the vendor's snippet is the last click."""
    page.load("?click_id=ours")
    page.reset(jar=[cookie("theirs")], storage=page.storage() | {NAME: "theirs"})
    page.load()
    assert page.click_id() == "theirs"


def test_garbage_of_another_snippet_does_not_lose_the_id(page: NodePage) -> None:
    """The vendor's snippet stores an unexpanded macro over a good id: ours comes back."""
    page.load("?click_id=good")
    page.reset(jar=[cookie("%7Bclick_id%7D")], storage=page.storage() | {NAME: "{click_id}"})
    page.load()
    assert page.click_id() == "good"
    assert page.cookies()[-1][0] == "good"
    assert page.storage()[NAME] == "good"


@pytest.mark.parametrize(
    "refused", [["cookies"], ["storage"], ["cookies", "storage"]], ids="+".join
)
def test_a_store_that_throws_leaves_the_page_its_id(page: NodePage, refused: list[str]) -> None:
    """In a sandboxed frame and with blocked cookies the id lives as long as the page."""
    page.reset(refuse=refused)
    page.load("?click_id=abc")
    assert page.click_id() == "abc"
    assert page.decorate("https://buy.stripe.com/x")[0].endswith("=abc")


@pytest.mark.parametrize("refused", ["cookies", "storage"])
def test_a_store_that_throws_leaves_the_other(page: NodePage, refused: str) -> None:
    """One store that works carries the id to the next page, whichever it is."""
    page.reset(refuse=[refused])
    page.load("?click_id=abc")
    page.load()
    assert page.click_id() == "abc"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://localhost/", True),
        ("http://localhost:8000/x", True),
        ("http://127.0.0.1:8000/", True),
        ("http://[::1]:8000/", True),
        ("http://shop.example/", False),
        ("http://localhost.example/", False),
        ("http://127.0.0.1.example/", False),
        ("https://shop.example/", True),
        ("https://localhost:8000/", True),
    ],
)
def test_secure_is_left_out_on_plain_loopback_only(page: NodePage, url: str, *, kept: bool) -> None:
    """A jar that refuses Secure over http: keeps the cookie of a local preview and no other."""
    page.load("?click_id=abc", url=url)
    assert bool(page.cookies()) is kept
    assert page.click_id() == "abc"
    plain = [text for kind, text in page.log() if kind == "cookie" and "secure" not in text]
    assert bool(plain) is (kept and url.startswith("http:"))


def test_the_cookie_of_a_domain_replaces_the_hosts(page: NodePage) -> None:
    """With cookie_domain one cookie remains, the domain's, whatever stood there before."""
    shared = Settings(cookie_domain="shop.example")
    page.reset(jar=[cookie("old")])
    page.load("?click_id=new", shared, url="https://www.shop.example/")
    assert page.cookies() == [("new", "shop.example", 365)]


def test_a_refused_domain_falls_back_to_the_host(page: NodePage) -> None:
    """Where the browser refuses the domain (github.io) the host's own cookie serves."""
    page.reset(refuse=["domain"])
    page.load(
        "?click_id=abc", Settings(cookie_domain="shop.example"), url="https://a.shop.example/"
    )
    assert page.cookies() == [("abc", "", 365)]


def test_of_two_cookies_localstorage_says_which(page: NodePage) -> None:
    """A domain's and a host's cookie of one name: the one that localStorage agrees with counts."""
    both = [cookie("one"), cookie("two", "shop.example")]
    for kept, counts in (({NAME: "two"}, "two"), ({NAME: "one"}, "one"), ({}, "one")):
        page.reset(jar=[dict(each) for each in both], storage=kept)
        page.load(settings=Settings(cookie_domain="shop.example"))
        assert page.click_id() == counts
        assert [value for value, _, _ in page.cookies()] == [counts]


def test_a_prerendered_page_waits(page: NodePage) -> None:
    """What the visitor never saw stores nothing."""
    page.load("?click_id=abc", prerendering=True)
    assert (page.cookies(), page.storage()) == ([], {})
    page.ask("fire", type="prerenderingchange")
    assert page.click_id() == "abc"
    assert page.cookies() == [("abc", "", 365)]


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("?click_id=abc", ""),
        ("?click_id=abc#f?click_id=x", "#f?click_id=x"),
        ("?a=%20'&click_id=abc&b=+#f", "?a=%20%27&b=+#f"),
        ("?click_id=abc&b=1", "?b=1"),
        ("?a=1?click_id=abc", "?a=1"),
        ("?click_id=abc?b=1", "?b=1"),
        ("?click_id=&click_id=abc&xclick_id=1", "?xclick_id=1"),
    ],
)
def test_the_address_bar_is_cleaned(page: NodePage, query: str, left: str) -> None:
    """Only the parameter goes; fragment, history state and every other byte stay."""
    page.load(query, Settings(clean_url=True))
    assert [entry for entry in page.log() if entry[0] == "replaceState"] == [
        ["replaceState", {"kept": 1}, "https://shop.example/" + left]
    ]


def test_the_address_is_cleaned_after_storing(page: NodePage) -> None:
    """Where a policy forbids the inline part the file reads the address before it cleans it."""
    script = compose(Settings(clean_url=True)).asset or b""
    page.ask("page", script=script.decode(), url=SHOP + "?click_id=abc")
    assert page.click_id() == "abc"
    assert ["replaceState", {"kept": 1}, SHOP] in page.log()


def test_an_address_without_the_parameter_is_left_alone(page: NodePage) -> None:
    """No needless history entry is written."""
    page.reset(jar=[cookie("abc")])
    page.load("?a=1", Settings(clean_url=True))
    assert not [entry for entry in page.log() if entry[0] == "replaceState"]


def test_twice_is_once(page: NodePage) -> None:
    """A page that carries the script twice behaves as with one."""
    page.ask("page", script=text(Settings()) * 2, url=SHOP + "?click_id=abc&tn_debug=1")
    assert page.click_id() == "abc"
    assert page.log().count(["console", "TNB1", "abc"]) == 1
    assert page.decorate("https://buy.stripe.com/x") == [
        "https://buy.stripe.com/x?client_reference_id=abc"
    ]


def test_nothing_global_but_tracknow(page: NodePage) -> None:
    """The script adds one name to the page."""
    page.load("?click_id=abc", globals={"before": None})
    names = "Object.keys(window).filter((name) => !before.includes(name))"
    page.ask("page", script="0", url="https://shop.example/")
    before = page.ask("run", code="Object.keys(window)")
    page.load("?click_id=abc", globals={"before": [*before, "before"]})
    assert page.ask("run", code=names) == ["tracknow"]


def test_debugging_tells_what_happened(page: NodePage) -> None:
    """tn_debug=1 prints stable codes, on the page and on the one it leads to; else silence."""
    page.load("?click_id=abc&tn_debug=1")
    page.decorate("https://buy.stripe.com/x", "https://buy.stripe.com/x?client_reference_id=own")
    said = [entry[1:] for entry in page.log() if entry[0] == "console"]
    assert [words[0][:4] for words in said] == ["TNB1", "TNB5", "TNB6"]
    page.load(referrer="https://shop.example/?tn_debug=1")
    assert ["console", "TNB1", "abc"] in page.log()
    page.reset()
    page.load("?click_id={x}&tn_debug=1")
    assert [entry[1][:4] for entry in page.log() if entry[0] == "console"] == [
        "TNB4",
        "TNB3",
    ]
    page.load("?click_id=abc")
    assert not [entry for entry in page.log() if entry[0] == "console"]


def test_debugging_tells_that_nothing_is_kept(page: NodePage) -> None:
    """Where no store works the console says that the id lives in memory."""
    page.reset(refuse=["cookies", "storage"])
    page.load("?click_id=abc&tn_debug=1")
    page.click_id()
    assert ["console", "TNB2", "abc"] in page.log()


def test_debugging_tells_the_answer(page: NodePage) -> None:
    """What a consent manager, or a script of the site, says is reported."""
    page.load("?click_id=abc&tn_debug=1")
    page.ask("run", code="tracknow.consent(false)")
    assert ["console", "TNB7", "false"] in page.log()


def test_ready_gives_the_interface(page: NodePage) -> None:
    """tracknow.ready is kept with window.tracknow once the store was read."""
    page.load("?click_id=abc")
    page.ask("run", code="tracknow.ready.then((api) => (window.got = api.clickId())); 0")
    assert page.ask("run", code="window.got") == "abc"
