"""``tracknow-static stripe``: the group of its four commands."""

from __future__ import annotations

import click

from tracknow_static.account.failures import EXIT_CODES
from tracknow_static.account.remove import remove
from tracknow_static.account.rotate import rotate
from tracknow_static.account.setup import setup
from tracknow_static.account.status import status


@click.group(epilog=EXIT_CODES)
def stripe() -> None:
    """Set up the way of a sale from Stripe to Tracknow.

    The API key comes from STRIPE_API_KEY, from the file named by STRIPE_API_KEY_FILE, or from a
    hidden prompt. A restricted key needs Webhook Endpoints: Write, and Events: Read for status.
    """


for _command in (setup, status, rotate, remove):
    stripe.add_command(_command)
