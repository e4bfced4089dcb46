"""Content-Security-Policy: what blocks the script or Stripe, where it is, and what to add."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.conftest import LINK, page
from tracknow_static.audit.policy import Needs, Policy
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from tests.audit.conftest import Site

HASH = compose(Settings()).csp_hash
SPLIT = Needs(HASH, file=True, nonce=None, site="shop.example")
BUTTON = "<stripe-buy-button buy-button-id=x></stripe-buy-button>"


def lacks(text: str, needs: Needs = SPLIT) -> list[str]:
    """Return what a policy lacks for the script."""
    return [f"{lack.directive}: {lack.advice}" for lack in Policy(text).script_lacks(needs)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "img-src 'none'",
        f"script-src 'self' '{HASH}'",
        f"default-src 'none'; script-src 'self' '{HASH}'",
        f"SCRIPT-SRC 'SELF' '{HASH}'",
        f"script-src-elem 'self' '{HASH}'; script-src 'none'",
        f"script-src https://shop.example '{HASH}'",
        f"script-src *.example '{HASH}'",
        f"script-src https: '{HASH}'",
        "default-src 'self' 'unsafe-inline'",
        "script-src * 'unsafe-inline'",
        "sandbox allow-scripts allow-forms",
    ],
)
def test_policies_that_let_the_script_run(text: str) -> None:
    """Each of these allows the inline part and the file."""
    assert lacks(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("script-src 'self'", f"script-src: Add to script-src: '{HASH}'"),
        (f"script-src '{HASH}'", "script-src: Add to script-src: 'self'"),
        ("script-src 'none'", f"script-src: Add to script-src in place of 'none': '{HASH}' 'self'"),
        ("default-src 'self'", f"default-src: Add a directive: script-src 'self' '{HASH}'"),
        ("default-src 'none'", f"default-src: Add a directive: script-src '{HASH}' 'self'"),
        (
            "script-src 'self' 'unsafe-inline' 'nonce-abc'",
            f"script-src: Add to script-src: '{HASH}'",
        ),
        (
            "script-src 'self' 'unsafe-inline' 'sha256-AAAA'",
            f"script-src: Add to script-src: '{HASH}'",
        ),
        (f"script-src https://other.example '{HASH}'", "script-src: Add to script-src: 'self'"),
        ("sandbox allow-forms", "sandbox: Add allow-scripts to sandbox."),
        ("script-src-elem 'self'", f"script-src-elem: Add to script-src-elem: '{HASH}'"),
        # Of two directives with one name the first counts.
        (f"script-src 'self'; script-src '{HASH}'", f"script-src: Add to script-src: '{HASH}'"),
    ],
)
def test_policies_that_block_the_script(text: str, expected: str) -> None:
    """The directive that refuses, and exactly what to add to which."""
    assert lacks(text) == [expected]


def test_strict_dynamic_makes_self_void() -> None:
    """Hosts count for nothing beside 'strict-dynamic': the file needs integrity or a nonce."""
    strict = f"script-src 'strict-dynamic' '{HASH}' 'self'"
    assert "integrity" in lacks(strict)[0]
    whole = Needs(HASH, file=True, nonce=None, site=None, integrity="sha384-abc")
    assert lacks(strict, whole) == ["script-src: Add to script-src: 'sha384-abc'"]
    assert lacks(f"{strict} 'sha384-abc'", whole) == []


def test_a_nonce() -> None:
    """The nonce of the settings allows both tags."""
    needs = Needs(HASH, file=True, nonce="{{nonce}}", site=None)
    assert lacks("script-src 'nonce-{{nonce}}' 'strict-dynamic'", needs) == []
    assert lacks("script-src 'nonce-other'", needs) != []


def test_what_the_delivery_needs() -> None:
    """All of it inline needs no file, all of it in a file no hash."""
    inline = Needs("sha256-x", file=False, nonce=None, site=None)
    assert lacks("script-src 'sha256-x'", inline) == []
    file = Needs(None, file=True, nonce=None, site=None)
    assert lacks("script-src 'self'", file) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("script-src https://js.stripe.com; frame-src https://js.stripe.com", 0),
        ("script-src js.stripe.com; frame-src *.stripe.com", 0),
        ("script-src https://js.stripe.com/v3/; frame-src https:", 0),
        ("script-src 'self'; frame-src https://js.stripe.com", 1),
        ("script-src https://js.stripe.com; frame-src 'self'", 1),
        ("script-src https://js.stripe.com; child-src 'self'", 1),
        ("default-src 'self'", 2),
        ("script-src https://js.stripe.com:8443; frame-src ws://js.stripe.com", 2),
        ("script-src https://js.stripe.com.evil.example", 1),
        ("script-src *.s.stripe.com", 1),
    ],
)
def test_stripes_elements(text: str, count: int) -> None:
    """A buy button or pricing table needs Stripe's script and frame."""
    assert len(list(Policy(text).stripe_lacks())) == count


@given(st.text(), st.text())
def test_no_policy_is_too_odd(text: str, host: str) -> None:
    """Whatever is in a policy, it is read."""
    policy = Policy(text)
    list(policy.script_lacks(SPLIT))
    list(policy.stripe_lacks())
    list(policy.form_lacks(host))


def test_a_policy_in_the_page(site: Site) -> None:
    """A meta policy before the script blocks it; one after it counts for Stripe's elements only."""
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'self'\">"
    site.write("after.html", page(BUTTON, policy)).inject()
    assert site.codes(code=1) == ["after.html:2 TN422", "after.html:2 TN422"]
    # The charset comes so late that the script can only come after the policy.
    late = f"<!doctype html><html><head>{policy}<style>{'x' * 700}</style><meta charset=utf-8>"
    site.write("after.html", page()).write("late.html", f"{late}</head><body></body></html>")
    site.inject()
    assert "late.html:1 TN421" in site.codes(code=1)


HEADERS = {
    "_headers": "# ours\n/*\n  X-Frame-Options: DENY\n  Content-Security-Policy: {}\n",
    "netlify.toml": '[[headers]]\n  for = "/*"\n  [headers.values]\n'
    '    Content-Security-Policy = "{}"\n',
    "vercel.json": '{{\n  "headers": [{{"source": "/(.*)", "headers": [\n'
    '    {{"key": "content-security-policy",\n     "value": "{}"}}]}}]\n}}\n',
}


@pytest.mark.parametrize(
    ("file", "line"), [("_headers", 4), ("netlify.toml", 4), ("vercel.json", 3)]
)
def test_a_policy_in_a_hosts_file(site: Site, file: str, line: int) -> None:
    """It is found with its line, once for the site; with what was to be added nothing is left."""
    for number in range(3):
        site.write(f"{number}.html", page())
    site.inject().write(file, HEADERS[file].format("default-src 'self'"))
    assert site.codes(code=1) == [f"{file}:{line} TN421"]
    expected = site.check(code=1).output
    assert f"script-src 'self' '{HASH}'" in expected
    site.write(file, HEADERS[file].format(f"default-src 'self'; script-src 'self' '{HASH}'"))
    assert site.codes() == []


@pytest.mark.parametrize("file", ["netlify.toml", "vercel.json"])
def test_a_hosts_file_beside_the_site(site: Site, file: str) -> None:
    """Where a project keeps it: in the folder above the built site."""
    site.write("a.html", page()).inject()
    site.beside(file, HEADERS[file].format("script-src 'none'"))
    (found,) = site.codes(code=1)
    assert found.startswith(f"../{file}:")


def test_a_policy_for_other_paths(site: Site) -> None:
    """A policy concerns the pages that it is sent with, and Stripe's elements that are on them."""
    site.write("shop/index.html", page(BUTTON)).write("blog/a.html", page()).inject()
    blocked = f"  Content-Security-Policy: script-src 'self' '{HASH}'; frame-src 'self'\n"
    site.write("_headers", f"/blog/*\n{blocked}")
    assert site.codes() == []
    site.write("_headers", f"/shop/*\n{blocked}")
    assert site.codes(code=1) == ["_headers:2 TN422", "_headers:2 TN422"]
    site.write("_headers", f"https://shop.example/shop\n{blocked}")
    assert len(site.codes(code=1)) == 2
    site.write("_headers", f"/:section/a\n{blocked.replace(HASH or '', 'sha256-x')}")
    assert site.codes(code=1) == ["_headers:2 TN421"]


def test_two_policies_in_one_header(site: Site) -> None:
    """A comma separates policies, and each of them has to let the script through."""
    site.write("a.html", page()).inject()
    both = f"script-src 'self' '{HASH}', default-src 'self'"
    site.write("_headers", f"/*\n  Content-Security-Policy: {both}\n")
    assert site.codes(code=1) == ["_headers:2 TN421"]


def test_a_report_only_policy_blocks_nothing(site: Site) -> None:
    """What is only reported is not refused."""
    site.write("a.html", page()).inject()
    for file, text in HEADERS.items():
        name = "Content-Security-Policy-Report-Only"
        reported = re.sub("content-security-policy", name, text, flags=re.IGNORECASE)
        site.write(file, reported.format("script-src 'none'"))
    assert site.codes() == []


def test_a_report_only_policy_before_the_real_one(site: Site) -> None:
    """The line is that of the policy which counts."""
    site.write("a.html", page()).inject()
    lines = (
        '[[headers]]\nfor = "/*"\n[headers.values]\n'
        'Content-Security-Policy-Report-Only = "script-src *"\n'
        'Content-Security-Policy = "script-src *"\n'
    )
    site.write("netlify.toml", lines)
    assert site.codes(code=1) == ["netlify.toml:5 TN421"]


def test_a_form_action_that_does_not_allow_stripe(site: Site) -> None:
    """A form to a payment page is refused by form-action, which has no fallback."""
    site.write("a.html", page(f'<form action="{LINK}"></form>')).inject()
    policy = "default-src * 'unsafe-inline'; form-action 'self'"
    site.write("_headers", f"/*\n  Content-Security-Policy: {policy}\n")
    assert site.codes(code=1) == ["_headers:2 TN423"]
    assert "Add to form-action: https://buy.stripe.com" in site.check(code=1).output


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("netlify.toml", "[[headers]\n"),
        ("vercel.json", '{"headers": '),
        ("vercel.json", "[" * 100_000),
        ("_headers", b"\xff\xfe\x00"),
    ],
)
def test_a_hosts_file_that_cannot_be_read(site: Site, file: str, text: str | bytes) -> None:
    """It is named, and the audit goes on."""
    site.write("a.html", page()).inject().write(file, text)
    assert site.codes() == [f"{file}:1 TN424"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"headers": 7}',
        '{"headers": [7, {"headers": 7}, {"headers": [{"key": 7}]}]}',
        '{"headers": [{"source": "/((", "headers": []}]}',
    ],
)
def test_a_hosts_file_of_another_shape(site: Site, text: str) -> None:
    """JSON of another shape holds no policy."""
    site.write("a.html", page()).inject().write("vercel.json", text)
    assert site.codes() == []


def test_csp_prints_what_to_add(site: Site) -> None:
    """The inline part's hash and 'self'; Stripe's sources when the site has its elements."""
    site.write("a.html", page()).inject()
    assert site.csp().stdout == f"script-src '{HASH}' 'self'\n"
    site.write("b.html", page(BUTTON + f'<form action="{LINK}"></form>'))
    assert site.csp().stdout.splitlines() == [
        f"script-src '{HASH}' 'self' https://js.stripe.com",
        "frame-src https://js.stripe.com",
        "form-action 'self' https://buy.stripe.com",
    ]


def test_csp_by_delivery(site: Site) -> None:
    """Each delivery needs something else; a nonce replaces all."""
    site.write("a.html", page())
    inline = compose(Settings.from_mapping({"delivery": "inline"})).csp_hash
    assert site.csp("--delivery inline").stdout == f"script-src '{inline}'\n"
    assert site.csp("--delivery file").stdout == "script-src 'self'\n"
    assert site.csp("--nonce NONCE").stdout == "script-src 'nonce-NONCE'\n"


def test_csp_says_what_the_policy_lacks(site: Site) -> None:
    """The policies that are there are held against it."""
    site.write("a.html", page(BUTTON)).inject()
    site.write("_headers", f"/*\n  Content-Security-Policy: script-src 'self' '{HASH}'\n")
    result = site.csp()
    assert "_headers:2" in result.stderr
    assert "Add to script-src: https://js.stripe.com" in result.stderr
    found = json.loads(site.csp("--json").stdout)
    assert found["directives"]["frame-src"] == ["https://js.stripe.com"]
    assert found["lacks"][0]["line"] == 2


def test_what_csp_prints_is_enough(site: Site) -> None:
    """A policy made of nothing but the printed directives lets everything through."""
    site.write("a.html", page(BUTTON + f'<form action="{LINK}"></form>')).inject()
    policy = "default-src 'none'; " + "; ".join(site.csp().stdout.splitlines())
    site.write("_headers", f"/*\n  Content-Security-Policy: {policy}\n")
    assert site.codes() == []
