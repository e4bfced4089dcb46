"""The inventory of a site: read from files, folders and the live site; what is none is named."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers
from tracknow_static.manifest import LARGEST
from tracknow_static.relay.sales import inventory
from tracknow_static.relay.sales.inventory import InventoryError, read_inventory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://buy.stripe.com/aEU14A9PY"


def manifest(url: str = URL, **changes: Any) -> bytes:
    """Return a manifest of a site with one payment link."""
    surface = {"kind": "link", "url": url, "count": 1, "pages": ["a.html"], "without_script": []}
    document = {
        "tool": "tracknow-static",
        "format": 1,
        "version": "1",
        "settings": {"asset_dir": "assets"},
        "opted_out": [],
        "surfaces": [surface],
        **changes,
    }
    return json.dumps(document).encode()


def problem(place: str) -> str:
    """Return why the inventory at a place cannot be read."""
    with pytest.raises(InventoryError) as caught:
        read_inventory(place)
    text = str(caught.value)
    assert text.startswith(f"Site inventory {place.replace('user:secret@', '…@')}: ")
    assert "secret" not in text
    assert text.endswith("tracknow.json.")
    return text


def test_a_file_and_a_folder_with_versions(tmp_path: Path) -> None:
    """The links of all versions below a folder count together."""
    for folder, url in (("", URL), ("v1/", f"{URL}1")):
        (tmp_path / folder / "assets").mkdir(parents=True)
        (tmp_path / folder / "assets" / "tracknow.json").write_bytes(manifest(url))
    (surface,) = read_inventory(str(tmp_path / "assets" / "tracknow.json")).surfaces
    assert (surface.url, surface.pages, surface.without_script) == (URL, ["a.html"], [])
    found = read_inventory(str(tmp_path))
    assert sorted(surface.url for surface in found.surfaces) == [URL, f"{URL}1"]
    assert not found.truncated


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!doctype html><title>Log in</title>", "it is a page, not a tracknow.json"),
        (b'{"name": "other"}', "it is another file"),
        (b"[" * 100_000, "it is another file"),
        (b"\xff\xfe\x00", "it is another file"),
        (manifest(format=2), "Upgrade it."),
        (manifest(surfaces="none"), "is damaged. Build or inject the site again."),
        (b" " * (LARGEST + 1), "larger than 16 MB"),
    ],
)
def test_files_that_are_no_inventory(tmp_path: Path, content: bytes, words: str) -> None:
    """Each is named with its reason, and none ends in a traceback."""
    (tmp_path / "tracknow.json").write_bytes(content)
    assert words in problem(str(tmp_path / "tracknow.json"))


def test_the_folder_of_the_script(tmp_path: Path) -> None:
    """The folder that holds the file counts as the file."""
    (tmp_path / "tracknow.json").write_bytes(manifest())
    assert read_inventory(str(tmp_path)).surfaces[0].url == URL


def test_places_without_a_file(tmp_path: Path) -> None:
    """A missing file, a folder that is no site and a pipe that nobody writes to are named at once."""
    assert "no such file or folder" in problem(str(tmp_path / "none.json"))
    (tmp_path / "below" / "assets").mkdir(parents=True)
    (tmp_path / "below" / "assets" / "tracknow.json").write_bytes(manifest())
    assert "the folder is no built site" in problem(str(tmp_path))
    (tmp_path / "below" / "assets" / "tracknow.json").unlink()
    (tmp_path / "index.html").touch()
    assert "the folder holds no tracknow.json" in problem(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "no such file or folder" in problem(str(tmp_path / "pipe"))


def test_strange_entries_are_left_out(tmp_path: Path) -> None:
    """A surface of other types than ours names nothing, and the others count."""
    good = json.loads(manifest())["surfaces"][0]
    entries = [None, 7, {"url": 5, "count": "x", "pages": {"a": 1}}, good]
    (tmp_path / "t.json").write_bytes(manifest(surfaces=entries))
    found = read_inventory(str(tmp_path / "t.json")).surfaces
    assert [surface.url for surface in found] == ["", "", "5", URL]
    assert found[2].pages == []


# -- over HTTP ------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]


@contextlib.contextmanager
def serving(answers: dict[str, Answer]) -> Iterator[str]:
    """Serve answers by their paths on loopback; yield the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path) or answers.get("*") or (404, {}, b"")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # a client that has enough hangs up
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with servers.serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


GOOD: Answer = (200, {}, manifest())
PAGE = b'<!doctype html><script src="/x/static/js/carry.0a1b2c3d.js" defer></script>'


@pytest.mark.parametrize(
    ("place", "answers"),
    [
        ("/static/tracknow.json", {"/static/tracknow.json": GOOD}),
        ("/data.json?v=1#x", {"/data.json?v=1": GOOD}),
        ("", {"/assets/tracknow.json": GOOD}),
        ("/shop", {"/shop/assets/tracknow.json": GOOD}),
        ("/shop/index.html", {"/shop/assets/tracknow.json": GOOD}),
        ("/x/", {"/x/": (200, {}, PAGE), "/x/static/js/tracknow.json": GOOD}),
        # A host that answers every address with its start page.
        ("/x/", {"*": (200, {}, PAGE), "/x/static/js/tracknow.json": GOOD}),
        ("/a.json", {"/a.json": (302, {"Location": "/b.json"}, b""), "/b.json": GOOD}),
    ],
)
def test_the_live_site(place: str, answers: dict[str, Answer]) -> None:
    """Its manifest is found at its address, at the usual place, or beside the script's file."""
    with serving(answers) as origin:
        (surface,) = read_inventory(origin + place).surfaces
    assert surface.url == URL


@pytest.mark.parametrize(
    ("place", "answers", "words"),
    [
        ("/t.json", {}, "its host answers 404"),
        ("", {}, "the site publishes no tracknow.json beside the script's file"),
        ("", {"*": (200, {}, PAGE)}, "the site publishes no tracknow.json"),
        ("/t.json", {"*": (200, {}, PAGE)}, "it is a page"),
        (
            "/t.json",
            {"*": (302, {"Location": "http://localhost:1/login"}, b"")},
            "it leads to http://localhost. Is that another site, or a login?",
        ),
        ("/t.json", {"*": (302, {"Location": "file:///etc/passwd"}, b"")}, "only http and https"),
        ("/t.json", {"*": (302, {"Location": "http://[::1/"}, b"")}, "'http://[::1/' is not a URL"),
        ("/t.json", {"*": (301, {"Location": "/t.json"}, b"")}, "more than 5 redirects"),
        ("/t.json", {"*": (200, {}, b" " * (LARGEST + 9))}, "larger than 16 MB"),
        ("/t.json", {"*": (200, {"Content-Length": "99"}, b"{")}, "no answer"),
    ],
)
def test_sites_that_answer_something_else(
    place: str, answers: dict[str, Answer], words: str
) -> None:
    """Each is named with its reason."""
    with serving(answers) as origin:
        assert words in problem(origin + place)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("ftp://shop.example/", "only http and https work"),
        ("https://user:secret@shop.example/", "without user name and password"),
        ("https://[::1/", "is not a URL"),
        ("http://127.0.0.1:1/t.json", "no answer: connecting to 127.0.0.1"),
        ("https://no-such-host.invalid/t.json", "no answer: looking up no-such-host.invalid"),
    ],
)
def test_addresses_that_cannot_be_asked(place: str, words: str) -> None:
    """Each is named with its reason."""
    assert words in problem(place)


@pytest.mark.parametrize(
    "drip", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"]
)
def test_an_answer_that_never_ends(monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    """A host that sends a byte now and then is given up after a limit for all of it."""
    monkeypatch.setattr(inventory, "_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_drip, args=(server, drip))
        thread.start()
        assert "no answer" in problem(f"http://127.0.0.1:{server.getsockname()[1]}/t.json")
        # If this machine was so busy that nobody has come, the thread still waits for somebody.
        socket.create_connection(server.getsockname(), 100).close()
        thread.join()


def _drip(server: socket.socket, start: bytes) -> None:
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(start)
        stop = threading.Event()
        while not stop.wait(0.05):
            connection.sendall(b"x")
