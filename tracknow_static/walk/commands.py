"""``tracknow-static walk``: the proof, with a real browser."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import ada_url
import click

from tracknow_static import exit_codes
from tracknow_static.audit.groups import Severities
from tracknow_static.audit.site import SiteAudit
from tracknow_static.click_options import exit_by, reporting_command
from tracknow_static.flags import with_settings
from tracknow_static.manifest import read_manifest
from tracknow_static.page.findings import printable
from tracknow_static.tracknow import clean
from tracknow_static.walk.chrome import browsing, find_browser
from tracknow_static.walk.output import Report
from tracknow_static.walk.visitor import Visitor
from tracknow_static.walk.walker import MISSING_PAGE, Target, Walker
from tracknow_static.walk.web import StandInWeb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracknow_static.audit.page import PageAudit
    from tracknow_static.config import Project

_CARRYING = ("current", "stale", "duplicate", "misplaced")
_LANDINGS = 10  # redirects that are landed on, unless all are


def _hosts(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9*](?:[A-Za-z0-9.*-]*[A-Za-z0-9])?", value):
            raise click.BadParameter(
                f"{value!r} is not accepted. Accepted: a host name without scheme, port and path, "
                "such as cdn.example."
            )
    return values


@reporting_command()
@click.argument("site_dir", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--pages",
    type=click.IntRange(1),
    help="Maximum number of pages with payment routes [default: all].",
)
@click.option(
    "--all",
    "every_route",
    is_flag=True,
    help="Take every route of every page, not one of each kind for each template.",
)
@click.option(
    "--screenshots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Save a picture of the page for each failure in this folder.",
)
@click.option("--browser", metavar="PATH", help="Chrome or Chromium [default: the installed one].")
@click.option("--headed", is_flag=True, help="Show the browser's window.")
@click.option(
    "--allow",
    multiple=True,
    metavar="HOST",
    callback=_hosts,
    help="Let the browser reach this host on the network. Repeatable.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also print routes that are as expected.")
@with_settings
def walk(
    project: Project,
    site_dir: str,
    *,
    output_format: str,
    fail_on: str,
    pages: int | None,
    every_route: bool,
    screenshots: Path | None,
    browser: str | None,
    headed: bool,
    allow: tuple[str, ...],
    verbose: bool,
) -> None:
    """Let a browser take every payment route of SITE_DIR, and report what Stripe is asked for.

    Each route is taken twice, without a click id and with one: the second request has to be the
    first with the id behind it. With `consent` also before it and after a refusal. Nothing leaves
    this machine: a local stand-in answers for every host.
    """
    manifest = read_manifest(site_dir)
    project = project.with_manifest(manifest)
    severities = Severities(project.severity, project.source)
    site = printable(site_dir)
    audit = SiteAudit(site_dir, project, manifest)
    program = find_browser(browser)
    if screenshots is not None:
        try:
            screenshots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--screenshots {screenshots}: {error.strerror}") from None
    audited = list(audit.pages())
    listed = _targets(audit, audited, most=pages, every=every_route)
    if all(target.landing for target in listed):
        raise click.UsageError(f"{site}: no page leads to a payment page.")
    report = Report(site, audited, output_format, verbose=verbose)
    host, prefix = _site_address(project)
    with (
        StandInWeb(Path(audit.root), host, prefix, audit.hosts) as web,
        browsing(program, web.port, headed=headed, allowed=allow) as driver,
    ):
        visitor = Visitor(driver, web, project.settings)
        Walker(visitor, report.add, every_route, screenshots).walk(listed)
    findings = severities.apply(report.findings)
    report.print(findings, web.others)
    if unread := [page.file for page in audited if page.state == "unread"]:
        click.echo(clean(f"cannot be read, and was not walked: {', '.join(unread)}"), err=True)
        sys.exit(exit_codes.FAILED)
    exit_by({finding.severity for finding in findings}, fail_on)


def _targets(
    audit: SiteAudit, audited: list[PageAudit], *, most: int | None, every: bool
) -> list[Target]:
    """Return the pages to walk; ``most`` limits the number of those with payment surfaces."""
    found: list[Target] = []
    landings: list[Target] = []
    scripts = [page.path for page in audited if page.state == "script"]
    names = {name for path in scripts for name in _spellings(path.rpartition("/")[2])}
    for page in audited:
        if page.state in ("unread", "script"):
            continue
        kinds = {surface.kind for surface in page.surfaces}
        loads = bool(names) and _mentions(Path(audit.root, page.path), names)
        carries = page.state in _CARRYING
        if (kinds or loads) and (most is None or len(found) < most):
            leaves = loads or bool(kinds & {"script", "refresh"})
            scripted = loads or bool(kinds & {"script", "data"})
            found.append(Target(page.path, scripted, leaves, carries=carries))
        if page.state != "excluded" and page.redirects:
            landings.append(Target(page.path, leaves=True, landing=True))
        if page.state != "excluded" and page.path == "404.html":
            landings.insert(0, Target(MISSING_PAGE, landing=True))
    return [*found, *(landings if every else landings[:_LANDINGS])]


def _spellings(name: str) -> tuple[bytes, bytes]:
    """Return how a page can name a file: as it is, or quoted for an address."""
    raw = os.fsencode(name)
    return raw, quote(raw).encode()


def _mentions(file: Path, names: Iterable[bytes]) -> bool:
    """Whether a page loads a script that leads to a payment page."""
    page = file.read_bytes()
    return any(name in page for name in names)


def _site_address(project: Project) -> tuple[str, str]:
    """Return the host, as a browser spells it, and the path that the site is walked under."""
    domain = project.settings.cookie_domain
    usual = f"https://{f'www.{domain}' if domain else 'shop.example'}/"
    try:
        url = ada_url.URL(project.site_url or "/", usual)
    except ValueError:
        url = ada_url.URL(usual)
    # The browser asks addresses of this machine directly, and not the stand-in.
    local = url.hostname == "localhost" or re.fullmatch(r"[\d.]+|\[.*\]", url.hostname)
    host = ada_url.URL(usual).hostname if local else url.hostname
    return host, url.pathname if url.pathname.endswith("/") else f"{url.pathname}/"
