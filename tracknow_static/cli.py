"""The ``tracknow-static`` command; each subcommand is imported only when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tracknow_static import __version__
from tracknow_static.lazy_group import LazyGroup, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

# The order is that of a site's life.
_COMMANDS = {
    "inject": Place("tracknow_static.page.commands", "Put the script into every page of SITE_DIR."),
    "remove": Place(
        "tracknow_static.page.commands", "Remove the script from every page of SITE_DIR."
    ),
    "check": Place("tracknow_static.audit.commands", "Check SITE_DIR before it is published."),
    "csp": Place(
        "tracknow_static.audit.commands", "Print what a Content-Security-Policy for SITE_DIR needs."
    ),
    "walk": Place(
        "tracknow_static.walk.commands",
        "Let a browser take every payment route of SITE_DIR.",
        "walk",
    ),
    "probe": Place(
        "tracknow_static.probe.commands",
        "Ask the deployed site whether a click id survives.",
        "probe",
    ),
    "edge": Place(
        "tracknow_static.edge.commands",
        "Print the file that makes a host set the cookie itself.",
        "edge",
    ),
    "stripe": Place(
        "tracknow_static.account.cli", "Set up how Stripe reports sales to Tracknow.", "stripe"
    ),
}


@click.group(
    cls=LazyGroup, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="tracknow-static")
def cli() -> None:
    """Affiliate attribution for static sites: the click id reaches Stripe."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    cli.main(args=args, prog_name="tracknow-static")
