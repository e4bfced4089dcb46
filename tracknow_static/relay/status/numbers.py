"""What the overview sums up, and the merchant's site that explains it: kept for a while.

Neither may cost a disk or another host more because somebody reloads a page.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.errors import TracknowError
from tracknow_static.relay.sales import refunds, report
from tracknow_static.relay.sales.advice import advise
from tracknow_static.relay.sales.site import Site
from tracknow_static.relay.status import chart
from tracknow_static.relay.stripe_api import key_of

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.sales.advice import Advice
    from tracknow_static.relay.sales.report import Line
    from tracknow_static.relay.store.database import Database

DAYS = 30
_DAY = 86_400
# Numbers that took a second to sum up are good for twenty.
_KEPT = 20.0
_SITE_SECONDS = 3600.0


class Numbers(NamedTuple):
    """The last days in sums, what to do about them, and the months as a chart.

    The days begin at midnight (UTC) of ``since``, as in a list that is filtered by this date.
    """

    since: dt.date
    total: Line | None
    advice: list[Advice]
    chart: chart.Chart


class Summary:
    """The numbers of one database; safe to use from threads."""

    def __init__(self, database: Database, site: SiteReader) -> None:
        self._database = database
        self._site = site
        self._lock = threading.Lock()
        self._numbers: Numbers | None = None
        self._until = 0.0

    def get(self) -> Numbers:
        """Return the numbers, summed up anew when they are old. Raises ``StorageError``."""
        with self._lock:
            begun = time.monotonic()
            if self._numbers is None or begun > self._until:
                self._numbers = self._sum_up(time.time())
                end = time.monotonic()
                self._until = end + _KEPT * (end - begun)
            return self._numbers

    def _sum_up(self, now: float) -> Numbers:
        begin = (now // _DAY - DAYS) * _DAY
        sums = report.sums(self._database, since=begin)
        to_reverse = refunds.count(self._database, since=begin)
        advice = advise(sums, self._site.current(), to_reverse=to_reverse)
        months = chart.months(now)
        return Numbers(
            since=dt.datetime.fromtimestamp(begin, dt.UTC).date(),
            total=next(iter(report.lines(sums, "total")), None),
            advice=[step for step in advice if not step.usual],
            chart=chart.chart(months, report.months(self._database, months)),
        )


class SiteReader:
    """The merchant's site, read in the background when a page first asks, and again each hour."""

    def __init__(self, config: RelayConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._site = Site()
        self._until = 0.0

    def current(self) -> Site:
        """Return the site as far as it is known; one of which nothing is known at first."""
        with self._lock:
            if self._config.site is not None and time.monotonic() > self._until:
                self._until = time.monotonic() + _SITE_SECONDS
                threading.Thread(target=self._read, name="relay-site", daemon=True).start()
            return self._site

    def _read(self) -> None:
        site = Site(self._config.site, lambda: key_of(self._config))
        with contextlib.suppress(TracknowError):
            site.read()
        self._site = site
