"""``tracknow-static check`` and ``csp``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from tracknow_static import exit_codes
from tracknow_static.audit import output
from tracknow_static.audit.policy import advice
from tracknow_static.audit.site import SiteAudit
from tracknow_static.click_options import exit_by, format_option, reporting_command
from tracknow_static.flags import with_settings
from tracknow_static.manifest import read_manifest
from tracknow_static.page.codes import CODES
from tracknow_static.page.findings import printable
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from tracknow_static.audit.stripe_account import Comparison
    from tracknow_static.config import Project

_SEVERITY = """

The severity of a code is set in tracknow.toml, under [severity]: TN101 = "error". It is one of
off, info, warning, error.
"""


def _codes(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001, RUF100
    if value:
        for code in CODES.values():
            click.echo(f"{code.name}  {code.severity:<7}  {code.meaning}")
        context.exit()


@reporting_command(exit_codes.KEY, exit_codes.STRIPE, epilog=_SEVERITY)
@click.argument("site_dir", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--stripe",
    "with_stripe",
    is_flag=True,
    help="Compare the payment links with the Stripe account. The key comes from STRIPE_API_KEY, "
    "STRIPE_API_KEY_FILE or a prompt; a restricted one with Payment Links: Read is enough.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also print the state of every page.")
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
    output_format: str,
    fail_on: str,
    with_stripe: bool,
    verbose: bool,
) -> None:
    """Audit SITE_DIR before it is published; nothing is changed.

    Every page: does it carry the right script, once, and first to run? Every route to a payment
    page: where it is, where it leads, and whether the click id gets through. And what would keep
    the script from working: policies, redirects, base elements, mixed settings.

    Settings come from options, then from tracknow.toml or pyproject.toml, then from the
    tracknow.json that the build or `inject` left in SITE_DIR.
    """
    manifest = read_manifest(site_dir)
    project = project.with_manifest(manifest)
    comparison = _comparison(project) if with_stripe else None
    site = printable(site_dir)
    audit = SiteAudit(site_dir, project, manifest, comparison)
    if output_format == "text":
        output.Report(site, verbose=verbose).print(audit)
    elif output_format == "json":
        output.write_json(audit, site, sys.stdout)
    else:
        output.WRITERS[output_format](output.findings_of(audit), site, sys.stdout)
    if audit.totals.pages["unread"]:
        sys.exit(exit_codes.FAILED)
    exit_by(audit.totals.severities, fail_on)


@click.command(epilog=exit_codes.epilog())
@click.argument("site_dir", type=click.Path(exists=True, file_okay=False))
@format_option()
@with_settings
def csp(project: Project, site_dir: str, *, output_format: str) -> None:
    """Print what a Content-Security-Policy for SITE_DIR has to contain.

    The sources that the script needs with its delivery, and Stripe's where the site has buy
    buttons, pricing tables or forms; then what the site's own policies lack of these.
    """
    manifest = read_manifest(site_dir)
    audit = SiteAudit(site_dir, project.with_manifest(manifest), manifest)
    wanted, lacks = advice(audit)
    if output_format == "json":
        policies = [
            {"file": lack.file, "line": lack.line, "message": lack.message} for lack in lacks
        ]
        click.echo(json.dumps({"directives": wanted, "lacks": policies}, indent=2))
        return
    for directive, sources in wanted.items():
        click.echo(f"{directive} {' '.join(sources)}")
    if "form-action" in wanted:
        click.echo("form-action is for a policy that has that directive already.", err=True)
    if not wanted:
        click.echo("Nothing: no page of this site is to carry the script.", err=True)
    for lack in lacks:
        click.echo(clean(f"{lack.file}:{lack.line}: {lack.message}"), err=True)


def _comparison(project: Project) -> Comparison:
    from tracknow_static.account.catalog import read_catalog
    from tracknow_static.account.key import obtain
    from tracknow_static.audit.stripe_account import Comparison

    return Comparison(read_catalog(obtain()), project.settings.payment_hosts)
