"""What counts as exactly the address that Stripe was to be asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.walk.compare import compare, compare_without
from tracknow_static.walk.web import Asked

ID = "tn-Walk_0aZ"
_TEXT = st.text(st.characters(codec="ascii", exclude_characters="?#&= \x00\n"), max_size=12)


def asked(target: str, body: str = "", method: str = "GET") -> Asked:
    """A request to a payment page."""
    return Asked(method, "buy.stripe.com", target, body)


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ("/a", f"/a?client_reference_id={ID}", "exact"),
        ("/a?x=%20y", f"/a?x=%20y&client_reference_id={ID}", "exact"),
        ("/a?x=1&", f"/a?x=1&client_reference_id={ID}", "exact"),
        ("/a?client_reference_id=", f"/a?client_reference_id={ID}", "exact"),
        ("/a?client_reference_id=undefined", f"/a?client_reference_id={ID}", "exact"),
        ("/a?y=2&x=1", f"/a?client_reference_id={ID}&y=2&x=1", "exact"),
        ("/a?client_reference_id=own", "/a?client_reference_id=own", "own-reference"),
        ("/a", "/a", "missing"),
        ("/a", "/a?client_reference_id=other", "missing"),
        ("/a?x=1", f"/a?client_reference_id={ID}", "changed"),
        ("/a?x=1", f"/b?x=1&client_reference_id={ID}", "changed"),
        ("/a?x=%20y", f"/a?x=z&client_reference_id={ID}", "changed"),
        ("/a?client_reference_id=own", f"/a?client_reference_id={ID}", "changed"),
    ],
)
def test_results(before: str, after: str, result: str) -> None:
    """Only the reference may be new, and it has to be there."""
    assert compare(asked(before), asked(after), ID, overwrite=False).result == result


def test_a_reference_of_the_merchants_can_be_overwritten() -> None:
    """Then the id has to be in its place."""
    before, after = asked("/a?client_reference_id=own"), asked(f"/a?client_reference_id={ID}")
    assert compare(before, after, ID, overwrite=True).result == "exact"
    assert compare(before, before, ID, overwrite=True).result == "missing"


def test_a_body_that_changes_is_a_change() -> None:
    """What a form posts is the merchant's."""
    before = asked("/a", "x=1", "POST")
    right = asked(f"/a?client_reference_id={ID}", "x=1", "POST")
    assert compare(before, right, ID, overwrite=False).result == "exact"
    assert compare(before, right._replace(body="x=2"), ID, overwrite=False).result == "changed"


def test_without_consent_nothing_may_differ() -> None:
    """An id that is sent all the same is unexpected."""
    assert compare_without(asked("/a?x=1"), asked("/a?x=1")).result == "exact"
    after = asked(f"/a?x=1&client_reference_id={ID}")
    assert compare_without(asked("/a?x=1"), after).result == "unexpected"


@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=5))
def test_what_is_expected_is_exact(pairs: list[tuple[str, str]]) -> None:
    """Whatever the query of an address is, its own expectation is met and its absence noticed."""
    query = "&".join(f"{name}={value}" for name, value in pairs)
    before = asked(f"/a?{query}" if query else "/a")
    compared = compare(before, before, ID, overwrite=False)
    if compared.result == "missing":
        target = compared.expected.removeprefix("https://buy.stripe.com")
        assert compare(before, asked(target), ID, overwrite=False).result == "exact"
