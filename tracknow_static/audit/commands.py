"""``tracknow-static check`` and ``csp``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tracknow_static.audit import formats
from tracknow_static.audit.advice import advice
from tracknow_static.audit.codes import CODES
from tracknow_static.audit.generator import with_generators_settings
from tracknow_static.audit.site import SiteAudit
from tracknow_static.audit.text import Report
from tracknow_static.errors import AccountError, SettingsError, SiteError
from tracknow_static.flags import with_settings
from tracknow_static.page.findings import printable

if TYPE_CHECKING:
    from tracknow_static.audit.account import Comparison
    from tracknow_static.config import Project

FOUND, UNREAD = 1, 3
_FAILING = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
_WRITERS = {
    "json": formats.write_json,
    "github": formats.write_github,
    "sarif": formats.write_sarif,
}

_EXIT_CODES = """\b
Exit codes:
  0  nothing found that --fail-on names
  1  a finding as bad as --fail-on says, or worse
  2  the command line, an option or the folder is wrong
  3  some files could not be read; the rest is audited
  4  --stripe: the API key is missing, wrong, or lacks a permission
  5  --stripe: Stripe cannot be reached, is busy, or refused the request

What a code is worth is set in tracknow.toml, under [severity]: TN101 = "error". It is one of off,
info, warning, error.
"""


def _codes(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001, RUF100
    if value:
        for code in CODES.values():
            severity = "info" if code.severity == "note" else code.severity
            click.echo(f"{code.name}  {severity:<7}  {code.meaning}")
        context.exit()


@click.command(epilog=_EXIT_CODES)
@click.argument("site_dir", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", *_WRITERS]),
    default="text",
    show_default=True,
    help="For people, for programs, for annotations of GitHub Actions, for code scanning.",
)
@click.option(
    "--fail-on",
    type=click.Choice(list(_FAILING)),
    default="error",
    show_default=True,
    help="From which severity on findings make the exit code 1.",
)
@click.option(
    "--stripe",
    "with_stripe",
    is_flag=True,
    help="Compare the payment links with the Stripe account. The key comes from STRIPE_API_KEY, "
    "STRIPE_API_KEY_FILE or a prompt; a restricted one with Payment Links: Read is enough.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also tell the state of every page.")
@click.option(
    "--codes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_codes,
    help="List all codes with their usual severity, and exit.",
)
@with_settings
def check(
    project: Project,
    site_dir: str,
    *,
    form: str,
    fail_on: str,
    with_stripe: bool,
    verbose: bool,
) -> None:
    """Audit SITE_DIR before it is published; nothing is changed.

    Every page: does it carry the script, the right one, once, first to run? Every way to a payment
    page: where it is, where it leads, and whether the click id goes along. And what would keep the
    script from working: policies, redirects, base elements, mixed settings.

    Settings come from tracknow.toml, pyproject.toml or options; without any, from the mkdocs.yml,
    pelicanconf.py or conf.py that is in the current folder or beside SITE_DIR.
    """
    project = _known(project, site_dir)
    comparison = _comparison(project) if with_stripe else None
    site = printable(site_dir)
    audit = _audit(site_dir, project, comparison)
    try:
        if form == "text":
            Report(site, verbose=verbose).tell(audit)
        else:
            _WRITERS[form](audit, site, sys.stdout)
    except KeyboardInterrupt:
        click.echo("\ntracknow: interrupted", err=True)
        sys.exit(130)
    if audit.totals.unread:
        sys.exit(UNREAD)
    if any(audit.totals.severities[name] for name in _FAILING[fail_on]):
        sys.exit(FOUND)


@click.command()
@click.argument("site_dir", type=click.Path(exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@with_settings
def csp(project: Project, site_dir: str, *, as_json: bool) -> None:
    """Print what a Content-Security-Policy for SITE_DIR has to hold.

    The sources of the script by its delivery, and Stripe's where the site has buy buttons, pricing
    tables or forms; then what the policies that were found for the site lack of it.
    """
    audit = _audit(site_dir, _known(project, site_dir), None)
    wanted, lacks = advice(audit)
    if as_json:
        policies = [{"file": one.file, "line": one.line, "message": one.message} for one in lacks]
        click.echo(json.dumps({"directives": wanted, "lacks": policies}, indent=2))
        return
    for directive, sources in wanted.items():
        click.echo(f"{directive} {' '.join(sources)}")
    if "form-action" in wanted:
        click.echo("form-action is for a policy that has that directive already.", err=True)
    if not wanted:
        click.echo("Nothing: no page of this site is to carry the script.", err=True)
    for one in lacks:
        click.echo(f"{one.file}:{one.line}: {one.message}", err=True)


def _known(project: Project, site_dir: str) -> Project:
    try:
        return with_generators_settings(project, site_dir)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _audit(site_dir: str, project: Project, comparison: Comparison | None) -> SiteAudit:
    try:
        return SiteAudit(site_dir, project, comparison=comparison)
    except (SettingsError, SiteError) as error:
        raise click.UsageError(str(error)) from None


def _comparison(project: Project) -> Comparison:
    from tracknow_static.account.catalog import read_catalog
    from tracknow_static.account.key import obtain
    from tracknow_static.audit.account import Comparison

    try:
        return Comparison(read_catalog(obtain()), project.settings.payment_hosts)
    except AccountError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
