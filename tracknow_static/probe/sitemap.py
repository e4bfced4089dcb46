"""Which pages are asked for: what sitemap.xml lists, a spread of them, and what robots.txt allows."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.robotparser import RobotFileParser

from lxml import etree

from tracknow_static.probe.client import USER_AGENT, decoded
from tracknow_static.probe.redirects import is_local

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
        self._parser.parse([line for line in text.splitlines() if _is_address(unquote(line))])

    @classmethod
    def of(cls, client: Client, url: str) -> Robots:
        """Return the rules of a site; one that has none, or does not answer, allows all."""
        answer = client.get(urljoin(url, "/robots.txt"))
        return cls(answer.body.decode("utf-8-sig", "replace") if answer.status == 200 else "")

    def allows(self, url: str) -> bool:
        """Whether the probe may ask for ``url``."""
        return self._parser.can_fetch(USER_AGENT, url)

    @property
    def sitemaps(self) -> list[str]:
        """The addresses of sitemaps that robots.txt names."""
        return self._parser.site_maps() or []


@dataclass
class Site:
    """The site under probe: it is asked for at ``url``, and was built for ``public`` if that is known.

    A preview or a staging server lists its pages under the public address. ``left_out`` counts
    the listed pages of other sites by host.
    """

    url: str
    public: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def is_local(self) -> bool:
        """Whether the site is asked for on this machine or network: then nothing else is asked."""
        return is_local(urlsplit(self.url).hostname or "")

    def here(self, address: str) -> str | None:
        """Return where the probe asks for an address that a sitemap lists; None for another site's."""
        if not _is_address(address):
            return None
        parts, own = urlsplit(address), urlsplit(self.url)
        if _host(address) == _host(self.url):
            return address
        if self.is_local and not _host(self.public or ""):
            # A sitemap lists the pages of one host (sitemaps.org): here that of the site itself.
            self.public = f"https://{parts.netloc}{own.path}"
        prefix = urlsplit(self.public or "").path.rstrip("/") + "/"
        if _host(address) != _host(self.public or "") or not parts.path.startswith(prefix):
            return None
        query = f"?{parts.query}" if parts.query else ""
        return self.url + parts.path[len(prefix) :] + query


def listed_pages(client: Client, site: Site, named: Iterable[str]) -> list[str]:
    """Return the pages of the site that its sitemaps list, each once, in their order.

    ``named`` are sitemaps named elsewhere; without any, ``sitemap.xml`` in the site's folder and
    at the root are tried (sitemaps.org).
    """
    waiting = list(named) or [urljoin(site.url, "sitemap.xml"), urljoin(site.url, "/sitemap.xml")]
    read: set[str] = set()
    pages: dict[str, None] = {}
    while waiting and len(read) < _MOST_SITEMAPS:
        listed = waiting.pop(0)
        address = site.here(listed) or ("" if site.is_local else listed)
        if address in read or not address:
            continue
        read.add(address)
        answer = client.get(address)
        if answer.status != 200:
            continue
        root = _parsed(answer.body)
        if root is None:
            continue
        waiting += _texts(root, _FURTHER)
        for page in _texts(root, _LOCATION):
            if own := site.here(page):
                pages[own] = None
            else:
                site.left_out[_host(page)] += 1
    return list(pages)


def _host(address: str) -> str:
    """Return the host of an address with its port and without "www."; "" if it has none."""
    return urlsplit(address).netloc.lower().removeprefix("www.") if _is_address(address) else ""


def _is_address(text: str) -> bool:
    """Whether the standard library can split an address, or a line that ends in one."""
    try:
        urlsplit(text)
        urlsplit(text.partition(":")[2].strip())
    except ValueError:
        return False
    return True


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
