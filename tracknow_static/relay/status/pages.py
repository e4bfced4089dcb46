"""The pages behind the password: what each path shows."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tracknow_static.relay.operate.conditions import conditions, observe
from tracknow_static.relay.operate.words import WORDS, detail_of
from tracknow_static.relay.sales import refunds, verdicts
from tracknow_static.relay.sales.explain import explain
from tracknow_static.relay.sales.site import AWAITED
from tracknow_static.relay.status import chart, query, render
from tracknow_static.relay.status.numbers import DAYS, SiteReader, Summary
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.model import PAUSED

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.receive.response import Response
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import DestinationStatus

# Lines of the overview's tables, and of a page of a list.
_FEW = 8
_FEW_REFUNDS = 5
PAGE = 50

_THEN = "`tracknow-relay mark-reversed` takes it off the list."
# What helps, by verdict; in backquotes what is typed.
_HELP = {
    "waiting": "`tracknow-relay status` shows what it waits for.",
    "rejected": "`tracknow-relay list --state dead` and `--state rejected` list what was refused.",
    "refunded": f"Reverse the commission at Tracknow, by hand. {_THEN}",
    "partly-refunded": f"Reduce the commission at Tracknow, by hand. {_THEN}",
    "disputed": f"Hold the commission at Tracknow until the dispute is closed. {_THEN}",
    "no-click-id": "`tracknow-static check` finds what loses the click id on your site.",
    "not-a-click-id": "Fix the script or the link that wrote it.",
}


class Pages:
    """The pages of one process."""

    def __init__(self, config: RelayConfig, database: Database) -> None:
        self._config = config
        self._database = database
        self._site = SiteReader(config)
        self._summary = Summary(database, self._site)

    def respond(self, path: str, asked: str, base: str) -> Response:
        """Return the page of a path below ``/status``, for a query; ``base`` as in ``site``."""
        lists = {"": self._overview, "sales": self._sales, "refunds": self._refunds}
        if path in lists:
            try:
                here, template, values = lists[path](asked)
            except ValueError as error:
                return render.message(400, "This cannot be listed", str(error), base=base)
            return render.response(
                200, template, {"base": base, "here": here, "inside": False, **values}
            )
        found = self._sale(path.removeprefix("sales/")) if path.startswith("sales/") else None
        if found is not None:
            values = {"base": base, "here": "Sales", "inside": True, **found}
            return render.response(200, "sale.html", values)
        text = "There is no such page, or the ledger has no sale for this id."
        return render.message(404, "Not found", text, base=base)

    # -- one function for each page -----------------------------------------------------------

    def _overview(self, _asked: str) -> tuple[str, str, dict[str, Any]]:
        status = queries.status(self._database)
        problems = conditions(observe(self._database, self._config), self._config)
        values = {
            "headline": _headline(len(problems)),
            "problems": problems,
            "now": status.now,
            "newest_event_at": status.newest_event_at,
            "destinations": [
                (entry, _word(entry, entry.destination in self._config.destinations))
                for entry in status.destinations
            ],
            "unfinished": self._unfinished(),
            "series": chart.SERIES,
            "days": DAYS,
            "missing": self._site.current().missing if self._config.site else "",
            **self._summary.get()._asdict(),
            "latest": verdicts.find(self._database, verdicts.Wanted(), limit=_FEW).sales,
            "refunds": refunds.newest(self._database, _FEW_REFUNDS),
        }
        return "Overview", "overview.html", values

    def _sales(self, asked: str) -> tuple[str, str, dict[str, Any]]:
        request = query.read(asked)
        cursor = request.cursor or None
        page = verdicts.find(self._database, request.wanted, limit=PAGE, cursor=cursor)
        values = {
            "unfinished": self._unfinished(),
            "codes": list(verdicts.CODES),
            "given": {name: request.given.get(name, "") for name in query.FILTERS},
            "filtered": bool(request.given),
            "longest": query.LONGEST,
            "sales": page.sales,
            "cursor": cursor,
            "newest": urlencode(request.given),
            "next": request.next_query(page.cursor) if page.cursor else "",
        }
        return "Sales", "sales.html", values

    def _refunds(self, asked: str) -> tuple[str, str, dict[str, Any]]:
        request = query.read(asked)
        everything = request.everything
        before = verdicts.parse_cursor(request.cursor) if request.cursor else None
        found = refunds.newest(self._database, PAGE + 1, before=before, everything=everything)
        shown = found[:PAGE]
        more = len(found) > PAGE
        values = {
            "refunds": shown,
            "everything": everything,
            "cursor": request.cursor,
            "next": request.next_query(f"{shown[-1].at} {shown[-1].sale}") if more else "",
        }
        return "Refunds", "refunds.html", values

    def _sale(self, wanted: str) -> dict[str, Any] | None:
        # PostgreSQL has no text with a NUL.
        if len(wanted) > query.LONGEST or "\0" in wanted:
            return None
        found = explain(self._database, wanted)
        if found is None:
            return None
        sale = found.sale
        steps = [
            {
                "at": step.at,
                "what": step.what,
                "words": WORDS[step.what],
                "id": step.id,
                "detail": detail_of(step, sale),
            }
            for step in found.story
        ]
        why = self._site.current().reason(sale)
        mode = {True: "live", False: "test", None: None}[sale.livemode]
        facts = (
            ("Payment link", sale.payment_link, True),
            ("Charge", sale.charge, True),
            ("Promotion code", sale.promotion_code, True),
            ("Connected account", sale.account, True),
            ("Payment status", sale.payment_status, False),
            ("Dispute", sale.dispute, False),
            ("Mode", ", ".join(filter(None, (sale.mode, mode))), False),
            ("Known from", "Stripe's API" if sale.source == "api" else "a webhook", False),
        )
        return {
            "sale": sale,
            "meaning": verdicts.CODES.get(sale.verdict, ""),
            "reason": why.code if why else found.reason,
            "why": str(why or ""),
            "help": found.help
            or ("" if why and why.code == AWAITED else _HELP.get(sale.verdict, "")),
            "facts": facts,
            "story": steps,
            "command": f"tracknow-relay explain {shlex.quote(sale.id)}",
        }

    def _unfinished(self) -> str:
        return verdicts.unfinished(self._database, self._config.click_id_pattern)


def _headline(problems: int) -> str:
    if not problems:
        return "Everything is well"
    if problems == 1:
        return "One thing needs attention"
    return f"{problems} things need attention"


def _word(entry: DestinationStatus, is_configured: bool) -> str:
    if not is_configured:
        return "not configured"
    if entry.breaker.state == PAUSED:
        return "paused"
    return "down" if entry.breaker.is_down else "active"
