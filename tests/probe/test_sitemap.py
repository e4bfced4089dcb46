"""Which pages a probe asks for."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, cast

import pytest

from tracknow_static.probe.client import Answer
from tracknow_static.probe.sitemap import Robots, Site, listed_pages, spread

if TYPE_CHECKING:
    from tracknow_static.probe.client import Client

URL = "https://shop.example/"
_NS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


class FakeClient:
    """Answers from a table of bodies; anything else is not found."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies

    def get(self, url: str) -> Answer:
        body = self.bodies.get(url)
        return Answer(url, status=404) if body is None else Answer(url, status=200, body=body)


def listed(bodies: dict[str, bytes], *named: str) -> list[str]:
    """The pages that a site's sitemaps list."""
    return listed_pages(cast("Client", FakeClient(bodies)), Site(URL), named)


def sitemap(*pages: str) -> bytes:
    """A sitemap of pages."""
    urls = "".join(f"<url><loc> {page}\n</loc></url>" for page in pages)
    return f"<?xml version='1.0'?><urlset {_NS}>{urls}</urlset>".encode()


def test_pages_of_this_host_each_once() -> None:
    """Pages of another host are another site's."""
    body = sitemap(URL, f"{URL}a/", f"{URL}a/", "https://other.example/")
    assert listed({f"{URL}sitemap.xml": body}) == [URL, f"{URL}a/"]


def test_an_index_is_followed_and_gzip_is_read() -> None:
    """An index names further sitemaps; one that names itself ends."""
    index = f"<sitemapindex {_NS}><sitemap><loc>{URL}sitemap.xml</loc></sitemap>"
    index += f"<sitemap><loc>{URL}s/1.xml.gz</loc></sitemap></sitemapindex>"
    bodies = {
        f"{URL}sitemap.xml": index.encode(),
        f"{URL}s/1.xml.gz": gzip.compress(sitemap(f"{URL}b/")),
    }
    assert listed(bodies) == [f"{URL}b/"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not a sitemap",
        b"\x1f\x8bnot gzip",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset><url><loc>&e;</loc></url>',
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><urlset>&b;</urlset>',
    ],
)
def test_what_is_no_sitemap_lists_nothing(body: bytes) -> None:
    """Hostile or broken XML is neither followed nor expanded."""
    assert listed({f"{URL}sitemap.xml": body}) == []


def test_robots_name_sitemaps_and_forbid_pages() -> None:
    """The rules of a site's owner count for us as for any robot."""
    robots = Robots(f"User-agent: *\nDisallow: /private/\nSitemap: {URL}map.xml\n")
    assert robots.sitemaps == [f"{URL}map.xml"]
    assert robots.allows(f"{URL}a/")
    assert not robots.allows(f"{URL}private/a/")
    assert listed({f"{URL}map.xml": sitemap(URL)}, *robots.sitemaps) == [URL]


def test_a_mark_before_robots_hides_no_rule() -> None:
    """Editors of Windows write one (RFC 9309 leaves it to the reader)."""
    body = "\ufeffUser-agent: *\nDisallow: /private/\n".encode()
    robots = Robots.of(cast("Client", FakeClient({f"{URL}robots.txt": body})), URL)
    assert not robots.allows(f"{URL}private/a/")


def test_few_pages_are_of_many_shapes() -> None:
    """Fifty posts of a blog do not crowd out the shop."""
    posts = [f"{URL}blog/{number}/" for number in range(50)]
    shop = [URL, f"{URL}shop/", f"{URL}shop/cup/", f"{URL}docs/a/b/"]
    chosen = spread([*posts, *shop], 6)
    assert set(shop) <= set(chosen)
    assert len(chosen) == 6
    assert spread([URL, URL], 9) == [URL]


@pytest.mark.parametrize(
    ("url", "public", "here"),
    [
        ("https://shop.example/", None, ["https://shop.example/a/", None]),
        ("https://www.shop.example/", None, ["https://shop.example/a/", None]),
        ("https://preview.example/", "https://shop.example/", ["https://preview.example/a/", None]),
        ("http://127.0.0.1:8000/", "/", ["http://127.0.0.1:8000/a/", None]),
        ("http://127.0.0.1:8000/a/", None, ["http://127.0.0.1:8000/a/", None]),
        ("http://[::1]:8000/", "https://shop.example/a", ["http://[::1]:8000/", None]),
        ("http://localhost:8000/", "https://shop.example/docs/", [None, None]),
        ("https://preview.example/", None, [None, None]),
    ],
)
def test_a_preview_is_asked_for_its_own_pages(
    url: str, public: str | None, here: list[str | None]
) -> None:
    """Pages of the public address are asked for on the preview; a third site's are not."""
    site = Site(url, public)
    assert [site.here(f"https://{name}/a/") for name in ("shop.example", "b.example")] == here
    assert site.here("https://[no-address/") is None


def test_what_is_left_out_is_counted_and_a_preview_asks_nobody_else() -> None:
    """By host; a sitemap of another host is not fetched for a preview on this machine."""
    site = Site("http://127.0.0.1:8000/", "https://shop.example/")
    bodies = {
        "http://127.0.0.1:8000/sitemap.xml": sitemap(URL, f"{URL}a/", "https://b.example/", "///["),
        "https://b.example/sitemap.xml": sitemap(f"{URL}b/"),
    }
    named = (f"{URL}sitemap.xml", "https://b.example/sitemap.xml")
    pages = listed_pages(cast("Client", FakeClient(bodies)), site, named)
    assert pages == ["http://127.0.0.1:8000/", "http://127.0.0.1:8000/a/"]
    assert site.left_out == {"b.example": 1, "": 1}


@pytest.mark.parametrize("line", ["Disallow: //[x", "Disallow: %2f%2f%5bx", "\x00: //[", ":"])
def test_odd_lines_of_robots_are_passed_over(line: str) -> None:
    """The rules around them count."""
    robots = Robots(f"User-agent: *\n{line}\nDisallow: /private/\n")
    assert not robots.allows(f"{URL}private/a/")
    assert robots.allows(f"{URL}a/")
