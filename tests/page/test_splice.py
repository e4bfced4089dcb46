"""Where the tag goes, and that nothing else changes."""

from __future__ import annotations

import codecs
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tests.page.parts import SCRIPT, TAGS, count, transform
from tracknow_static.page import encoding, splice
from tracknow_static.page.splice import remove
from tracknow_static.page.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

D = b"<!doctype html>"

# Before, with | where the tag belongs.
PLACES = [
    b"<!doctype html><html><head><meta charset=utf-8>|<title>x</title></head>",
    b"<!DOCTYPE HTML>\r\n<HTML>\r\n<HEAD>|\r\n<TITLE>x</TITLE>",
    b'<!doctype html><html><head data-x="a>b">|<title>x',
    b"<!doctype html><html><head data-x='<head>'a=\"'\">|<title>x",
    b"<!-- <head> --><!doctype html><html lang=en><!--<head>--><head>|<link rel=icon>",
    b"<!doctype html><!--[if IE]><html class=ie><head><![endif]--><html><head>|<title>",
    b"<!--><!doctype html><!---><html><head>|-->",
    b"<!doctype html><!-- a --!><head>|<title>b</title>",
    b"<!doctype html><html><!x <head>|><head>",
    b"<!doctype html><html><!x a='><head>|",
    b"<!doctype html><head><meta charset=no-such>|<script>1</script><meta charset=utf-8>",
    b"<!doctype html>|text <head>",
    b"<!doctype html>\n|text",
    b"<!doctype html>|</head>",
    b"<!doctype html></p></title><head>|x",
    b"<!doctype html>|</br>",
    b"<!doctype html><html>|<body>",
    b"<html>|<frameset cols=*><frame></frameset>",
    b"|<title><head></title>",
    b"<!doctype html>|<!-- never closed",
    b"<!doctype html>|<head class='never closed",
    b"<!doctype html>|",
    b"|Warning: no such file\n<!doctype html><head>",
    b"<!doctype html><head>|<script>1</script><meta charset=utf-8>",
    b"<!doctype html><head>|<style>a{}</style><meta charset=utf-8>",
    b"<!doctype html><head>|<link rel='preload StyleSheet' href=a><meta charset=utf-8>",
    b"<!doctype html><head><link rel=preload href=a><meta charset=utf-8>|<style></style>",
    b"<!doctype html><head>|<noscript><meta charset=x></noscript><meta charset=utf-8>",
    b"<!doctype html><head>|<meta http-equiv=Content-Security-Policy content=a><meta charset=utf-8>",
    b"<!doctype html><head>|<meta http-equiv=refresh content='0;url=x'><meta charset=utf-8>",
    b"<!doctype html><head>|<base href=/x/><meta charset=utf-8>",
    b"<!doctype html><head><base target=_top><meta charset=utf-8>|",
    b"<!doctype html><head><title><meta charset=x></title><meta charset=utf-8>|",
    b"<!doctype html><head><meta http-equiv=content-type content='text/html; charset=utf-8'>|<p>",
    b"<!doctype html><head><meta name=a content='charset=utf-8'><meta charset=utf-8>|",
    D + b"<head>|<script><!--<script></script><meta charset=x>--></script><meta charset=utf-8>",
    D + b"<head>|<script><!--<!--><script></script><meta charset=utf-8>",
    b"<?xml version='1.0' encoding='utf-8'?><!DOCTYPE html><html><head>|<title/>",
    b"\xef\xbb\xbf<!doctype html><head><meta charset=utf-8>|",
    b"|<script>early</script><html><head><meta charset=utf-8>",
    b"<!doctype html><head/>|<title>x",
    b"<html><head>|<template><meta charset=utf-8></template>",
    # What never ends: the tag goes before it.
    b"<!doctype html>|<!-- <html><head><title>x</title>",
    b"<html><head>|<!-- <meta charset=utf-8>",
    b"<!doctype html>|<title>never closed <head>",
    b"<!doctype html>|<html lang='never closed",
    b"<!doctype html><head>|<script>never closed",
]


@pytest.mark.parametrize("marked", PLACES, ids=[repr(place[:60]) for place in PLACES])
def test_place(marked: bytes) -> None:
    """The tag is where a browser's tree builder has just opened head, or after the charset."""
    before, after = marked.split(b"|")
    done = transform(before + after, SCRIPT)
    assert done.page == before + TAGS + after
    assert done.changed


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (b"<p>part of a page</p>", "fragment"),
        (b"", "fragment"),
        (b"<style>a{}</style><div>x</div>", "fragment"),
        (b"<!-- <!doctype html><html><head><title>x</title></head>", "fragment"),
        (b"<!--\n<html><head></head><body>", "fragment"),
        (b"text <!-- <html><head>", "fragment"),
        (b"<!-- --><!-- <html>", "fragment"),
        (b"<style><html><head>", "fragment"),
        (b"<script><!-- <html><head></script>", "fragment"),
        (b"<plaintext><html><head>", "fragment"),
        (b"<pre>&lt;html></pre><!-- <html> --><textarea><html></textarea>", "fragment"),
        (b"<!doctype html><html amp><head>", "AMP"),
        ("<!doctype html><html ⚡ lang=en><head>".encode(), "AMP"),
        ("<!doctype html><html ⚡4email>".encode(), "AMP"),
        (b"<!doctype html><head><title>a\0b</title>", "NUL bytes"),
        ("<!doctype html><head>".encode("utf-16-le"), "NUL bytes"),
        ("<!doctype html><head><title>é</title>".encode("latin-1"), "undeclared encoding"),
        (
            b"<!doctype html><p>" + b"x" * 900 + b"<meta charset=latin1>",
            "encoding declared too late",
        ),
    ],
)
def test_skipped_with_reason(page: bytes, reason: str) -> None:
    """A page that cannot take the script stays as it is, and the reason is reported."""
    done = transform(page, SCRIPT)
    assert (done.page, done.changed, done.skipped) == (page, False, reason)


@pytest.mark.parametrize("padding", range(700, 1060, 7))
def test_charset_stays_within_prescan(padding: int) -> None:
    """However late a page declares its encoding, a browser finds the same one afterwards."""
    comment = b"<!--" + b"x" * padding + b"-->"
    page = D + b"<head><script>1</script>" + comment + b"<meta charset=koi8-r><title>\xc1"
    done = transform(page, SCRIPT)
    assert done.skipped is None
    assert encoding.declared(done.page) == encoding.declared(page)
    assert done.late == (done.page.index(TAGS) > page.index(b"<script>1"))
    assert remove(done.page) == page


def test_late_tag_comes_right_behind_charset() -> None:
    """Where the tag would push the charset out of reach it follows it, and is reported as late."""
    head = D + b"<head><script>1</script><!--" + b"x" * 850 + b"--><meta charset=utf-8>"
    done = transform(head + b"<title>", SCRIPT)
    assert done.page == head + TAGS + b"<title>"
    assert done.late


def test_absolute_url_may_follow_base() -> None:
    """A base element redirects relative URLs only."""
    page = D + b"<head><base href=/x/><meta charset=utf-8>"
    done = transform(page, SCRIPT, "https://cdn.example/")
    assert done.page == page + SCRIPT.tags("https://cdn.example/")


@pytest.mark.parametrize("form", ["utf-16-le", "utf-16-be"])
def test_utf16_in_its_own_encoding(form: str) -> None:
    """A UTF-16 page gets the tag in UTF-16, and gives it back."""
    text = "\ufeff<!doctype html><html><head title='\u3c3e𝒳'><title>ж</title>"
    place = text.index("<title>")
    page = text.encode(form)
    expected = (text[:place] + TAGS.decode() + text[place:]).encode(form)
    done = transform(page, SCRIPT)
    assert done.page == expected
    assert remove(expected) == page
    assert not transform(expected, SCRIPT).changed


def test_shifted_japanese_is_not_markup() -> None:
    """In ISO-2022-JP the byte of "<" can be half a letter."""
    page = D + b"<head><!-- \x1b$B->\x1b(B --><meta charset=iso-2022-jp><title>"
    done = transform(page, SCRIPT)
    assert done.page == page.replace(b"jp>", b"jp>" + TAGS)


@pytest.mark.parametrize("rest", [b"<title>x</title>", b"", b"<!--", b"<html amp>", b"\0"])
@pytest.mark.parametrize("head", [b"<meta charset=utf-8>", b"<base href=x><meta charset=utf-8>"])
def test_page_that_begins_like_another(head: bytes, rest: bytes) -> None:
    """What was learned from pages with the same beginning changes no answer."""
    page = D + b"<html><head>" + head + rest
    splice._beginnings.clear()
    alone = transform(page, SCRIPT)
    transform(D + b"<html><head>" + head + b"<p>", SCRIPT, "https://cdn.example/")
    assert transform(page, SCRIPT) == alone
    again = transform(alone.page, SCRIPT)
    splice._beginnings.clear()
    assert transform(alone.page, SCRIPT) == again


OLD = [
    b"<script data-tracknow>old()</script>",
    b"<script data-tracknow=''>old()</script>\n<script defer data-tracknow src=x></script>",
    b"<SCRIPT src=/assets/carry-00.js data-tracknow></SCRIPT >",
    b'<script nonce="a>b" data-tracknow="">a;b</script><script async src=q data-tracknow></script>',
]


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize("where", [b"<title>", b"</body>"])
def test_older_snippet_is_replaced(old: bytes, where: bytes) -> None:
    """An older form of the snippet, wherever it is, gives way to one in the right place."""
    page = D + b"<head><meta charset=utf-8><title>x</title></head><body>y</body>"
    done = transform(page.replace(where, old + where), SCRIPT)
    assert count(done.page) == 2
    assert done.page.replace(b"\n", b"") == page.replace(b"<title>", TAGS + b"<title>")


@pytest.mark.parametrize(
    "quote",
    [
        b"<!-- <script data-tracknow>x</script> -->",
        b"<textarea><script data-tracknow>x</script></textarea>",
        b"<script>'<script data-tracknow>'</script>",
        b"<pre>&lt;script data-tracknow></pre>",
        b"<p title='<script data-tracknow>x</script>'>",
        b"<script data-tracknow-not>x</script>",
        b"<script src='data-tracknow'></script>",
        b"<div data-tracknow>x</div>",
        b"<script data-tracknow>never closed",
    ],
)
def test_quoted_snippet_is_not_ours(quote: bytes) -> None:
    """A page that quotes the snippet keeps every byte of it."""
    page = D + b"<head><meta charset=utf-8></head><body>" + quote
    done = transform(page, SCRIPT)
    assert done.page == page.replace(b"utf-8>", b"utf-8>" + TAGS)
    assert remove(done.page) == page


_BITS = st.sampled_from(
    [
        *(b"<!doctype html>", b"<html>", b"<head>", b"</head>", b"<body>", b"<title>", b"</title>"),
        *(b"<!--", b"-->", b"--!>", b"<!-->", b"<?x>", b"</ x>", b"<script>", b"</script>"),
        *(b"<style>", b"</style>", b"<noscript>", b"</noscript>", b"<template>", b"</template>"),
        *(b"<meta charset=utf-8>", b"<meta charset=koi8-r>", b"<base href=x>", b"<svg>", b"</svg>"),
        *(b"<a b='", b"'", b'"', b">", b"<", b"=", b"/", b" ", b"\n", b"x", b"<p>", b"</p>"),
        *(b"<link rel=stylesheet href=x>", b"<textarea>", b"</textarea>", b'<html lang=a x=">">'),
        *(b"<frameset>", b"data-tracknow", b"<script data-tracknow>", b"<![CDATA[", b"]]>"),
        *("é".encode(), b"\xe9", b"\0", b"\x1b$B", b"<math>", b"<br>", b"</br>", b"x" * 300),
    ]
)
_PAGES = st.one_of(
    st.lists(_BITS, max_size=25).map(b"".join),
    st.lists(_BITS, max_size=25).map(b"".join).map(D.__add__),
    st.lists(_BITS, max_size=25).map(b"".join).map(codecs.BOM_UTF8.__add__),
    st.binary(max_size=200).map((D + b"<head>").__add__),
)


@given(_PAGES)
def test_any_page_once_and_back(page: bytes) -> None:
    """For any bytes: one insertion, a second run changes nothing, removal is the exact inverse."""
    bare = remove(page)
    if count(bare):  # taking ours out can join pieces to a new one; then it is not a bare page
        return
    done = transform(bare, SCRIPT)
    assert remove(done.page) == bare
    assert not transform(done.page, SCRIPT).changed
    assert count(done.page) == (0 if done.skipped else 2)
    other = replace(SCRIPT, inline="new()")
    assert transform(done.page, other).page == transform(bare, other).page


def _seen_by_lexbor(page: bytes) -> tuple[str, list[str]]:
    """Return the page's tree without our scripts, and the names of their parents."""
    tree = LexborHTMLParser(page.removeprefix(codecs.BOM_UTF8))
    ours = tree.css("script[data-tracknow]")
    parents = [node.parent.tag or "" for node in ours if node.parent]
    if ours:
        assert "data-tracknow" in tree.css("script")[0].attributes
    for node in ours:
        node.decompose()
    # White space before the first thing in head is dropped, behind our tag it is kept.
    return "".join((tree.html or "").split()), parents


def _seen_by_html5lib(page: bytes) -> tuple[str, list[str]]:
    """Do the same with a parser that nobody optimised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = html5lib.HTMLParser(namespaceHTMLElements=False).parse(
            page.removeprefix(codecs.BOM_UTF8), scripting=True, override_encoding="latin-1"
        )
    parents = []
    for parent in list(tree.iter()):
        for child in list(parent):
            if child.tag == "script" and "data-tracknow" in child.attrib:
                parents.append(str(parent.tag))
                child.text, child.attrib, child.tag = "", {}, "ours"
    text = ET.tostring(tree, encoding="unicode", short_empty_elements=False)
    return "".join(text.replace("<ours></ours>", "").split()), parents


def _judged(page: bytes, seen: Callable[[bytes], tuple[str, list[str]]]) -> None:
    last = list(tokens(page))[-1:]
    if b"data-tracknow" in page or (last and last[0].kind == "cut"):
        return  # what the data end in the middle of moves behind our tag
    done = transform(page, SCRIPT)
    if done.skipped or done.late:
        return
    tree, parents = seen(done.page)
    assert parents == ["head", "head"]
    assert tree == seen(page)[0]


# lexbor parses as without scripting, html5lib knows no template.
@given(_PAGES.filter(lambda page: b"<noscript" not in page and b"\0" not in page))
@settings(max_examples=300)
def test_tree_differs_by_our_scripts_only(page: bytes) -> None:
    """An independent parser sees the same page, and ours first in head."""
    _judged(page, _seen_by_lexbor)


@given(_PAGES.filter(lambda page: b"<template" not in page and b"\0" not in page))
@settings(max_examples=200)
def test_second_judge_agrees(page: bytes) -> None:
    """A parser written from the standard alone sees the same."""
    _judged(page, _seen_by_html5lib)
