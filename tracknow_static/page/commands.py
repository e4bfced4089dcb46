"""``tracknow-static inject`` and ``remove``: a built site in place, reported as text or JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import decorated, format_option
from tracknow_static.flags import with_settings
from tracknow_static.manifest import read_manifest
from tracknow_static.page.findings import grouped, on_more_pages, printable
from tracknow_static.page.process import is_page
from tracknow_static.page.report import SiteReport
from tracknow_static.page.site import process_site, remove_site
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.config import Project
    from tracknow_static.page.site import Progress

_EPILOG = exit_codes.epilog(
    exit_codes.FAILED,
    exit_codes.INTERRUPTED,
    attention="--check: something would change; a finding is an error; or no page was found "
    "that carries the script",
)


@dataclass(frozen=True)
class _Output:
    """How a pass is reported."""

    site_dir: str
    output_format: str
    quiet: bool
    verbose: bool
    csp: bool = False


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command with the argument and the options that both have."""
    return decorated(
        command,
        click.argument("site_dir", type=click.Path(exists=True, file_okay=False)),
        click.option(
            "--check", is_flag=True, help="Change nothing; exit 1 if something would change."
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1, 256),
            default=1,
            metavar="NUMBER",
            help="Number of processes.  [default: 1]",
        ),
        format_option(),
        click.option("--quiet", "-q", is_flag=True, help="Print problems only."),
        click.option("--verbose", "-v", is_flag=True, help="Print findings of severity info too."),
    )


@click.command(epilog=_EPILOG)
@_common
@click.option("--csp", is_flag=True, help="Print what a Content-Security-Policy needs.")
@with_settings
def inject(
    project: Project,
    site_dir: str,
    *,
    check: bool,
    jobs: int,
    output_format: str,
    quiet: bool,
    verbose: bool,
    csp: bool,
) -> None:
    """Put the script into every page of SITE_DIR; report its payment links.

    No other byte of a page changes. Running it again replaces what it put there, and writes
    nothing where nothing changes. Settings, URL and opted-out pages of an earlier build or run
    are kept, from its tracknow.json, unless options or a file give others.
    """
    output = _Output(site_dir, output_format, quiet, verbose, csp)
    manifest = read_manifest(site_dir)
    project = project.with_manifest(manifest)
    if not project.settings.enabled:
        as_json = output_format == "json"
        click.echo("tracknow: switched off (enabled is false); nothing was done", err=as_json)
        if as_json:
            click.echo(json.dumps(_object(SiteReport(check=check), output), indent=2))
        return
    with _interruptible(), _bar(output) as progress:
        report = process_site(
            site_dir,
            project.settings,
            generator=manifest.generator if manifest else "inject",
            site_url=project.site_url,
            opted_out=manifest.opted_out if manifest else (),
            check=check,
            jobs=jobs,
            progress=progress,
        )
    if manifest and not quiet and (kept := project.kept_from(manifest)):
        names = ", ".join(f"{name} {value!r}" for name, value in kept.items())
        click.echo(f"tracknow: kept from {manifest.path}: {names}", err=True)
    _print(report, output)


@click.command(epilog=_EPILOG)
@_common
def remove(
    site_dir: str, *, check: bool, jobs: int, output_format: str, quiet: bool, verbose: bool
) -> None:
    """Remove the script from SITE_DIR: every page gets back its original bytes."""
    output = _Output(site_dir, output_format, quiet, verbose)
    with _interruptible(), _bar(output) as progress:
        report = remove_site(site_dir, check=check, jobs=jobs, progress=progress)
    _print(report, output)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a pass; pages are whole at any time."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\ntracknow: interrupted; every page is whole, run it again", err=True)
        sys.exit(exit_codes.INTERRUPTED)


@contextmanager
def _bar(output: _Output) -> Iterator[Progress | None]:
    """Show progress on a terminal; nothing in a log of CI or a pipe."""
    if output.quiet or output.output_format == "json" or not sys.stderr.isatty():
        yield None
        return
    total = sum(is_page(name) for _, _, names in os.walk(output.site_dir) for name in names)
    with click.progressbar(
        length=total,
        label="tracknow",
        file=sys.stderr,
        show_pos=True,
        update_min_steps=max(1, total // 100),
    ) as bar:
        yield lambda _number, _file: bar.update(1)


def _print(report: SiteReport, output: _Output) -> NoReturn:
    if output.output_format == "json":
        click.echo(json.dumps(_object(report, output), indent=2))
    else:
        _print_text(report, output)
    problem = ""
    if report.empty:
        problem = "no HTML page found; is it the folder that the build writes?"
    elif report.without_script:
        problem = "no page can carry the script; no script file was written."
    if problem:
        click.echo(f"tracknow: {printable(output.site_dir)}: {problem}", err=True)
    errors = any(finding.severity == "error" for finding in report.findings)
    if report.failures:
        sys.exit(exit_codes.FAILED)
    attention = errors or problem or (report.check and not report.clean)
    sys.exit(exit_codes.ATTENTION if attention else exit_codes.DONE)


def _print_text(report: SiteReport, output: _Output) -> None:
    site = printable(output.site_dir)
    for first, others in grouped(report.findings):
        if first.severity == "info" and not output.verbose:
            continue
        more = f" ({on_more_pages(others)})" if others else ""
        click.echo(f"{clean(os.path.join(site, str(first)))}{more}")  # noqa: PTH118 - it is text
    for failure in report.failures:
        click.echo(clean(os.path.join(site, str(failure))), err=True)  # noqa: PTH118
    if report.csp_hash and (output.csp or output.verbose):
        click.echo(f"Content-Security-Policy, script-src: '{report.csp_hash}'")
    if not (output.quiet or report.empty):
        click.echo(report.summary())


def _object(report: SiteReport, output: _Output) -> dict[str, Any]:
    names = (
        *("pages", "changed", "unchanged", "copies_changed", "excluded", "skipped"),
        *("links", "pages_with_links"),
    )
    return {
        "site": printable(output.site_dir),
        "command": "remove" if report.removing else "inject",
        "check": report.check,
        "clean": report.clean,
        **{name: getattr(report, name) for name in names},
        "asset": report.asset,
        "asset_changed": report.asset_changed,
        "old_assets": report.old_assets,
        "manifest": report.manifest,
        "manifest_changed": report.manifest_changed,
        "csp_hash": report.csp_hash,
        "findings": [asdict(finding) for finding in report.findings],
        "failures": [failure._asdict() for failure in report.failures],
        "summary": report.summary(),
    }
