"""What the audit reports about a policy is what Chromium does under it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.audit.conftest import page
from tests.page.parts import transform
from tools.engines.browser import Browser, BrowserError
from tools.engines.fake_web import FakeWeb, Response
from tools.engines.launch import launch
from tools.engines.sandbox import Sandbox, SandboxError
from tracknow_static.audit.policy import Needs, Policy
from tracknow_static.browser.compose import compose
from tracknow_static.page.contents import MARKUP
from tracknow_static.page.reader import read
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("chromium")]

SCRIPT = compose(Settings())
NEEDS = Needs(SCRIPT.csp_hash, file=True, nonce=None, site="policy.example")
HASH = SCRIPT.csp_hash
POLICIES = [
    "script-src 'self'",
    f"script-src '{HASH}'",
    f"script-src 'self' '{HASH}'",
    "default-src 'self'",
    "default-src 'self' 'unsafe-inline'",
    "default-src 'none'",
    f"default-src 'none'; script-src 'self' '{HASH}'",
    "script-src 'self' 'unsafe-inline' 'nonce-abc'",
    "script-src 'self' 'unsafe-inline' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    f"script-src https: '{HASH}'",
    f"script-src *.example '{HASH}'",
    f"script-src https://policy.example '{HASH}'",
    f"script-src https://other.example '{HASH}'",
    f"script-src-elem 'self' '{HASH}'; script-src 'none'",
    "script-src-elem 'none'; script-src 'self' 'unsafe-inline'",
    f"SCRIPT-SRC 'SELF' '{HASH}'",
    f"script-src 'self'; script-src 'self' '{HASH}'",
    "sandbox allow-same-origin",
    "img-src 'none'",
]
LANDED = "try { return document.cookie.includes('tn_click_id') } catch { return false }"


@pytest.fixture(scope="module")
def chromium() -> Iterator[tuple[FakeWeb, Browser]]:
    """A browser, and a fake web that serves it."""
    try:
        sandbox = Sandbox()
        web = FakeWeb(sandbox)
        browser = launch("chromium", sandbox)
    except (SandboxError, BrowserError) as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    sandbox.add_hosts("policy.example")
    # In place of the file, which would do the inline part's work where that is blocked.
    response = Response(b"window.fileRan = true", "text/javascript")
    web.put("policy.example", f"/{SCRIPT.asset_path}", response)
    yield web, browser
    browser.quit()
    web.close()
    sandbox.close()


def ran(
    chromium: tuple[FakeWeb, Browser], number: int, text: bytes, policy: str
) -> tuple[bool, bool]:
    """Land on a page under a policy; return whether the inline part and the file ran."""
    web, browser = chromium
    headers = {"Content-Security-Policy": policy} if policy else {}
    web.put("policy.example", f"/{number}", Response(text, headers=headers))
    browser.open("https://policy.example/")
    browser.run("localStorage.clear(); document.cookie = 'tn_click_id=; max-age=0; path=/; secure'")
    browser.open(f"https://policy.example/{number}?click_id=abc")
    inline = bool(browser.run(LANDED))
    return inline, bool(browser.run("return !!window.fileRan"))


def expected(policy: str) -> tuple[bool, bool]:
    """Return what the audit claims of the inline part and of the file."""
    lacks = list(Policy(policy).script_lacks(NEEDS))
    if any(lack.directive == "sandbox" for lack in lacks):
        return False, False
    missing = {source for lack in lacks for source in lack.sources}
    return f"'{HASH}'" not in missing, "'self'" not in missing


def test_headers(chromium: tuple[FakeWeb, Browser]) -> None:
    """For each policy: both parts run exactly where the audit claims it."""
    text = transform(page().encode(), SCRIPT, "/").page
    wrong = {}
    for number, policy in enumerate(POLICIES):
        found = ran(chromium, number, text, policy)
        if found != expected(policy):
            wrong[policy] = found
    assert wrong == {}


def test_a_meta_policy_counts_for_what_stands_after_it(chromium: tuple[FakeWeb, Browser]) -> None:
    """Our tag goes before a policy in the page, and runs; a tag behind it does not."""
    policy = "<meta http-equiv=content-security-policy content=\"script-src 'none'\">"
    text = transform(page(head=policy).encode(), SCRIPT, "/").page
    found = read(text, markup=MARKUP)
    assert found.script_offset is not None
    assert found.policies[0].offset > found.script_offset
    assert ran(chromium, 100, text, "") == (True, True)
    tags = SCRIPT.tags("/")
    behind = text.replace(tags, b"").replace(b"</head>", tags + b"</head>")
    assert ran(chromium, 101, behind, "") == (False, False)
