"""Dispatchers that are wrong in one way each are noticed: a suite that passes them would prove nothing."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.relay.deliver import (
    test_dispatcher,
    test_kills,
    test_outages,
    test_schedule,
    test_sender,
    test_sender_network,
    test_start_and_stop,
)
from tests.relay.deliver.flaws import FLAWS
from tests.relay.deliver.parts import Shop
from tests.relay.deliver.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[[Shop, StandIn], object]

    # Name of the flaw to a test of this suite that has to fail.
    Checks = dict[str, Check]

CHECKS: Checks = {
    "leases without a fence": test_dispatcher.test_an_outcome_after_the_lease_changes_nothing,
    "counts retries during an outage": lambda shop, destination: (
        test_outages.test_five_days_of_outage_lose_nothing(shop, destination, "status")
    ),
    "has no breaker": test_outages.test_an_hour_of_500s_loses_nothing_and_is_no_bombardment,
    "lets every process probe": test_outages.test_one_probe_at_a_time_over_all_processes,
    "probes the same event for ever": test_outages.test_a_failing_event_does_not_bar_the_way,
    "follows redirects": lambda _shop, destination: test_sender.test_redirects_are_not_followed(
        destination, 307
    ),
    "judges one address and dials another": lambda _shop, destination: (
        test_sender_network.test_a_name_that_changes_its_address_gains_nothing(destination)
    ),
    "times each read and not the attempt": lambda _shop, destination: (
        test_sender.test_a_status_byte_by_byte_runs_out_of_time(destination)
    ),
    "reads all of an answer": lambda _shop, destination: (
        test_sender.test_of_a_huge_answer_little_is_read(destination)
    ),
    "writes the json anew": test_dispatcher.test_every_event_arrives_once_and_unchanged,
    "believes every retry after": lambda _shop, _destination: test_schedule.test_retry_after(
        "9" * 400, None, 6 * 3600.0
    ),
    "has no jitter": lambda _shop, _destination: (
        test_schedule.test_events_that_fail_together_come_back_apart()
    ),
    "keeps leases when it stops": (
        test_start_and_stop.test_stopping_finishes_what_is_in_flight_and_gives_back_the_rest
    ),
    "begins an attempt after its lease": (
        test_dispatcher.test_an_event_is_not_begun_when_its_lease_might_end_first
    ),
}
KILLS = {
    "acknowledges before the commit": "ingest.inserted:1",
    "settles before it sends": "deliver.sending:1",
}
OTHERS = {
    "keeps sending to a misconfigured destination",
    "one worker for all",
    "trusts every certificate",
}


@pytest.mark.parametrize("flaw", CHECKS)
def test_a_flaw_is_noticed(small_shop: Shop, destination: StandIn, flaw: str) -> None:
    """The named test passes with the real dispatcher, and fails with the flawed one."""
    small_shop.database.open()
    with FLAWS[flaw](), pytest.raises((AssertionError, KeyError)):
        CHECKS[flaw](small_shop, destination)


@pytest.mark.parametrize("flaw", KILLS)
def test_a_flaw_is_noticed_by_killing(sqlite_url: str, destination: StandIn, flaw: str) -> None:
    """A relay that promises too early loses events when it dies, and the matrix sees it."""
    with pytest.raises(AssertionError, match="acknowledged, and never delivered"):
        test_kills.kill_at(sqlite_url, destination, KILLS[flaw], flaw=flaw)


def test_sending_to_a_misconfigured_destination_is_noticed(
    small_shop: Shop, destination: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator who is not informed cannot fix it."""
    with FLAWS["keeps sending to a misconfigured destination"](), pytest.raises(AssertionError):
        test_outages.test_a_misconfiguration_pauses_loudly_and_loses_nothing(
            small_shop, destination, 404, caplog
        )


def test_a_shared_worker_is_noticed(sqlite_url: str, destination: StandIn) -> None:
    """A destination that hangs would hold up all others."""
    with StandIn().running() as other:
        shop = Shop(sqlite_url, [destination.url, other.url])
        with FLAWS["one worker for all"](), pytest.raises(AssertionError):
            # What does not come in this time would not come in any.
            test_dispatcher.check_that_one_slows_no_other(shop, destination, other, seconds=2)
        shop.close()


@pytest.fixture
def secure() -> Iterator[StandIn]:
    """Provide a destination with a certificate that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("shop-tracking.tracknow.info").configure_cert(context)
    with StandIn(tls=context).running() as stand_in:
        yield stand_in


def test_blind_trust_is_noticed(secure: StandIn) -> None:
    """Whoever answers would get the events."""
    with FLAWS["trusts every certificate"](), pytest.raises(AssertionError):
        test_sender_network.test_a_certificate_of_an_unknown_authority_is_refused(secure)


def test_every_flaw_is_tried() -> None:
    """A flaw that is written down and not tried would prove nothing."""
    assert set(FLAWS) == set(CHECKS) | set(KILLS) | OTHERS
