"""What leads to a payment page, where it is, and what is reported about it."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tracknow_static.page.candidates import worth_reading
from tracknow_static.page.codes import CODES
from tracknow_static.page.findings import grouped, judge
from tracknow_static.page.links import is_payment_url
from tracknow_static.page.reader import read
from tracknow_static.settings import Settings
from tracknow_static.tracknow import PAYMENT_HOSTS

PAY = "https://buy.stripe.com/abc"


def found(page: str | bytes, hosts: frozenset[str] = PAYMENT_HOSTS) -> list[tuple[str, int, str]]:
    """Return kind, line and URL of every surface on a page."""
    data = page.encode() if isinstance(page, str) else page
    surfaces = read(data, hosts).surfaces
    assert not surfaces or worth_reading(data, hosts)
    return [(surface.kind, surface.line, surface.url) for surface in surfaces]


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (f"<a href={PAY}>", "link"),
        (f"<map><area href='{PAY}'></map>", "link"),
        (f"<svg><a xlink:href='{PAY}'/></svg>", "link"),
        (f"<svg><a href='{PAY}'/></svg>", "link"),
        (f"<form action={PAY}>", "form"),
        (f"<form method=post action={PAY}>", "form"),
        (f"<form><button formaction={PAY}>", "form"),
        (f"<form><input type=submit formaction={PAY}>", "form"),
        (f"<button onclick=\"location.href='{PAY}'\">", "handler"),
        (f"<button onclick='location=&quot;{PAY}&quot;'>", "handler"),
        (f"<script>location = '{PAY}'</script>", "script"),
        (f"<script type=module>go(`{PAY}`)</script>", "script"),
        ('<script>go("https:\\/\\/buy.stripe.com\\/abc")</script>', "script"),
        (f"<meta http-equiv=Refresh content='0; url={PAY}'>", "refresh"),
        (f"<meta http-equiv=refresh content='3;URL=\"{PAY}\"'>", "refresh"),
        (f"<template><a href={PAY}></template>", "link"),
        (f"<table><a href={PAY}>", "link"),
        (f"<a href={PAY} href=https://other.example/>", "link"),
        (f"<!--><a href={PAY}>", "link"),
        (f"<svg><script><a href={PAY}></script></svg>", "link"),
        (f"<noscript><a href={PAY}></noscript>", "link"),
        (f"<a href='https://evil.example/?u={PAY}'>", "parameter"),
        (f"<a href='/go?u={PAY.replace('/', '%2F').replace(':', '%3A')}'>", "parameter"),
        (f"<a href=\"javascript:location='{PAY}'\">", "handler"),
        (f"<button @click=\"go('{PAY}')\">", "handler"),
        (f"<button x-on:click.prevent=\"go('{PAY}')\">", "handler"),
        (f"<a :href=\"'{PAY}'\">", "link"),
        (f"<a v-bind:href=\"'{PAY}'\">", "link"),
        (f"<div hx-get={PAY}>", "data"),
        (f"<button data-url={PAY}>", "data"),
        (f"<option value={PAY}>", "data"),
        ('<p data-x=\'{"u":"https:\\/\\/buy.stripe.com\\/abc"}\'>', "data"),
        (f'<script type=application/json>{{"u": "{PAY}"}}</script>', "data"),
        (f"<iframe src={PAY}></iframe>", "frame"),
        (f"<iframe srcdoc='&lt;a href={PAY}>'></iframe>", "link"),
    ],
)
def test_each_kind_is_found(page: str, kind: str) -> None:
    """Every route to Stripe that a page can hold is a surface of its kind."""
    assert found("<!doctype html><body>\n" + page) == [(kind, 2, PAY)]


@pytest.mark.parametrize("name", ["buy-button", "pricing-table"])
@pytest.mark.parametrize("mode", ["test", "live"])
def test_stripe_elements(name: str, mode: str) -> None:
    """Stripe's own elements are found without an address, in their mode, with their reference."""
    page = f"<stripe-{name} publishable-key=pk_{mode}_1 client-reference-id='r 1'></stripe-{name}>"
    (surface,) = read(page.encode()).surfaces
    assert (surface.kind, surface.url, surface.line) == (name, "", 1)
    assert (surface.test_mode, surface.reference) == (mode == "test", "r 1")


SAME = [
    "//buy.stripe.com/abc",
    "HTTPS://BUY.Stripe.COM/abc",
    "https://buy.stripe.com:443/abc",
    "https://user:word@buy.stripe.com/abc",
    "https:\\\\buy.stripe.com\\abc",
    "https://buy.stripe.com/../abc#x",
    " \nhttps://buy.stripe.com/abc\t",
    "https://buy.stripe.com/a\nbc",
    "https://b\tuy.stripe.com/abc",
    "https://buy.stripe%2ecom/abc",
    "https://buy%2Estripe.com/abc",
    "https://%62uy.stripe.com/abc",
    "https://buy。stripe。com/abc",
    "https://ｂｕｙ.stripe.com/abc",
    "https://buy.stripe\u00ad.com/abc",
    "http://book.stripe.com/abc?a=1&copy=2",
    "https://donate.stripe.com/",
]


@pytest.mark.parametrize("url", SAME)
def test_spellings_of_a_payment_link(url: str) -> None:
    """However a browser would read it, and however it is escaped, a payment link is one."""
    quoted = html.escape(url)
    everything = "".join(f"&#{ord(letter)};" for letter in url)
    for value in (f'"{quoted}"', f"'{quoted}'", f'"{everything}"'):
        assert [kind for kind, _, _ in found(f"<a href={value}>x</a>")] == ["link"], value


@pytest.mark.parametrize(
    "url",
    [
        "https://buy.stripe.com.evil.example/abc",
        "https://evil.example/buy.stripe.com",
        "https://evil.example\\@buy.stripe.com/",
        "https://buy.stripe.com@evil.example/",
        "https://buy.stripe.com:x@evil.example/",
        "https://evil.example#@buy.stripe.com/",
        "https://buy.stripe.com:8443/abc",
        "https://notbuy.stripe.com/",
        "https://xbuy.stripe.com/",
        "https://buy-stripe.com/",
        "https://stripe.com/buy",
        "https://docs.stripe.com/",
        "ftp://buy.stripe.com/abc",
        "mailto:x@buy.stripe.com",
        "https:/buy.stripe.com/abc",
        "https:buy.stripe.com/abc",
        "buy.stripe.com/abc",
        "/buy.stripe.com/abc",
        "https://buy.stripe.com%2f.evil.example/",
        "https://buy.stripe.com./abc",
        "https://[buy.stripe.com]/",
        "https://",
        "",
    ],
)
def test_what_only_looks_like_one(url: str) -> None:
    """Another host is another host, wherever Stripe's name is in the address."""
    assert found(f'<a href="{html.escape(url)}">stripe.com</a>') == []
    assert not is_payment_url(url)


@pytest.mark.parametrize(
    "page",
    [
        f"<!-- <a href={PAY}> -->",
        f"<textarea><a href={PAY}></textarea>",
        f"<title><a href={PAY}></title>",
        f"<xmp><a href={PAY}></xmp>",
        f"<p title='<a href={PAY}>'>",
        f"<p>{PAY}</p>",
        f"<link href={PAY}>",
        f"<script type=application/ld+json>{{'url': '{PAY}'}}</script>",
        f"<script data-tracknow>'{PAY}'</script>",
        f"<meta name=refresh content='0; url={PAY}'>",
    ],
)
def test_what_leads_nowhere(page: str) -> None:
    """What a visitor cannot follow is no surface."""
    assert found(page) == []


def test_base_leads_to_stripe() -> None:
    """Relative addresses are read against the page's base element, also those before it."""
    page = "<a href=/abc>\n<base href=https://buy.stripe.com/x><base href=/y>\n<a href=d>"
    assert [url for _, _, url in found(page)] == [PAY, "https://buy.stripe.com/d"]
    assert [line for _, line, _ in found(page)] == [1, 3]


def test_own_host() -> None:
    """A custom domain is a payment host only when the settings name it, in any spelling."""
    page = "<a href=https://pay.shop.example/x><a href=https://Bücher.example/y>"
    hosts = PAYMENT_HOSTS | {"pay.shop.example", "xn--bcher-kva.example"}
    assert found(page) == []
    assert [url for _, _, url in found(page, hosts)] == [
        "https://pay.shop.example/x",
        "https://xn--bcher-kva.example/y",
    ]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-8-sig", "koi8-r", "cp932"])
def test_encodings(codec: str) -> None:
    """A page is read in the encoding that a browser takes it for."""
    labels = {"koi8-r": "koi8-r", "cp932": "x-sjis"}
    text = f"<meta charset={labels.get(codec, 'utf-8')}>\n<p>ж表</p>\n<a href='{PAY}?q=ж'>"
    if codec == "koi8-r":
        text = text.replace("表", "")
    mark = "\ufeff" if codec.startswith("utf-16") else ""
    page = (mark + text).encode(codec)
    assert found(page) == [("link", 3, f"{PAY}?q=%D0%B6")]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_is_where_the_tag_begins(newline: str) -> None:
    """A tag of many lines is found at its first, whatever ends on the same line."""
    page = newline.join(
        [
            "<p>",
            "<a",
            " class=x",
            f" href='{PAY}'",
            f">x</a> <a href='{PAY}'>y</a>",
            "<script>",
            f"  '{PAY}'",
            f"</script><a href={PAY}>",
            "<stripe-buy-button",
            "  buy-button-id=1",
            "></stripe-buy-button>",
        ]
    )
    assert [line for _, line, _ in found(page)] == [2, 5, 7, 8, 9]


def test_lines_beyond_what_libxml2_counts() -> None:
    """Line 100,000 is reported as such."""
    page = b"\n" * 99_999 + f"<a href={PAY}>".encode()
    assert found(page) == [("link", 100_000, PAY)]


def test_deep_and_broken_markup() -> None:
    """No depth and no tag soup hides a link."""
    page = "<div>" * 20_000 + "<p></b><tr></font></p></3><" + f"<a href={PAY}>"
    assert found(page) == [("link", 1, PAY)]


def test_attributes_that_name_their_own_link_count_once() -> None:
    """A handler or data that repeat the address of their own link are no second surface."""
    assert [kind for kind, _, _ in found(f"<a href={PAY} data-url={PAY}>")] == ["link"]
    assert [kind for kind, _, _ in found(f"<a href={PAY} onclick='seen(\"{PAY}\")'>")] == ["link"]


_VALUES = st.text(
    st.sampled_from("abuy.stripecom/:?#@\\%2eE \t\n<>='\"&#;xé。-_~[]"), max_size=30
).map(lambda text: text.replace('"', "&quot;"))
_SOUP = st.lists(
    st.one_of(
        _VALUES.map('<a href="{}">x</a>'.format),
        st.sampled_from(
            ["https://buy.stripe.com/", "//buy.stripe.com", "&#104;ttps://buy.stripe.com"]
        ).flatmap(lambda head: _VALUES.map(lambda tail: f'<area\nhref="{head}{tail}">')),
        st.sampled_from(
            [
                "<!--",
                "-->",
                "<p>",
                "</p>",
                "\n",
                "text",
                "<b>",
                "<table>",
                "</table>",
                "<svg>",
                "</svg>",
                "<script>",
                "</script>",
                "<style>",
                "</style>",
                "<title>",
                "</title>",
            ]
        ),
    ),
    max_size=12,
).map("".join)


@given(_SOUP)
def test_same_links_as_another_parser(page: str) -> None:
    """In any tag soup lexbor sees the same payment links in the same order."""
    tree = LexborHTMLParser("<!doctype html><body>" + page)
    expected = [
        value
        for element in tree.css("a, area")
        if (value := element.attributes.get("href")) is not None and is_payment_url(value)
    ]
    data = ("<!doctype html><body>" + page).encode()
    links = [surface for surface in read(data).surfaces if surface.kind == "link"]
    assert len(links) == len(expected)
    assert len(expected) == 0 or worth_reading(data) or not re.search(r"stripe\.com", page)
    lines = ("<!doctype html><body>" + page).split("\n")
    for link in links:
        assert re.search("<a", lines[link.line - 1])


VENDOR = (
    b"<script>\nvar id = q.get('click_id');\nlocalStorage.setItem('tn_click_id', id)\n</script>"
)


def test_findings_have_stable_codes_and_places() -> None:
    """Each finding is ``file:line: message [code]``, and includes how to fix it."""
    page = b"\n".join(
        [
            b"<!doctype html>",
            VENDOR.replace(b"\n", b" "),
            b"<a href=https://buy.stripe.com/test_1>",
            b"<a href=http://buy.stripe.com/1>",
            b"<a href=https://buy.stripe.com/1?client_reference_id=me>",
            b"<a href='https://buy.stripe.com/1?client_reference_id=a%20b'>",
            b"<meta http-equiv=refresh content='0;url=https://buy.stripe.com/2'>",
            b"<p onclick='x(\"https://buy.stripe.com/3\")'>",
            b"<script>x('https://buy.stripe.com/4')</script>",
        ]
    )
    findings = judge(read(page), "sub/page.html", Settings())
    assert [(finding.line, finding.code) for finding in findings] == [
        *((3, "TN101"), (4, "TN102"), (5, "TN103"), (6, "TN104"), (7, "TN105"), (8, "TN106")),
        *((9, "TN107"), (2, "TN201")),
    ]
    for finding in findings:
        assert re.fullmatch(
            rf"sub/page\.html:{finding.line}: .+\. .+ \[{finding.code}\]", str(finding)
        )
        assert finding.severity == CODES[finding.code].severity


def test_test_links_as_the_settings_say() -> None:
    """A test-mode link is a warning, an error or nothing."""
    seen = read(b"<a href=https://buy.stripe.com/test_1>")
    (finding,) = judge(seen, "p", Settings(test_links="error"))
    assert finding.severity == "error"
    assert judge(seen, "p", Settings(test_links="ignore")) == []


def test_overwritten_reference_is_no_finding() -> None:
    """With ``existing_reference: overwrite`` a hard-coded reference does no harm."""
    seen = read(b"<a href=https://buy.stripe.com/1?client_reference_id=me>")
    assert judge(seen, "p", Settings(existing_reference="overwrite")) == []


def test_page_that_cannot_carry_but_sells() -> None:
    """A skipped page is worth a warning exactly if it leads to a payment page."""
    seen = read(f"<p>\n<a href={PAY}>".encode())
    (finding,) = judge(seen, "p", Settings(), skipped="AMP")
    assert (finding.code, finding.line) == ("TN301", 2)
    assert judge(read(b"<p>"), "p", Settings(), skipped="AMP") == []


def test_the_same_on_many_pages_is_told_once() -> None:
    """What a menu repeats on every page is one line, with the number of other pages."""
    seen = read(b"<a href=https://buy.stripe.com/test_1>")
    findings = [finding for page in ("a", "b", "c") for finding in judge(seen, page, Settings())]
    assert [(first.file, others) for first, others in grouped(findings)] == [("a", 2)]


@pytest.mark.parametrize(
    "page",
    [
        b"<table class=table-striped><p>Stripe is a company</p><p>a &amp; b, 100%</p>",
        b"<p>" + b"&#8217;&#39;&#x2014;%20%2F" * 200,
    ],
)
def test_most_pages_are_not_parsed(page: bytes) -> None:
    """The byte test keeps the parser away from pages that only look a little like it."""
    assert not worth_reading(page)
