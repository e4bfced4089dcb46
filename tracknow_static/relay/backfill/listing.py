"""Lists of Stripe's API: paced requests, and answers that are checked before anything is stored."""

from __future__ import annotations

import json
import re
import threading
import time
from email.utils import parsedate_to_datetime
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, NamedTuple

from tracknow_static.account.key import library
from tracknow_static.account.stripe_api import explain_errors
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import STRIPE
from tracknow_static.relay.backfill.walk import Page
from tracknow_static.relay.receive.event import event_of
from tracknow_static.relay.receive.response import Rejected
from tracknow_static.relay.store.model import API, WAITING, NewEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracknow_static.account.key import ApiKey
    from tracknow_static.relay.config import RelayConfig

# docs.stripe.com/api/pagination
PAGE = 100
# What a sandbox allows; live mode allows four times as much (docs.stripe.com/rate-limits).
REQUESTS_A_SECOND = 25
# Stripe's own webhooks have it.
_CONTENT_TYPE = "application/json; charset=utf-8"
# Seconds to wait when Stripe asks for fewer requests.
_PAUSES = (2.0, 8.0, 30.0)
_SPACE = re.compile(r"[ \t\r\n]*")


class Found(NamedTuple):
    """An event of a list; ``event`` is what would be stored."""

    id: str
    created: int
    event: NewEvent


class StoppedError(Exception):
    """The relay is stopping."""


class Lists:
    """Pages of lists, at most 25 requests a second; for one thread.

    Every method raises :class:`AccountError`, and :class:`StoppedError` once ``stopping`` is set.
    """

    def __init__(
        self, key: ApiKey, config: RelayConfig, *, stopping: threading.Event | None = None
    ) -> None:
        library()
        from tracknow_static.relay.backfill.transport import BoundedClient

        self.key = key
        self.client = key.client(http_client=BoundedClient())
        self.requests = 0
        # Stripe's own time at its last answer, in Unix seconds.
        self.now: int | None = None
        self._config = config
        self._stopping = stopping or threading.Event()
        self._next_at = 0.0

    def events(
        self,
        types: tuple[str, ...],
        since: int,
        before: int,
        *,
        older_than: str | None = None,
        newer_than: str | None = None,
    ) -> Page[Found]:
        """Return a page of events of these types, created from ``since`` to ``before``."""
        parameters: dict[str, Any] = {"types": list(types)}
        parameters |= _window(since, before, older_than, newer_than)
        text = self.text("/v1/events", parameters, task="list events", needed="Events: Read")
        items, more = parse(text)
        found = [self._found(item, types, since, before) for item in items]
        if len({one.id for one in found}) < len(found):
            raise _not_a_list("it holds an event twice")
        return Page(found, more)

    def objects(
        self, path: str, parameters: Mapping[str, Any], *, task: str, needed: str
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return a page of other objects, which have an ``id``, and whether more follow."""
        text = self.text(path, {**parameters, "limit": PAGE}, task=task, needed=needed)
        items, more = parse(text)
        objects = [json.loads(item) for item in items]
        if not all(isinstance(one, dict) and isinstance(one.get("id"), str) for one in objects):
            raise _not_a_list("it holds something else than objects")
        if not all(one.get("livemode") in (None, self.key.livemode) for one in objects):
            raise _not_a_list("it holds an object of the other mode")
        return objects, more

    def one(self, path: str, *, task: str, needed: str) -> dict[str, Any] | None:
        """Return one object, None when Stripe has none there."""
        import stripe

        with explain_errors(task, needed):
            try:
                text = self._request(path, {})
            except stripe.InvalidRequestError as error:
                if error.http_status == 404:
                    return None
                raise
        body = json.loads(text)
        if not isinstance(body, dict) or body.get("livemode") is not self.key.livemode:
            raise _not_a_list("it is no object of this mode")
        return body

    def text(self, path: str, parameters: Mapping[str, Any], *, task: str, needed: str) -> str:
        """Request something and return the answer's text, which is JSON."""
        with explain_errors(task, needed):
            return self._request(path, parameters)

    def _request(self, path: str, parameters: Mapping[str, Any]) -> str:
        """Return the text of an answer; raises the library's errors, too."""
        import stripe

        for pause in (*_PAUSES, None):
            self._pace()
            try:
                answer = self.client.raw_request("get", path, **parameters)
            except stripe.RateLimitError:
                if pause is None:
                    raise
                self._stopping.wait(pause)
            except (AttributeError, KeyError, TypeError, ValueError):
                # The library expects of an error what Stripe promises.
                raise _not_a_list("it has no shape of Stripe's") from None
            else:
                self.now = _date(answer.headers) or self.now
                return str(answer.body)
        raise AssertionError  # the last pause is None

    def _pace(self) -> None:
        wait = self._next_at - time.monotonic()
        if self._stopping.wait(max(0.0, wait)):
            raise StoppedError
        self._next_at = time.monotonic() + 1 / REQUESTS_A_SECOND
        self.requests += 1

    def _found(self, text: str, types: tuple[str, ...], since: int, before: int) -> Found:
        try:
            event = event_of(
                text,
                text.encode(),
                self._config,
                content_type=_CONTENT_TYPE,
                signature=None,
            )
        except (Rejected, UnicodeEncodeError):
            raise _not_a_list("it holds something else than events") from None
        if event.livemode is not self.key.livemode:
            raise _not_a_list("it holds an event of the other mode")
        if event.type not in types or event.skipped_because == "thin":
            raise _not_a_list("it holds an event of a type that was not asked for")
        if event.created is None or not since <= event.created < before:
            raise _not_a_list("it holds an event of a time that was not asked for")
        skipped_because = event.skipped_because
        if skipped_because in (None, WAITING) and set(self._config.destinations) <= set(
            self._config.signed_destinations
        ):
            skipped_because = "unsigned"
        created, event = event.created, event._replace(source=API, skipped_because=skipped_because)
        return Found(event.id, created, event)


def _window(
    since: int, before: int, older_than: str | None, newer_than: str | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"created": {"gte": since, "lt": before}, "limit": PAGE}
    if older_than is not None:
        found["starting_after"] = older_than
    if newer_than is not None:
        found["ending_before"] = newer_than
    return found


def _not_a_list(why: str) -> AccountError:
    text = f"Stripe's answer is not what was asked for: {why}. Nothing of it was stored."
    return AccountError(text, STRIPE)


def _date(headers: Mapping[str, str]) -> int | None:
    """Return the time of an answer, None when it names none."""
    try:
        return int(parsedate_to_datetime(headers.get("Date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


# -- an answer's text -----------------------------------------------------------------------------


def parse(text: str) -> tuple[list[str], bool]:
    """Return the texts of a list's items, character by character as they came, and ``has_more``.

    ``text`` is JSON. Raises :class:`AccountError` when it is no list of Stripe's.
    """
    items: list[str] | None = None
    rest: dict[str, Any] = {}
    try:
        at = _expect(text, 0, "{")
        while text[at] != "}":
            name, at = scanstring(text, at + 1)
            at = _expect(text, at, ":")
            if name == "data":
                items, at = _elements(text, at)
            else:
                rest[name], at = _decode(text, at)
            at = _next(text, at, "}")
    except (ValueError, IndexError, RecursionError):
        items = None
    more = rest.get("has_more")
    if items is None or rest.get("object") != "list" or not isinstance(more, bool):
        raise _not_a_list("it is no list")
    if len(items) > PAGE:
        raise _not_a_list("it is longer than a page")
    return items, more


_decode = json.JSONDecoder().raw_decode


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """Return the text of each element of the array that begins there, and where it ends."""
    found = []
    at = _expect(text, at, "[")
    while text[at] != "]":
        _, end = _decode(text, at)
        found.append(text[at:end])
        at = _next(text, end, "]")
    return found, at + 1


def _next(text: str, at: int, last: str) -> int:
    """Return the place of the next element, or of the mark that ends them."""
    at = _skip(text, at)
    return at if text[at] == last else _expect(text, at, ",")


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if text[at] != mark:
        raise ValueError
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()
