"""``tracknow-static inject`` and ``remove``: a built site in place, told to a person or to a program."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import click

from tracknow_static.errors import SiteError
from tracknow_static.flags import with_settings
from tracknow_static.page.findings import grouped, printable
from tracknow_static.page.site import count_pages, process_site, remove_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.config import Project
    from tracknow_static.page.report import SiteReport
    from tracknow_static.page.site import Progress

CHANGES, FAILED, INTERRUPTED = 1, 3, 130

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    --check: something would change; or a finding is an error
  2    the command line, an option or the folder is wrong
  3    some files could not be read or written; the rest is done
  130  interrupted; every page is whole
"""


@dataclass(frozen=True)
class _Voice:
    """How a pass is told."""

    site_dir: str
    as_json: bool
    quiet: bool
    verbose: bool
    csp: bool = False


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and the options that both have."""
    for decorate in (
        click.option("--verbose", "-v", is_flag=True, help="Also tell notes."),
        click.option("--quiet", "-q", is_flag=True, help="Tell problems only."),
        click.option("--json", "as_json", is_flag=True, help="Tell everything as one JSON object."),
        click.option(
            "--jobs",
            type=click.IntRange(1, 256),
            default=1,
            metavar="NUMBER",
            help="Processes to work with.  [default: 1]",
        ),
        click.option(
            "--check", is_flag=True, help="Change nothing; exit 1 if something would change."
        ),
        click.argument("site_dir", type=click.Path(exists=True, file_okay=False)),
    ):
        command = decorate(command)
    return command


@click.command(epilog=_EXIT_CODES)
@_common
@click.option("--csp", is_flag=True, help="Print what a Content-Security-Policy needs.")
@with_settings
def inject(
    project: Project,
    site_dir: str,
    *,
    check: bool,
    jobs: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    csp: bool,
) -> None:
    """Put the script into every page of SITE_DIR; report its payment links.

    No other byte of a page changes. Running it again replaces what it put there, and writes
    nothing where nothing changes.
    """
    voice = _Voice(site_dir, as_json, quiet, verbose, csp)
    if not project.settings.enabled:
        click.echo("tracknow: switched off (enabled is false); nothing was done", err=as_json)
        return
    with _whole(), _bar(voice) as progress:
        report = process_site(
            site_dir,
            project.settings,
            # Its path only: a preview on another host works as the site does.
            root_url=urlsplit(project.site_url or "").path,
            check=check,
            jobs=jobs,
            progress=progress,
        )
    _tell(report, voice)


@click.command(epilog=_EXIT_CODES)
@_common
def remove(
    site_dir: str, *, check: bool, jobs: int, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Take the script out of SITE_DIR: every page gets back its original bytes."""
    voice = _Voice(site_dir, as_json, quiet, verbose)
    with _whole(), _bar(voice) as progress:
        report = remove_site(site_dir, Settings(), check=check, jobs=jobs, progress=progress)
    _tell(report, voice)


@contextmanager
def _whole() -> Iterator[None]:
    """Turn what can stop a pass into its exit code; pages are whole at any time."""
    try:
        yield
    except SiteError as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        click.echo("\ntracknow: interrupted; every page is whole, run it again", err=True)
        sys.exit(INTERRUPTED)


@contextmanager
def _bar(voice: _Voice) -> Iterator[Progress | None]:
    """Show progress on a terminal; nothing in a log of CI or a pipe."""
    if voice.quiet or voice.as_json or not sys.stderr.isatty():
        yield None
        return
    total = count_pages(voice.site_dir)
    with click.progressbar(
        length=total,
        label="tracknow",
        file=sys.stderr,
        show_pos=True,
        update_min_steps=max(1, total // 100),
    ) as bar:
        yield lambda _number, _file: bar.update(1)


def _tell(report: SiteReport, voice: _Voice) -> NoReturn:
    if voice.as_json:
        click.echo(json.dumps(_object(report, voice), indent=2))
    else:
        _say(report, voice)
    errors = any(finding.severity == "error" for finding in report.findings)
    if report.failures:
        sys.exit(FAILED)
    sys.exit(CHANGES if errors or (report.check and not report.clean) else 0)


def _say(report: SiteReport, voice: _Voice) -> None:
    site = printable(voice.site_dir)
    for first, others in grouped(report.findings):
        if first.severity == "note" and not voice.verbose:
            continue
        more = f" (and on {others:,} more page{'s' * (others > 1)})" if others else ""
        click.echo(f"{os.path.join(site, str(first))}{more}")  # noqa: PTH118 - it is text
    for failure in report.failures:
        click.echo(f"{os.path.join(site, str(failure))}", err=True)  # noqa: PTH118
    if report.csp_hash and (voice.csp or voice.verbose):
        click.echo(f"Content-Security-Policy, script-src: '{report.csp_hash}'")
    if not (report.changed or report.unchanged or report.failures):
        hint = "holds no HTML page; is it the folder that the build writes?"
        click.echo(f"tracknow: {site} {hint}", err=True)
    elif not voice.quiet:
        click.echo(report.summary())


def _object(report: SiteReport, voice: _Voice) -> dict[str, Any]:
    names = ("pages", "changed", "unchanged", "excluded", "skipped", "links", "pages_with_links")
    return {
        "site": printable(voice.site_dir),
        "command": "remove" if report.removing else "inject",
        "check": report.check,
        "clean": report.clean,
        **{name: getattr(report, name) for name in names},
        "asset": report.asset,
        "asset_changed": report.asset_changed,
        "old_assets": report.old_assets,
        "csp_hash": report.csp_hash,
        "findings": [asdict(finding) for finding in report.findings],
        "failures": [failure._asdict() for failure in report.failures],
        "summary": report.summary(),
    }
