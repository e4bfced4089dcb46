"""Which pages are asked for: what sitemap.xml lists, a spread of them, and what robots.txt allows."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, zip_longest
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

from lxml import etree

from tracknow_static.probe.client import USER_AGENT, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracknow_static.probe.client import Client

_MOST_SITEMAPS = 10
_LOCATION = "{*}url/{*}loc"
_FURTHER = "{*}sitemap/{*}loc"


class Robots:
    """What robots.txt allows (RFC 9309), and the sitemaps that it names."""

    def __init__(self, text: str) -> None:
        self._parser = RobotFileParser()
        self._parser.parse(text.splitlines())

    @classmethod
    def of(cls, client: Client, url: str) -> Robots:
        """Return the rules of a site; one that has none, or does not answer, allows all."""
        answer = client.get(urljoin(url, "/robots.txt"))
        return cls(answer.body.decode("utf-8", "replace") if answer.status == 200 else "")

    def allows(self, url: str) -> bool:
        """Whether the probe may ask for ``url``."""
        return self._parser.can_fetch(USER_AGENT, url)

    @property
    def sitemaps(self) -> list[str]:
        """The addresses of sitemaps that robots.txt names."""
        return self._parser.site_maps() or []


def listed_pages(client: Client, url: str, named: Iterable[str]) -> list[str]:
    """Return the pages of this host that its sitemaps list, each once, in their order.

    ``named`` are sitemaps named elsewhere; without any, ``sitemap.xml`` in the folder of ``url``
    and at the root are tried (sitemaps.org).
    """
    waiting = list(named) or [urljoin(url, "sitemap.xml"), urljoin(url, "/sitemap.xml")]
    read: set[str] = set()
    pages: dict[str, None] = {}
    host = urlsplit(url).netloc
    while waiting and len(read) < _MOST_SITEMAPS:
        address = waiting.pop(0)
        if address in read:
            continue
        read.add(address)
        answer = client.get(address)
        if answer.status != 200:
            continue
        root = _parsed(answer.body)
        if root is None:
            continue
        waiting += _texts(root, _FURTHER)
        pages |= dict.fromkeys(
            page for page in _texts(root, _LOCATION) if urlsplit(page).netloc == host
        )
    return list(pages)


def _parsed(body: bytes) -> etree._Element | None:
    if body[:2] == b"\x1f\x8b":
        try:
            body = decoded(body, "gzip")
        except ValueError:
            return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    try:
        return etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        return None


def _texts(root: etree._Element, path: str) -> Iterator[str]:
    for element in root.iterfind(path):
        if element.text and element.text.strip():
            yield element.text.strip()


def spread(urls: Iterable[str], most: int) -> list[str]:
    """Return at most ``most`` addresses of as many shapes as possible.

    A shape is the first segment of the path and its depth: pages of one shape are made by one
    template, and fifty blog posts prove no more than three.
    """
    shapes: dict[tuple[str, int], list[str]] = defaultdict(list)
    for url in dict.fromkeys(urls):
        segments = [segment for segment in urlsplit(url).path.split("/") if segment]
        first = segments[0] if len(segments) > 1 else ""
        shapes[first, len(segments)].append(url)
    turns = chain.from_iterable(zip_longest(*shapes.values()))
    return [url for url in turns if url is not None][:most]
