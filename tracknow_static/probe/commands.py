"""``tracknow-static probe``: asks the deployed site whether a click id survives."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import exit_by, reporting_command
from tracknow_static.flags import with_settings
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from tracknow_static.config import Project


def _resolve(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for value in values:
        host, equals, place = value.partition("=")
        address, colon, port = place.rpartition(":")
        number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 0
        if not (host and equals and address and colon and 0 < number < 65_536):
            raise click.BadParameter(
                f"{value!r} is not accepted. Accepted: HOST=ADDRESS:PORT, such as "
                "shop.example.com=127.0.0.1:8443."
            )
        found[host.lower()] = place
    return found


def _root(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, known = urlsplit(""), False
    if not known or "@" in parts.netloc or parts.query or parts.fragment:
        raise click.BadParameter(
            f"{value!r} is not accepted. Accepted: the address of the site's start page, "
            "such as https://your.shop/ or http://127.0.0.1:8000/, without query and fragment."
        )
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit(parts._replace(path=path))


@reporting_command()
@click.argument("url", callback=_root)
@click.option(
    "--pages",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Maximum number of pages. They are a spread over the kinds of pages in sitemap.xml.",
)
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    help="Read the pages from this file instead, one URL or path on each line; - is standard input.",
)
@click.option(
    "--edge",
    "expects_edge",
    is_flag=True,
    help="Expect the cookie that the file of `tracknow-static edge` sets.",
)
@click.option(
    "--resolve",
    multiple=True,
    metavar="HOST=ADDRESS:PORT",
    callback=_resolve,
    help="Dial this address for a host, for a staging server. Repeatable.",
)
@click.option("--ignore-robots", is_flag=True, help="Also ask for pages that robots.txt forbids.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Maximum duration of the whole probe.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also print every redirect and every page.")
@with_settings
def probe(
    project: Project,
    url: str,
    *,
    output_format: str,
    fail_on: str,
    pages: int,
    list_file: Path | None,
    expects_edge: bool,
    resolve: dict[str, str],
    ignore_robots: bool,
    timeout: int,
    verbose: bool,
) -> None:
    """Ask the deployed site at URL whether a click id survives, the way a visitor's browser does.

    Every redirect that a landing may meet; the script on up to --pages pages, in each encoding;
    its file; policies, cookies and caches; the 404 page; service workers. Nothing is stored, and
    no payment page is asked for.

    Settings come from options, tracknow.toml or pyproject.toml; without any, from the manifest of
    the deployed site.
    """
    from tracknow_static.audit.groups import Severities
    from tracknow_static.probe.client import Client
    from tracknow_static.probe.output import print_probe
    from tracknow_static.probe.run import Probe, live_manifest

    severities = Severities(project.severity, project.source)
    with Client(seconds=timeout, resolve=resolve) as client:
        manifest = live_manifest(client, url, project.settings)
        project = project.with_manifest(manifest)
        probe = Probe(
            client=client,
            url=url,
            settings=project.settings,
            source=project.source,
            public=project.site_url,
            opted_out=manifest.opted_out if manifest else (),
            most_pages=pages,
            pages=_listed(list_file, url),
            expects_edge=expects_edge,
            ignore_robots=ignore_robots,
            progress=_progress if sys.stderr.isatty() and output_format == "text" else None,
        )
        probe.run()
    if probe.progress:
        click.echo("\r\x1b[K", nl=False, err=True)
    findings = severities.apply(probe.findings)
    print_probe(probe, findings, output_format, verbose=verbose)
    if not probe.states:
        sys.exit(exit_codes.FAILED)
    exit_by({finding.severity for finding in findings}, fail_on)


def _listed(file: Path | None, url: str) -> tuple[str, ...]:
    if file is None:
        return ()
    host = urlsplit(url).netloc
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        lines = (line.strip() for line in text.splitlines())
        pages = tuple(urljoin(url, line) for line in lines if line and not line.startswith("#"))
        for page in pages:
            if urlsplit(page).netloc != host:
                raise click.UsageError(f"--list {file}: {clean(page)} is not on {host}.")
    except (OSError, ValueError) as error:  # it is not UTF-8, or holds what is no URL
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.UsageError(f"--list {file}: {reason}.") from None
    if not pages:
        raise click.UsageError(f"--list {file}: it names no page.")
    return pages


def _progress(url: str) -> None:
    click.echo(f"\r\x1b[K{clean(url[:100])}", nl=False, err=True)
