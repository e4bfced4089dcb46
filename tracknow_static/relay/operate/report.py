"""``report``: a period in sums, and the refunds to reverse, for people, scripts and mails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import configured, opened
from tracknow_static.relay.operate.options import (
    When,
    check_period,
    print_missing,
    site_of,
    site_option,
)
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.sales import refunds as refund_list
from tracknow_static.relay.sales import report as reports
from tracknow_static.relay.sales.advice import advise
from tracknow_static.relay.sales.verdicts import CODES
from tracknow_static.relay.sales.verdicts import unfinished as unfinished_text
from tracknow_static.tracknow import clean, money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.sales.advice import Advice
    from tracknow_static.relay.sales.refunds import Refund
    from tracknow_static.relay.sales.report import Line, Sum

    # Heading, columns, rows.
    Table = tuple[str, Sequence[str], list[list[str]]]

_BY = {"month": "month", "payment-link": "payment_link", "reference": "reference"}
_COLUMNS = ("sales", "with a click id", "money", "refunded")


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@click.option("--since", type=When(), help="Sold at or after: 30d, 2026-03-31T18:00Z.")
@click.option("--until", type=When(), help="Sold before.")
@click.option(
    "--by",
    type=click.Choice(list(_BY)),
    default="month",
    show_default=True,
    help="What each line sums up; of references, the 100 with the most sales.",
)
@click.option(
    "--refunds",
    is_flag=True,
    help="List what to reverse at Tracknow instead: sales with a click id whose money went back "
    "or is disputed. --since and --until mean the refund or the dispute.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="With --refunds: also those that `mark-reversed` has marked as reversed.",
)
@site_option
@format_option("csv", "html")
def report(
    since: float | None,
    until: float | None,
    by: str,
    refunds: bool,
    everything: bool,
    place: str | None,
    output_format: str,
) -> None:
    """Sum up sales: money, the share with a click id, verdicts, and what to do first.

    --format html makes one file without scripts, for a mail. Amounts in JSON and CSV are in the
    currency's minor unit.
    """
    by_option = click.get_current_context().get_parameter_source("by")
    if refunds and (place or by_option is ParameterSource.COMMANDLINE):
        raise click.UsageError("--refunds lists sales one by one: leave out --by and --site.")
    if everything and not refunds:
        raise click.UsageError("--all is for --refunds.")
    check_period(since, until)
    period = f"{_day(since) or 'The first sale'} to {_day(until) or 'now'} (UTC)"
    config = configured()
    if not refunds:
        _report(config, since, until, by, place, period, output_format)
        return
    with opened(config) as database:
        unfinished = unfinished_text(database, config.click_id_pattern)
        found = refund_list.find(database, since=since, until=until, everything=everything)
    if unfinished and output_format != "json":
        echo(unfinished, err=True)
    _print_refunds(found, period, output_format, complete=not unfinished)


def _report(
    config: RelayConfig,
    since: float | None,
    until: float | None,
    by: str,
    place: str | None,
    period: str,
    output_format: str,
) -> None:
    with opened(config) as database:
        unfinished = unfinished_text(database, config.click_id_pattern)
        all_ = reports.sums(database, since=since, until=until)
        chosen = (
            reports.sums(database, since=since, until=until, by_reference=True)
            if by == "reference"
            else all_
        )
        to_reverse = refund_list.count(database, since=since, until=until)
    site = site_of(config, place)
    advice = advise(all_, site, to_reverse=to_reverse)
    total = next(iter(reports.lines(all_, "total")), None)
    lines = reports.lines(chosen, _BY[by])
    if output_format == "json":
        data = {"total": total and _as_json(total), by: [_as_json(line) for line in lines]}
        steps = [step._asdict() for step in advice]
        rest = {"advice": steps, "complete": not unfinished, "missing": site.missing or None}
        output.print_json({**data, **rest})
        return
    if unfinished:
        echo(unfinished, err=True)
    texts = [step.text for step in advice]
    if output_format == "csv":
        _print_csv(chosen, by, advice)
    elif output_format == "html":
        _print_html("Sales", period, total=total, advice=texts, by=by, lines=lines)
    else:
        _print("Sales", period, _tables(total, lines, by.replace("-", " ")), texts)
    print_missing(site)


def _print_csv(chosen: Sequence[Sum], by: str, advice: Sequence[Advice]) -> None:
    because = {step.payment_link or "": step.reason or "" for step in advice if step.reason}
    rows = [
        _as_row(line, by, currency, because.get(line.key, ""))
        for currency in sorted({part.currency for part in chosen})
        for line in reports.lines((p for p in chosen if p.currency == currency), _BY[by])
        if line.sales
    ]
    names = [by, "currency", "sales", "with_click_id", "awaited", "money", "refunded"]
    if by == "payment-link":
        names += ["no_click_id", "reason"]
    output.print_csv(names, sorted(rows, key=lambda row: row[by]))
    for step in advice:
        echo(f"- {step.text}", err=True)


def _tables(total: Line | None, lines: Sequence[Line], by: str) -> list[Table]:
    tables: list[Table] = []
    if total:
        tables.append(("Total", _COLUMNS, [_cells(total)]))
        rows = [[verdict, str(number)] for verdict, number in total.verdicts.items()]
        tables.append(("Verdicts", ("verdict", "sales"), rows))
    rows = [[line.key or "none", *_cells(line)] for line in lines]
    tables.append((f"By {by}", (by, *_COLUMNS), rows))
    return tables


def _print_refunds(found: list[Refund], period: str, output_format: str, *, complete: bool) -> None:
    rows = [{**one._asdict(), "at": output.time_of(one.at)} for one in found]
    if output_format == "json":
        output.print_json({"refunds": rows, "complete": complete})
    elif output_format == "csv":
        output.print_csv(refund_list.Refund._fields, rows)
    elif output_format == "html":
        _print_html("Refunds", period, refunds=found)
    else:
        columns = ("date (UTC)", "click id", "charge", "verdict", "amount", "refunded", "reversed")
        cells = [
            [
                _day(entry.at),
                entry.reference,
                entry.charge,
                entry.verdict,
                money(entry.amount, entry.currency),
                money(entry.refunded, entry.currency),
                money(entry.reversed, entry.currency) if entry.reversed else "-",
            ]
            for entry in found
        ]
        tables: list[Table] = [("To reverse at Tracknow", columns, cells)]
        _print("Refunds", period, tables)


def _print_html(
    title: str,
    period: str,
    *,
    total: Line | None = None,
    advice: Sequence[str] = (),
    by: str = "",
    lines: Sequence[Line] = (),
    refunds: Sequence[Refund] | None = None,
) -> None:
    """Print one file that needs nothing else, in the status page's style."""
    from tracknow_static.relay.status import render

    values = {
        "title": title,
        "period": period,
        "total": total,
        "advice": advice,
        "by": by.replace("-", " "),
        "lines": lines,
        "codes": CODES,
        "refunds": refunds,
        "policy": render.policy(),
    }
    html = render.html("report.html", {**values, "base": None, "here": ""})
    click.echo("\n".join(map(clean, html.splitlines())))


def _print(title: str, period: str, tables: list[Table], advice: Sequence[str] = ()) -> None:
    echo(f"{title}: {period}")
    for text in advice:
        echo(f"- {text}")
    for heading, columns, rows in tables:
        click.echo()
        echo(heading)
        if rows:
            output.print_table(columns, rows)
        else:
            echo("none")


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "key": line.key or None,
        "sales": line.sales,
        "with_click_id": line.with_click_id,
        "awaited": line.awaited,
        "share": line.share,
        "money": line.money,
        "refunded": line.refunded,
        "verdicts": line.verdicts,
    }


def _as_row(line: Line, by: str, currency: str, reason: str) -> dict[str, Any]:
    row = {
        by: line.key,
        "currency": currency,
        "sales": line.sales,
        "with_click_id": line.with_click_id,
        "awaited": line.awaited,
        "money": line.money.get(currency, 0),
        "refunded": line.refunded.get(currency, 0),
    }
    if by == "payment-link":
        row["no_click_id"] = line.verdicts.get("no-click-id", 0)
        row["reason"] = reason
    return row


def _cells(line: Line) -> list[str]:
    of_judged = f" of {line.judged}" if line.awaited else ""
    share = "" if line.share is None else f" ({line.share:.0%})"
    unknown = f", {line.awaited} not known yet" if line.awaited else ""
    return [
        str(line.sales),
        f"{line.with_click_id}{of_judged}{share}{unknown}",
        _moneys(line.money),
        _moneys(line.refunded),
    ]


def _moneys(amounts: dict[str, int]) -> str:
    return ", ".join(money(amounts[name], name) for name in sorted(amounts)) or "-"


def _day(seconds: float | None) -> str:
    return (output.time_of(seconds) or "")[:10]
