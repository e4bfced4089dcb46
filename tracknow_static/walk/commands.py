"""``tracknow-static walk``: the proof, with a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from tracknow_static.audit.groups import Severities
from tracknow_static.audit.site import SiteAudit
from tracknow_static.click_options import exit_by, reporting_command
from tracknow_static.flags import with_settings
from tracknow_static.manifest import read_manifest
from tracknow_static.walk.chrome import browsing, find_browser
from tracknow_static.walk.output import Report
from tracknow_static.walk.visitor import Visitor
from tracknow_static.walk.walker import Target, Walker
from tracknow_static.walk.web import StandInWeb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracknow_static.config import Project

_LANDINGS = 10  # redirects that are landed on, unless all are


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
    audit = SiteAudit(site_dir, project, manifest)
    program = find_browser(browser)
    if screenshots is not None:
        try:
            screenshots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--screenshots {screenshots}: {error.strerror}") from None
    listed, lines = _targets(audit, most=pages, every=every_route)
    if all(target.landing for target in listed):
        raise click.UsageError(f"{site_dir}: no page leads to a payment page.")
    report = Report(site_dir, lines, output_format, verbose=verbose)
    host, prefix = _site_address(project)
    with (
        StandInWeb(Path(audit.root), host, prefix, audit.hosts) as web,
        browsing(program, web.port, headed=headed, allowed=allow) as driver,
    ):
        visitor = Visitor(driver, web, project.settings)
        Walker(visitor, report.add, every_route, screenshots).walk(listed)
    findings = severities.apply(report.findings)
    report.print(findings, web.others)
    exit_by({finding.severity for finding in findings}, fail_on)


def _targets(
    audit: SiteAudit, *, most: int | None, every: bool
) -> tuple[list[Target], dict[tuple[str, str, str], int]]:
    """Return the pages to walk, and the line of each payment surface by page, kind and address.

    ``most`` limits the number of pages with payment surfaces.
    """
    found: list[Target] = []
    landings: list[Target] = []
    lines: dict[tuple[str, str, str], int] = {}
    pages = list(audit.pages())
    scripts = [page.path.rpartition("/")[2].encode() for page in pages if page.state == "script"]
    for page in pages:
        if page.state in ("unread", "script"):
            continue
        for surface in page.surfaces:
            lines.setdefault((page.path, surface.kind, surface.url), surface.line)
        kinds = {surface.kind for surface in page.surfaces}
        loads = bool(scripts) and _mentions(Path(audit.root, page.path), scripts)
        if (kinds or loads) and (most is None or len(found) < most):
            leaves = loads or bool(kinds & {"script", "refresh"})
            scripted = loads or bool(kinds & {"script", "data"})
            found.append(Target(page.path, scripted, leaves))
        if page.state != "excluded" and page.redirects:
            landings.append(Target(page.path, leaves=True, landing=True))
    if Path(audit.root, "404.html").is_file():
        found.append(Target("walk/no-such-page/", landing=True))
    return [*found, *(landings if every else landings[:_LANDINGS])], lines


def _mentions(file: Path, names: Iterable[bytes]) -> bool:
    """Whether a page loads a script that leads to a payment page."""
    page = file.read_bytes()
    return any(name in page for name in names)


def _site_address(project: Project) -> tuple[str, str]:
    """Return the host and the path that the site is walked under."""
    parts = urlsplit(project.site_url or "")
    domain = project.settings.cookie_domain
    host = parts.hostname or (f"www.{domain}" if domain else "shop.example")
    return host, parts.path or "/"
