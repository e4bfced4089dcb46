"""What to do first about the sales of a period, as a report names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.relay.sales.report import lines
from tracknow_static.relay.sales.site import (
    NO_CLICK_ID,
    NOT_ON_SITE,
    OWN_CODE,
    WITH_SCRIPT,
    WITHOUT_SCRIPT,
    Site,
)
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracknow_static.relay.sales.report import Line, Sum

_SHOWN = 3
# Visitors who come without an affiliate are normal. When none of that number of sales through a link with
# the script had an id, the script is more likely to be the cause.
_SUSPICIOUS = 10
_BECAUSE = {
    NOT_ON_SITE: "the link is on no page of your site",
    OWN_CODE: "your code that makes the sessions sets no client_reference_id",
}


class Advice(NamedTuple):
    """One thing to do or to know. ``sales`` is the number that it concerns.

    ``payment_link`` and ``reason`` are set for sales without a click id. What is ``usual`` needs
    nothing to be done.
    """

    sales: int
    text: str
    payment_link: str | None = None
    reason: str | None = None
    pages: tuple[str, ...] = ()
    usual: bool = False


def advise(found: Iterable[Sum], site: Site | None = None, *, to_reverse: int = 0) -> list[Advice]:
    """Return what to do, the step first that concerns the most sales; what is usual comes last.

    ``to_reverse`` is the number of sales whose commission is still to be reversed.
    """
    site = site or Site()
    sums = list(found)
    steps = [_of_link(line, site) for line in lines(sums, "payment_link")]
    advice = [step for step in steps if step is not None]
    for line in lines(sums, "total"):
        advice += _of_total(line)
    if to_reverse:
        were = counted(to_reverse, "sale was", "sales were")
        text = f"{were} refunded or disputed after a click: "
        advice.append(Advice(to_reverse, f"{text}see `tracknow-relay report --refunds`."))
    return sorted(advice, key=lambda step: (step.usual, -step.sales, step.text))


def _of_link(line: Line, site: Site) -> Advice | None:
    lost = line.verdicts.get(NO_CLICK_ID, 0)
    if not lost:
        return None
    link = line.key or None
    reason = site.reason_of(link)
    through = f"through {link}" if link else "without a payment link"
    text = f"{lost} of {counted(line.judged, 'sale')} {through} had no click id"
    usual = False
    if reason.code == WITHOUT_SCRIPT:
        more = " and others" if len(reason.pages) > _SHOWN else ""
        text += f": without the script are {', '.join(reason.pages[:_SHOWN])}{more}"
    elif reason.code == WITH_SCRIPT and link is None:
        usual = True
        text += (
            ": the pages with your pricing table carry the script; what your own code charges has "
            "a click id only if it sets client_reference_id"
        )
    elif reason.code == WITH_SCRIPT:
        usual = line.with_click_id > 0 or line.judged < _SUSPICIOUS
        text += ": its pages carry the script"
        text += (
            ", so these visitors came without a click, refused consent or used another browser"
            if usual
            else ", but not one sale had one. Check the site with `tracknow-static probe`"
        )
    elif reason.code in _BECAUSE:
        text += f": {_BECAUSE[reason.code]}"
    return Advice(lost, f"{text}.", link, reason.code, reason.pages, usual)


def _of_total(line: Line) -> Iterator[Advice]:
    def number(*verdicts: str) -> int:
        return sum(line.verdicts.get(verdict, 0) for verdict in verdicts)

    if lost := number("rejected"):
        were = counted(lost, "sale was", "sales were")
        yield Advice(lost, f"{were} rejected: see `tracknow-relay sales --verdict rejected`.")
    if lost := number("not-a-click-id"):
        yield Advice(
            lost,
            f"{counted(lost, 'sale')} had a reference that is no click id: "
            "see `tracknow-relay sales --verdict not-a-click-id`.",
        )
    if waiting := number("waiting") - line.awaited:
        wait = counted(waiting, "sale waits", "sales wait")
        text = f"{wait} for a delivery: see `tracknow-relay status`."
        yield Advice(waiting, text)
    if line.awaited:
        wait = counted(line.awaited, "new charge waits for its", "new charges wait for their")
        yield Advice(line.awaited, f"{wait} Checkout Session.", usual=True)
