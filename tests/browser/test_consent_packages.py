"""Consent managers as they are published: Klaro, and vanilla-cookieconsent 2 and 3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.engines import npm
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser


def _klaro(shop: Shop, **service: Any) -> str:
    library = npm.read("klaro", "0.7.22", "dist/klaro-no-css.js")
    shop.web.put(shop.host, "/klaro.js", Response(library, "text/javascript"))
    config: dict[str, Any] = {"lang": "en", "translations": {"en": {}}}
    config["services"] = [{"name": "tracknow", "purposes": ["marketing"], **service}]
    return f"<script>var klaroConfig = {json.dumps(config)}</script><script defer src=/klaro.js></script>"


def _klaro_answers(browser: Browser, *, given: bool) -> None:
    browser.until("return !!(window.klaro && window.tracknow && tracknow.consent)")
    browser.run(
        """const manager = klaro.getManager();
        manager.changeAll(arguments[0]);
        manager.saveAndApplyConsents()""",
        given,
    )


@pytest.mark.parametrize("service", [{"required": True}, {"optOut": True, "default": True}])
def test_klaro_service_that_is_on(shop: Shop, service: dict[str, bool]) -> None:
    """A service that is required, or on until the visitor opts out, stores before any answer."""
    shop.use(consent="klaro")
    browser = shop.visit(shop.link(), head=_klaro(shop, **service))
    browser.until("return document.cookie.includes('tn_click_id')")
    assert stored(browser) == (ID, ID)
    _klaro_answers(browser, given=False)
    kept = "required" in service
    browser.until(f"return !!tracknow.clickId() === {str(kept).lower()}")
    browser.click("#buy")
    assert shop.left().query == (REFERENCE if kept else "")


def test_klaro_service_that_waits(shop: Shop) -> None:
    """Any other service waits for the answer and follows it, on the same page."""
    shop.use(consent="klaro")
    browser = shop.visit(shop.link(), head=_klaro(shop))
    browser.until("return !!(window.klaro && window.tracknow && tracknow.consent)")
    assert stored(browser) == (None, None)
    _klaro_answers(browser, given=True)
    assert stored(browser) == (ID, ID)
    _klaro_answers(browser, given=False)
    assert stored(browser) == (None, None)


def _cookieconsent(shop: Shop, version: int, mode: str) -> str:
    number, file = {
        2: ("2.9.2", "dist/cookieconsent.js"),
        3: ("3.1.0", "dist/cookieconsent.umd.js"),
    }[version]
    library = npm.read("vanilla-cookieconsent", number, file)
    shop.web.put(shop.host, "/cc.js", Response(library, "text/javascript"))
    enabled = str(mode == "opt-out").lower()
    if version == 3:
        return f"""<script src=/cc.js></script><script>CookieConsent.run({{mode: '{mode}',
        hideFromBots: false,
        categories: {{necessary: {{enabled: true, readOnly: true}}, marketing: {{enabled: {enabled}}}}},
        language: {{default: 'en', translations: {{en: {{consentModal: {{title: 'Cookies',
        description: 'May we?', acceptAllBtn: 'Yes', acceptNecessaryBtn: 'No'}},
        preferencesModal: {{title: 'S', sections: []}}}}}}}}}});
        window.answer = given => CookieConsent.acceptCategory(given ? 'all' : [])</script>"""
    return f"""<script src=/cc.js></script><script>const cc = initCookieConsent();
    cc.run({{mode: '{mode}', hide_from_bots: false, current_lang: 'en', languages: {{en: {{
      consent_modal: {{title: 'Cookies', description: 'May we?',
        primary_btn: {{text: 'Yes', role: 'accept_all'}},
        secondary_btn: {{text: 'No', role: 'accept_necessary'}}}},
      settings_modal: {{title: 'S', save_settings_btn: 'Save', accept_all_btn: 'All',
        reject_all_btn: 'None', blocks: [
        {{title: 'N', description: 'n', toggle: {{value: 'necessary', enabled: true, readonly: true}}}},
        {{title: 'M', description: 'm',
          toggle: {{value: 'marketing', enabled: {enabled}, readonly: false}}}}]}}}}}}}});
    window.answer = given => {{
      if (!given) cc.showSettings(0);
      const press = () => {{
        const button = document.getElementById(given ? 'c-p-bn' : 's-rall-bn');
        button ? button.click() : setTimeout(press, 20) }};
      setTimeout(press, given ? 0 : 300) }}</script>"""


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
def test_vanilla_cookieconsent(shop: Shop, version: int, mode: str) -> None:
    """Both versions are obeyed on the page on which the visitor answers, in both modes."""
    shop.use(consent="vanilla-cookieconsent")
    browser = shop.visit(shop.link() + _cookieconsent(shop, version, mode))
    browser.until("return !!(window.tracknow && tracknow.clickId)")
    kept = "return !!document.cookie.includes('tn_click_id')"
    if mode == "opt-out":
        browser.until(kept)
    else:
        assert stored(browser) == (None, None)
        browser.run("answer(true)")
        browser.until(kept)
    assert stored(browser) == (ID, ID)
    browser.run("answer(false)")
    browser.until("return !document.cookie.includes('tn_click_id')")
    assert stored(browser) == (None, None)
    assert browser.run("return tracknow.clickId()") is None
