"""What waits for consent, and what a refusal deletes: the script in pages without elements."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.node_page import NAME, SHOP, NodePage, cookie, text
from tracknow_static.settings import CONSENT_MANAGERS, Settings

EVENT = Settings(consent="event:answered")


def test_nothing_is_stored_before_consent(page: NodePage) -> None:
    """Before the answer the id is in memory: no store is touched, no link decorated."""
    page.load("?click_id=abc", EVENT)
    assert (page.cookies(), page.storage(), page.log()) == ([], {}, [])
    assert page.click_id() is None
    assert page.decorate("https://buy.stripe.com/x") == ["https://buy.stripe.com/x"]
    page.ask("fire", type="answered")
    assert page.click_id() == "abc"
    assert page.cookies() == [("abc", "", 365)]


def test_the_address_keeps_the_id_until_consent(page: NodePage) -> None:
    """clean_url waits for the answer: until then the address is where the id is found again."""
    page.load("?click_id=abc", Settings(consent="event:answered", clean_url=True))
    assert page.log() == []
    page.ask("fire", type="answered")
    assert ["replaceState", {"kept": 1}, SHOP] in page.log()


def test_consent_that_came_before_the_file_counts(page: NodePage) -> None:
    """A manager that answers while the page is parsed is heard by capture."""
    code = text(EVENT).replace(";\n", ";\nlisteners.answered[0]({detail: null});\n", 1)
    page.ask("page", script=code, url=SHOP + "?click_id=abc")
    assert page.click_id() == "abc"


def test_a_prerendered_page_asks_no_manager(page: NodePage) -> None:
    """An answer given long ago stores nothing for a page that the visitor never saw."""
    manager = "var Cookiebot = {consent: {marketing: true}, hasResponse: true};\n"
    code = manager + text(Settings(consent="cookiebot"))
    page.ask("page", script=code, url=SHOP + "?click_id=abc", prerendering=True)
    page.ask("fire", type="load")
    assert (page.cookies(), page.storage()) == ([], {})
    page.ask("fire", type="prerenderingchange")
    assert page.click_id() == "abc"


def test_withdrawal_deletes_everything(page: NodePage) -> None:
    """A refusal takes cookie and localStorage away, and the id from new links."""
    page.load("?click_id=abc", EVENT)
    page.ask("fire", type="answered", detail=True)
    decorated = page.decorate("https://buy.stripe.com/x#f")
    page.ask("fire", type="answered", detail=False)
    assert (page.cookies(), page.storage(), page.click_id()) == ([], {}, None)
    assert page.decorate(*decorated, "https://buy.stripe.com/y") == [
        "https://buy.stripe.com/x#f",
        "https://buy.stripe.com/y",
    ]
    page.ask("fire", type="answered", detail=True)
    assert page.click_id() == "abc"


def test_a_domain_cookie_is_withdrawn_too(page: NodePage) -> None:
    """A refusal reaches the cookie of the whole domain."""
    shared = Settings(cookie_domain="shop.example")
    page.load("?click_id=abc", shared)
    page.ask("call", name="consent", given=[False])
    assert page.cookies() == []


def test_a_merchants_own_code_may_give_consent(page: NodePage) -> None:
    """tracknow.consent() is there for managers that have no adapter."""
    page.load("?click_id=abc", Settings(consent="cookiebot"))
    page.ask("call", name="consent", given=[True])
    assert page.click_id() == "abc"


def test_the_id_outlives_a_change_of_page_before_consent(page: NodePage) -> None:
    """The page before and this tab's history say what the visitor landed with."""
    landing = "https://shop.example/?click_id=abc"
    page.load(settings=EVENT, referrer=landing)
    page.ask("fire", type="answered")
    assert page.click_id() == "abc"
    page.reset()
    page.load(settings=EVENT, history=[landing, "https://shop.example/a"], referrer="")
    page.ask("fire", type="answered")
    assert page.click_id() == "abc"


def test_only_ones_own_pages_are_recalled(page: NodePage) -> None:
    """A parameter in another site's address is not ours."""
    page.load(settings=EVENT, referrer="https://shop.example.evil.example/?click_id=abc")
    page.ask("fire", type="answered")
    assert page.click_id() is None


def test_history_does_not_replace_what_is_stored(page: NodePage) -> None:
    """An old landing page of this tab is no newer click."""
    page.reset(jar=[cookie("newer")])
    page.load(settings=EVENT, history=["https://shop.example/?click_id=old"])
    page.ask("fire", type="answered")
    assert page.click_id() == "newer"


@pytest.mark.parametrize("consent", [None, "event:answered"])
def test_global_privacy_control_is_a_refusal(page: NodePage, consent: str | None) -> None:
    """With respect_gpc nothing is stored, what was stored goes, and no one takes it back."""
    page.reset(refuse=["gpc"], jar=[cookie("old")], storage={NAME: "old"})
    page.load("?click_id=abc", Settings(respect_gpc=True, consent=consent))
    page.ask("fire", type="answered")
    page.ask("call", name="consent", given=[True])
    assert (page.cookies(), page.storage(), page.click_id()) == ([], {}, None)


def test_without_the_signal_respect_gpc_changes_nothing(page: NodePage) -> None:
    """Visitors who send no Global Privacy Control are counted."""
    page.load("?click_id=abc", Settings(respect_gpc=True))
    assert page.click_id() == "abc"


MANAGERS: dict[str, tuple[str, str, str]] = {
    # what the page holds before the answer, the answer, its opposite
    "material": (
        "var __md_get = () => null",
        "__md_get = () => ({affiliate: true})",
        "__md_get = () => ({other: true})",
    ),
    "cookiebot": (
        "var Cookiebot = {consent: {marketing: false}, hasResponse: false}",
        "Cookiebot = {consent: {marketing: true}, hasResponse: true}",
        "Cookiebot = {consent: {marketing: false}, hasResponse: true}",
    ),
    "cookieyes": (
        "var state = {categories: {advertisement: false}}, getCkyConsent = () => state",
        "state = {categories: {advertisement: true}, isUserActionCompleted: true}",
        "state = {categories: {advertisement: false}, isUserActionCompleted: true}",
    ),
    "onetrust": (
        "var closed = false, OnetrustActiveGroups = ',C0001,', OneTrust = {IsAlertBoxClosed: () => closed}",
        "closed = true, OnetrustActiveGroups = ',C0001,C0004,'",
        "closed = true, OnetrustActiveGroups = ',C0001,'",
    ),
    "usercentrics": (
        "var dataLayer = [{event: 'consent_status', type: 'IMPLICIT', ucCategory: {marketing: false}}]",
        "dataLayer.push({event: 'consent_status', type: 'explicit', ucCategory: {marketing: true}}, {})",
        "dataLayer.push({event: 'consent_status', type: 'explicit', ucCategory: {marketing: null}})",
    ),
    "klaro": (
        "var manager = {watch() {}, savedConsents: {}}, klaro = {getManager: () => manager}",
        "manager.confirmed = true, manager.savedConsents = {tracknow: true}",
        "manager.confirmed = true, manager.savedConsents = {tracknow: false}",
    ),
    "vanilla-cookieconsent": (
        "0",
        "document.cookie = 'cc_cookie=' + encodeURIComponent('{\"categories\":[\"marketing\"]}') + ';path=/'",
        "document.cookie = 'cc_cookie=' + encodeURIComponent('{\"categories\":[]}') + ';path=/'",
    ),
}  # fmt: skip
EVENTS = {
    "material": "load",
    "cookiebot": "CookiebotOnAccept",
    "cookieyes": "cookieyes_consent_update",
    "onetrust": "OneTrustGroupsUpdated",
    "usercentrics": "consent_status",
    "klaro": "load",
    "vanilla-cookieconsent": "cc:onChange",
}


@pytest.mark.parametrize("manager", CONSENT_MANAGERS)
def test_each_manager_is_asked(page: NodePage, manager: str) -> None:
    """No answer stores nothing and deletes nothing; yes stores; no deletes."""
    unanswered, yes, no = MANAGERS[manager]
    code = f"{unanswered};\n{text(Settings(consent=manager))}"
    page.reset(jar=[cookie("old")])
    page.ask("page", script=code, url=SHOP + "?click_id=abc")
    assert page.click_id() is None
    assert page.cookies()[0][0] == "old"
    page.ask("run", code=f"{yes}, 0")
    page.ask("fire", type=EVENTS[manager])
    assert page.click_id() == "abc"
    page.ask("run", code=f"{no}, 0")
    page.ask("fire", type=EVENTS[manager])
    assert (page.click_id(), page.cookies()) == (None, [])


@pytest.mark.parametrize(
    ("detail", "given"),
    [
        ({"consent": {"type": "EXPLICIT"}, "categories": {"marketing": {"state": "ALL_ACCEPTED"}}}, True),
        ({"consent": {"type": "EXPLICIT"}, "categories": {"marketing": {"state": "ALL_DENIED"}}}, False),
        ({"services": {"x": {"name": "marketing", "consent": {"given": True}}}}, True),
        ({"type": "explicit", "marketing": True, "ucCategory": {}}, True),
        ({"type": "explicit", "marketing": False, "ucCategory": {}}, False),
    ],
)  # fmt: skip
def test_usercentrics_events_carry_the_answer(
    page: NodePage, detail: dict[str, Any], *, given: bool
) -> None:
    """Categories and services of both versions are understood."""
    page.load("?click_id=abc", Settings(consent="usercentrics"))
    page.ask("fire", type="UC_CONSENT", detail=detail)
    assert (page.click_id() == "abc") is given


def test_a_klaro_watcher_hears_a_new_answer(page: NodePage) -> None:
    """Klaro fires no event: its manager calls whoever watches."""
    code = (
        "var watchers = new Set, manager = {watch: (one) => watchers.add(one), savedConsents: {}};"
        "var klaro = {getManager: () => manager};\n" + text(Settings(consent="klaro"))
    )
    page.ask("page", script=code, url=SHOP + "?click_id=abc")
    page.ask(
        "run",
        code="manager.confirmed = true; manager.savedConsents.tracknow = true;"
        "watchers.forEach((one) => one.update(manager)); watchers.size",
    )
    assert page.click_id() == "abc"
    assert page.ask("run", code="watchers.size") == 1


def test_an_adapter_without_its_manager_is_quiet(page: NodePage) -> None:
    """A page on which the manager is missing stores nothing and throws nothing."""
    for manager in CONSENT_MANAGERS:
        page.reset()
        page.load("?click_id=abc", Settings(consent=manager))
        page.ask("fire", type="load")
        assert (page.click_id(), page.cookies()) == (None, [])
