"""What a request for the list of sales asks for: the filters of its form, and a place in the list."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from tracknow_static.relay.sales.verdicts import CODES, Wanted

# Characters that any id, date or cursor may have.
LONGEST = 300
_MOST_FIELDS = 20
FILTERS = ("verdict", "since", "until", "link", "reference")
# Whether the list of refunds has those that are marked as reversed, too.
_ALL = "all"


class Asked(NamedTuple):
    """The filters as the form has them, what they mean, and the cursor; empty is not given.

    ``everything`` asks for what is marked as reversed, too.
    """

    given: dict[str, str]
    wanted: Wanted
    cursor: str
    everything: bool

    def next_query(self, cursor: str) -> str:
        """Return the query of the page that follows."""
        more = {_ALL: "1"} if self.everything else {}
        return urlencode({**self.given, **more, "after": cursor})


def read(query: str) -> Asked:
    """Read a query string; names that are not known mean nothing.

    Raises ``ValueError`` with a sentence for a value that is not accepted.
    """
    try:
        pairs = parse_qsl(query, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise ValueError(f"There are more than {_MOST_FIELDS} fields.") from None
    values = {name: value.strip() for name, value in pairs if name in (*FILTERS, _ALL, "after")}
    for name, value in values.items():
        if len(value) > LONGEST or not value.isprintable():
            raise ValueError(f"{name}: its value is not accepted: it is too long, or not text.")
    given = {name: values[name] for name in FILTERS if values.get(name)}
    verdict = given.get("verdict")
    if verdict is not None and verdict not in CODES:
        accepted = ", ".join(CODES)
        raise ValueError(f"verdict: {verdict!r} is not accepted. Accepted: {accepted}.")
    wanted = Wanted(
        verdicts=(verdict,) if verdict else (),
        since=_day(given, "since"),
        until=_day(given, "until"),
        payment_link=given.get("link"),
        reference=given.get("reference"),
    )
    return Asked(given, wanted, values.get("after", ""), bool(values.get(_ALL)))


def _day(given: dict[str, str], name: str) -> float | None:
    if name not in given:
        return None
    try:
        day = dt.date.fromisoformat(given[name])
    except ValueError:
        text = f"{name}: {given[name]!r} is not accepted. Accepted: a date such as 2026-03-31."
        raise ValueError(text) from None
    return dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()
