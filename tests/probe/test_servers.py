"""A deployed site behind real web servers, set up well and in twenty wrong ways: what is reported."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.web_servers import serving
from tracknow_static.cli import cli
from tracknow_static.edge.files import render
from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = (
    '<!doctype html><html><head><meta charset="utf-8"><title>Shop</title></head><body>'
    '<a href="https://buy.stripe.com/abc">Buy</a>{padding}</body></html>'
)
_PAGES = ("index.html", "guide/index.html", "blog/one.html", "404.html")


def build(folder: Path, settings: Settings = Settings()) -> Path:  # noqa: B008 - frozen
    """Build a small site with the script in every page."""
    site = folder / "site"
    for number, page in enumerate(_PAGES):
        file = site / page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_PAGE.format(padding=f"<p>{number}</p>" * 50))
    assert not process_site(site, settings, site_url="/").failures
    urls = "".join(
        f"<url><loc>http://HOST/{page.removesuffix('index.html')}</loc></url>" for page in _PAGES
    )
    (site / "sitemap.xml").write_text(f"<urlset>{urls}</urlset>")
    return site


def script_file(site: Path) -> Path:
    """The script's file of a built site."""
    (file,) = (site / "assets").glob("carry.*.js")
    return file


@dataclass(frozen=True)
class Case:
    """A server's set-up, and the codes with words that the probe reports, the infos aside."""

    kind: str
    name: str
    server: str
    expected: dict[str, str]
    arguments: tuple[str, ...] = ()
    http: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


_NGINX = "error_page 404 /404.html; "
# Caddy before 2.8 drops the query when it adds the slash at the end.
_SLASH = "\t@folder {\n\t\tfile {path}/index.html\n\t\tnot path */\n\t}\n\tredir @folder {path}/?{query} 308\n"
_CADDY = _SLASH + "\thandle_errors {\n\t\trewrite * /404.html\n\t\tfile_server\n\t}\n"
_APACHE = "ErrorDocument 404 /404.html\n"
_RIGHT = {"nginx": _NGINX, "caddy": _CADDY, "apache": _APACHE}

CASES = [
    *(Case(kind, "set up well", lines, {}) for kind, lines in _RIGHT.items()),
    Case("nginx", "gzip_static with fresh copies", _NGINX + "gzip_static on;", {}),
    Case("nginx", "compresses by itself", _NGINX + "gzip on; gzip_min_length 1;", {}),
    Case(
        "caddy",
        "compresses by itself",
        _CADDY + "\tencode zstd gzip",
        {},
    ),
    Case(
        "nginx",
        "redirect to the slash drops the query",
        _NGINX + "location = /guide { return 301 /guide/; }",
        {"TN601": "dropped by 301"},
    ),
    Case(
        "nginx",
        "redirect to a payment page",
        _NGINX + "location = /blog/one.html { return 302 https://buy.stripe.com/abc; }",
        {"TN425": "302 → https://buy.stripe.com/abc (a payment page"},
    ),
    Case(
        "nginx",
        "redirect renames the parameter",
        _NGINX + "location = /guide { return 302 /guide/?ref=$arg_click_id; }",
        {"TN601": "renamed to 'ref' by 302"},
    ),
    Case(
        "nginx",
        "redirect moves the query behind the fragment",
        _NGINX + "location = /guide { return 302 /guide/#top?$args; }",
        {"TN601": "moved behind the fragment by 302"},
    ),
    Case(
        "nginx",
        "redirect hands the address on in a parameter",
        _NGINX + "location = /guide { return 307 /guide/?from=%2Fguide%3F$arg_click_id; }",
        {"TN601": "encoded into another parameter by 307"},
    ),
    Case(
        "caddy",
        "an old Caddy adds the slash without the query",
        _CADDY.removeprefix(_SLASH),
        {"TN601": "dropped by 308"},
    ),
    Case(
        "apache",
        "rewrite with a question mark at its end",
        _APACHE + 'RewriteEngine on\nRewriteRule "^/guide$" "/guide/?" [R=301,L]',
        {"TN601": "dropped by 301"},
    ),
    Case(
        "apache",
        "upper case is redirected without the query",
        _APACHE + 'RewriteEngine on\nRewriteRule "^/GUIDE/?$" "/guide/?" [R=302,L]',
        {"TN601": "dropped by 302"},
    ),
    Case(
        "nginx",
        "stale .gz copies",
        _NGINX + "gzip_static on;",
        {"TN651": "gzip: without the script"},
    ),
    Case(
        "nginx",
        "a proxy delays scripts",
        _NGINX + 'sub_filter "<script data-tracknow" '
        '"<script type=\\"0f1e-text/javascript\\" data-tracknow"; sub_filter_once off;',
        {"TN613": "type=0f1e-text/javascript"},
    ),
    Case(
        "nginx",
        "a proxy adds a script before ours",
        _NGINX + 'sub_filter "<meta charset" "<script>1</script><meta charset";',
        {"TN615": "not the first"},
    ),
    Case(
        "nginx",
        "a cache serves the pages of the build before",
        _NGINX + 'sub_filter "max-age=" "max-age=1"; sub_filter_once off;',
        {"TN612": "other settings"},
    ),
    Case(
        "nginx",
        "policy without our hash",
        _NGINX + "add_header Content-Security-Policy \"script-src 'self'\" always;",
        {"TN631": "script-src"},
    ),
    Case(
        "nginx",
        "scripts served as text with nosniff",
        _NGINX + "location /assets/ { types { text/plain js; } "
        "add_header X-Content-Type-Options nosniff; }",
        {"TN623": "text/plain"},
    ),
    Case(
        "nginx",
        "the assets are not published",
        _NGINX + "location /assets/ { return 404; }",
        {"TN621": "status 404"},
    ),
    Case(
        "apache",
        "a login before the assets",
        _APACHE + 'Redirect 302 "/assets/" "/blog/one.html?/"',
        {"TN621": "the answer is a page"},
    ),
    Case(
        "caddy",
        "a minifier changed the file",
        _CADDY + "\thandle /assets/* {\n\t\theader Content-Type text/javascript\n"
        "\t\trespond `minified()` 200\n\t}",
        {"TN622": "other content"},
    ),
    Case(
        "caddy",
        "no 404 page of the site's own",
        f"{_SLASH}\thandle_errors {{\n\t\theader Content-Type text/html\n"
        "\t\trespond `<title>Gone</title>` 404\n\t}",
        {"TN661": "404 page"},
    ),
    Case(
        "apache",
        "the edge file is not deployed",
        _APACHE,
        {"TN642": "no Set-Cookie header"},
        arguments=("--edge",),
    ),
    Case(
        "caddy",
        "a cookie of everyone's in a shared cache",
        _CADDY + '\theader +Set-Cookie "tn_click_id={query.click_id}; Path=/"\n'
        '\theader Cache-Control "public, max-age=600"',
        {"TN641": "cache-control: public"},
    ),
    Case(
        "nginx",
        "a service worker keeps the pages",
        _NGINX + "location = /sw.js { default_type text/javascript; "
        "return 200 'precache([\"/index.html\"])'; }",
        {"TN671": "service worker"},
    ),
]


def write_copies(site: Path, *, fresh: bool) -> None:
    """Write .gz copies of the pages, made after or before the script was put in."""
    for page in _PAGES:
        content = (site / page).read_bytes()
        if not fresh:
            content = re.sub(rb"<script data-tracknow.*?</script>", b"", content, flags=re.DOTALL)
        (site / f"{page}.gz").write_bytes(gzip.compress(content))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_reported(case: Case, tmp_path: Path) -> None:
    """Each wrong set-up is named by its code and words, and nothing else is reported."""
    site = build(tmp_path)
    if "gzip_static" in case.server:
        write_copies(site, fresh="fresh" in case.name)
    with serving(case.kind, tmp_path, site, server=case.server, http=case.http) as port:
        sitemap = site / "sitemap.xml"
        sitemap.write_text(sitemap.read_text().replace("HOST", f"127.0.0.1:{port}"))
        command = ["probe", f"http://127.0.0.1:{port}/", "--json", "--timeout=250", *case.arguments]
        done = CliRunner().invoke(cli, command)
    report = json.loads(done.stdout)
    counted = [entry for entry in report["findings"] if entry["severity"] != "info"]
    assert {entry["code"] for entry in counted} == set(case.expected), done.stdout
    for code, words in case.expected.items():
        assert any(words in entry["message"] for entry in counted if entry["code"] == code), counted
    errors = any(entry["severity"] == "error" for entry in counted)
    assert done.exit_code == (1 if errors else 0)
    assert len(report["pages"]) >= 3


@pytest.mark.parametrize("kind", sorted(_RIGHT))
def test_the_edge_file_is_recognized(kind: str, tmp_path: Path) -> None:
    """Deployed with the same options, the cookie comes as expected; with others it does not."""
    site = build(tmp_path)
    files = {file.path: file.text for file in render(kind, Settings())}
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    lines, around = {
        "nginx": ("include {0}/tracknow-server.conf;", "include {0}/tracknow-http.conf;"),
        "caddy": ("\timport {0}/tracknow.caddy", ""),
        "apache": ("Include {0}/tracknow.conf", ""),
    }[kind]
    server = _RIGHT[kind] + lines.format(tmp_path)
    with serving(kind, tmp_path, site, server=server, http=around.format(tmp_path)) as port:
        command = ["probe", f"http://127.0.0.1:{port}/", "--edge", "--json", "--timeout=250"]
        right = CliRunner().invoke(cli, command)
        other = CliRunner().invoke(cli, [*command, "--storage-name", "other_id"])
    assert right.exit_code == 0, right.stdout
    assert "TN642" in {entry["code"] for entry in json.loads(other.stdout)["findings"]}
