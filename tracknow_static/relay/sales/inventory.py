"""Reading the inventory of a site, its manifest: from a file, a folder or the live site."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tracknow_static import __version__
from tracknow_static.errors import RelayError, SettingsError
from tracknow_static.manifest import LARGEST, NAME, find, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpcore

    from tracknow_static.manifest import ListedSurface, Manifest

_OK = 200
_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Where a manifest is unless the option asset_dir was set.
_USUAL = f"assets/{NAME}"
# The address of the script's file in a page; the manifest is beside it.
_SCRIPT_FILE = re.compile(rb"[\"'= ]([^\"'<> =]*?)carry\.[0-9a-f]{8}\.js[\"'> ]")
# User name and password in a URL.
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")
_ACCEPTED = "Accepted: the URL of your site, or the URL or path of its tracknow.json."


class InventoryError(RelayError):
    """The site's inventory cannot be read; the text names the place and the reason."""

    def __init__(self, place: str, problem: str) -> None:
        text = f"Site inventory {place}: {problem} {_ACCEPTED}"
        super().__init__(_PASSWORD.sub("…@", text))


class Inventory(NamedTuple):
    """What leads to payment pages on a site; ``truncated`` when it may have more."""

    source: str
    surfaces: tuple[ListedSurface, ...]
    truncated: bool


def read_inventory(place: str) -> Inventory:
    """Read the inventory at a URL or a path. Raises :class:`InventoryError`.

    A folder may hold several, such as those of a site's versions: they count together.
    """
    try:
        found = _live(place) if "://" in place else _local(place)
    except SettingsError as error:  # a newer format, or damaged
        raise InventoryError(place, str(error)) from None
    return Inventory(
        place,
        tuple(surface for manifest in found for surface in manifest.surfaces),
        any(manifest.truncated for manifest in found),
    )


def _local(place: str) -> list[Manifest]:
    path = Path(place)
    try:
        if (path / NAME).is_file():  # the folder of the script's file
            path /= NAME
        if path.is_dir():
            if not _is_site(path):
                problem = f"the folder is no built site: there is no page and no {_USUAL} in it."
                raise InventoryError(place, problem)
            found = list(find(place).values())
            if not found:
                problem = (
                    f"the folder holds no {NAME}. Build or inject the site with `manifest` on."
                )
                raise InventoryError(place, problem)
            return found
        if not path.is_file():
            raise InventoryError(place, "there is no such file or folder.")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InventoryError(place, f"it cannot be read: {error.strerror}.") from None
    return [_parsed(content, place)]


def _is_site(folder: Path) -> bool:
    """Whether it is worth looking through: any other folder may be a whole disk."""
    pages = (".html", ".htm", ".xhtml")
    return (folder / _USUAL).is_file() or any(
        entry.suffix.lower() in pages for entry in folder.iterdir()
    )


def _parsed(content: bytes, place: str) -> Manifest:
    if len(content) > LARGEST:
        raise InventoryError(place, f"it is larger than {LARGEST >> 20} MB.")
    found = parse(content, NAME)
    if found is None:
        page = content[:1000].lstrip().startswith(b"<")
        what = "it is a page" if page else "it is another file"
        raise InventoryError(place, f"{what}, not a {NAME} of tracknow-static.")
    return found


# -- over HTTP ------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """What a URL was answered with; ``content`` has at most one byte too many."""

    url: str
    status: int
    content: bytes


def _live(place: str) -> list[Manifest]:
    until = time.monotonic() + _SECONDS
    url = _joined(place, place)
    if urlsplit(url).path.endswith(".json"):
        answer = _get(place, url, until)
        if answer.status != _OK:
            raise InventoryError(place, f"its host answers {answer.status}.")
        return [_parsed(answer.content, place)]
    root = url if url.endswith(("/", ".html")) else f"{url}/"
    for address in _candidates(place, root, until):
        answer = _get(place, address, until)
        if answer.status == _OK and parse(answer.content[:LARGEST], NAME):
            return [_parsed(answer.content, place)]
    problem = f"the site publishes no {NAME} beside the script's file."
    raise InventoryError(place, problem)


def _candidates(place: str, root: str, until: float) -> Iterator[str]:
    """Return where the site's manifest may be: at the usual place, then beside the script."""
    yield _joined(place, _USUAL, root)
    page = _get(place, root, until)
    found = _SCRIPT_FILE.search(page.content) if page.status == _OK else None
    if found:
        yield _joined(place, f"{found[1].decode('latin-1')}{NAME}", page.url)


def _get(place: str, url: str, until: float) -> _Answer:
    """Ask for ``url`` and follow redirects within the site. Raises :class:`InventoryError`."""
    import httpcore

    from tracknow_static.relay.deliver.network import GuardedBackend, Network, NetworkError

    network = Network.make(private=True, connect_timeout=_CONNECT_SECONDS, timeout=_SECONDS)
    backend = GuardedBackend(network)
    backend.deadline = until
    pool = httpcore.ConnectionPool(ssl_context=network.tls, network_backend=backend)
    try:
        with pool:
            home = _site(url)
            for _ in range(_MOST_REDIRECTS + 1):
                if _site(url) != home:
                    problem = f"it leads to {_origin(url)}. Is that another site, or a login?"
                    raise InventoryError(place, problem)
                answer, location = _ask(pool, url)
                if not location:
                    return answer
                url = _joined(place, location, url)
    except NetworkError as error:
        raise InventoryError(place, f"no answer: {error}.") from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise InventoryError(place, f"no answer: {type(error).__name__}.") from None
    raise InventoryError(place, f"more than {_MOST_REDIRECTS} redirects.")


def _ask(pool: httpcore.ConnectionPool, url: str) -> tuple[_Answer, str]:
    """Return the answer, and what it redirects to or ""."""
    headers = [("User-Agent", f"tracknow-static/{__version__}"), ("Accept-Encoding", "identity")]
    content = bytearray()
    with pool.stream("GET", url, headers=headers) as response:
        if response.status in _REDIRECTS:
            location = next((v for n, v in response.headers if n.lower() == b"location"), b"")
            return _Answer(url, response.status, b""), location.decode("latin-1")
        for part in response.iter_stream():
            content += part
            if len(content) > LARGEST:
                break
    return _Answer(url, response.status, bytes(content[: LARGEST + 1])), ""


def _joined(place: str, url: str, base: str | None = None) -> str:
    """Return the whole URL as browsers write it. Raises :class:`InventoryError`."""
    import ada_url

    try:
        parsed = ada_url.URL(url, base)
    except ValueError:
        raise InventoryError(place, f"{url!r} is not a URL.") from None
    if parsed.protocol not in ("https:", "http:") or parsed.username or parsed.password:
        text = f"{url!r}: only http and https work, without user name and password."
        raise InventoryError(place, text)
    parsed.hash = ""
    return str(parsed.href)


def _site(url: str) -> str:
    return (urlsplit(url).hostname or "").lower().removeprefix("www.")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"
