"""Keys come from safe places, modes stay apart, and errors speak of the task."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.account.conftest import RELAY
from tests.account.stand_in import Failure
from tracknow_static.account.key import ApiKey
from tracknow_static.account.stripe_api import permission_text
from tracknow_static.account.targets import Target
from tracknow_static.errors import AccountError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.account.conftest import Merchant

SETUP = f"setup --relay-url {RELAY} --yes"


def test_no_key(merchant: Merchant) -> None:
    """Without a key and a terminal the variables that hold one are named."""
    result = merchant.run("status", code=4, STRIPE_API_KEY="")
    assert "STRIPE_API_KEY or STRIPE_API_KEY_FILE" in result.output


def test_key_from_a_file(merchant: Merchant, tmp_path: Path) -> None:
    """STRIPE_API_KEY_FILE names a file with the key; a missing one is named."""
    file = tmp_path / "key"
    file.write_text("sk_test_good\n")
    merchant.run("status", code=1, STRIPE_API_KEY="", STRIPE_API_KEY_FILE=str(file))
    file.unlink()
    result = merchant.run("status", code=4, STRIPE_API_KEY="", STRIPE_API_KEY_FILE=str(file))
    assert str(file) in result.output


def test_key_from_a_hidden_prompt(merchant: Merchant) -> None:
    """On a terminal the key is asked for, and what is typed is not shown."""
    merchant.run("setup --namespace shop --yes")
    main, end = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if "STRIPE" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", "tracknow_static", "stripe", "status"],
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=end,
        start_new_session=True,
        env={
            **environ,
            "TRACKNOW_STRIPE_API_BASE": merchant.stripe.base,
            "XDG_CONFIG_HOME": str(merchant.home),
        },
        # getpass asks on the controlling terminal: make it this one.
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509
    )
    os.close(end)
    shown = b""
    while b"not shown" not in shown:
        shown += os.read(main, 1000)
    os.write(main, b"sk_test_good\n")
    out, _ = process.communicate(timeout=200)
    shown += os.read(main, 1000)
    os.close(main)
    assert process.returncode == 0, out + shown
    assert b"tracking.tracknow.info" in out
    assert b"sk_test_good" not in out + shown
    assert not merchant.home.exists()  # Stripe's library would leave an identity there


def test_no_option_takes_a_key(merchant: Merchant) -> None:
    """A command line can be read by every process: no command has an option for a key."""
    for command in ("setup", "status", "rotate", "remove"):
        output = merchant.run(f"{command} --help").output
        assert "--api-key" not in output
        assert "--key" not in output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pk_test_abc", "publishable"),
        ("whsec_abcdefgh", "signing secret"),
        ("sk_org_live_abc", "organization"),
        ("hello", "not a Stripe API key"),
        ("sk_live_abc\nsk_live_def", "not a Stripe API key"),
    ],
)
def test_what_is_no_api_key(text: str, words: str) -> None:
    """Other Stripe secrets are recognised, and none is repeated in the message."""
    with pytest.raises(AccountError, match=words) as caught:
        ApiKey.parse(text)
    assert text not in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_key_does_not_show_itself() -> None:
    """Neither repr nor an error holds the key."""
    assert "good" not in repr(ApiKey.parse("rk_live_good"))


def test_a_key_of_the_other_mode_is_refused(merchant: Merchant) -> None:
    """--mode live with a test key stops before anything is asked."""
    result = merchant.run(f"{SETUP} --mode live", code=6)
    assert "this is a test API key" in result.output
    assert merchant.stripe.requests == []


def test_a_key_that_stripe_does_not_know(merchant: Merchant) -> None:
    """401: the key is wrong, expired or cut short; exit code 4."""
    result = merchant.run(SETUP, code=4, STRIPE_API_KEY="sk_test_bad")
    assert "Could not list the account's webhook endpoints" in result.output
    assert "does not know this API key" in result.output


def test_a_restricted_key_without_the_permission(merchant: Merchant) -> None:
    """403: the permission is named as the Dashboard names it; exit code 4."""
    merchant.stripe.denied = ("POST /v1/webhook_endpoints",)
    result = merchant.run(SETUP, code=4, STRIPE_API_KEY="rk_test_good")
    assert "Could not create the webhook endpoint" in result.output
    assert "lacks the permission Webhook Endpoints: Write" in result.output
    assert merchant.secrets == []


def test_the_newer_words_of_a_missing_permission() -> None:
    """Stripe's wording of 2026 names the same permission."""
    message = (
        "The provided key does not have the required permissions. Enabling Webhook Endpoints, "
        "Event Destinations Read ('webhook_read') permissions would allow this request."
    )
    assert "Webhook Endpoints: Read" in permission_text(message, "other")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(429, "slow down", kind="invalid_request_error"), "too many requests"),
        (Failure(500, "oops", times=3), "an internal error (500)"),
        (Failure(0, times=3), "cannot be reached"),
        (Failure(400, "Invalid URL: not public", kind="invalid_request_error"), "not public"),
    ],
    ids=["429", "500", "network", "400"],
)
def test_errors_speak_of_the_task(merchant: Merchant, failure: Failure, words: str) -> None:
    """Busy, faulty, out of reach or unwilling: what could not be done, what to do; code 5."""
    failure.on = "POST /v1/webhook_endpoints"
    merchant.stripe.failures.append(failure)
    result = merchant.run(SETUP, code=5)
    assert "Could not create the webhook endpoint" in result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert merchant.secrets == []


def test_too_many_endpoints(merchant: Merchant) -> None:
    """The account's sixteen endpoints are used up: the message names that."""
    for number in range(16):
        merchant.stripe.add(f"https://other.example/{number}")
    result = merchant.run(SETUP, code=5)
    assert "as many webhook endpoints as Stripe allows" in result.output


def test_a_secret_that_is_not_told(merchant: Merchant) -> None:
    """Stripe keeps the secret to itself: the endpoint that nobody could verify is deleted again."""
    merchant.stripe.tells_secrets = False
    result = merchant.run(SETUP, code=5)
    assert "did not return its signing secret" in result.output
    assert merchant.stripe.endpoints == {}


def test_tracknow_needs_no_secret(merchant: Merchant) -> None:
    """For Tracknow's own endpoint an untold secret does not matter."""
    merchant.stripe.tells_secrets = False
    merchant.run("setup --namespace shop --yes")
    assert len(merchant.stripe.endpoints) == 1


def test_the_api_base_is_for_tests_only(merchant: Merchant) -> None:
    """A key cannot be led to another machine by a variable."""
    for base in ("https://evil.example", "http://127.0.0.1.evil.example", "http://10.0.0.1"):
        result = merchant.run("status", code=2, TRACKNOW_STRIPE_API_BASE=base)
        assert "loopback addresses only" in result.output


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--namespace shop-tracking", "Give NAME alone, without scheme, -tracking"),
        ("--namespace a.b", "the NAME in NAME-tracking.tracknow.info"),
        ("--relay-url relay", "is not a URL such as"),
        ("--relay-url https://u:p@relay.example", "leave user, password"),
        ("--relay-url http://localhost:8000", "local or private address"),
        ("--relay-url https://192.168.1.7", "local or private address"),
        ("--relay-url https://[fd00::7]", "local or private address"),
        ("--relay-url https://x-tracking.tracknow.info/stripe/postback", "use --namespace"),
        (f"--relay-url {RELAY} --namespace shop", "not both"),
        (f"--relay-url {RELAY} --also refund", "not an event type"),
        ("", "Where should the events go"),
    ],
)
def test_wrong_usage(merchant: Merchant, option: str, words: str) -> None:
    """Exit code 2, the option named, nothing asked of Stripe."""
    result = merchant.run(f"setup {option} --yes", code=2)
    assert words in " ".join(result.output.split())
    assert merchant.stripe.requests == []


def test_live_events_go_to_https() -> None:
    """Plain http serves test mode only, as at Stripe."""
    url = "http://relay.example.com"
    assert Target.relay(url, live=False).url == "http://relay.example.com/stripe/webhook"
    with pytest.raises(ValueError, match="https only"):
        Target.relay(url, live=True)
