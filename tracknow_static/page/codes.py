"""Every code of a finding: build (TN1 to TN3), audit (TN4), copies (TN5), live site (TN6)."""

from __future__ import annotations

from tracknow_static.page.code import Code
from tracknow_static.page.live_codes import LIVE_CODES

_ALL = (
    Code(
        "TN101",
        "warning",
        "payment link of Stripe's test mode",
        "Replace it with the live link before you publish.",
    ),
    Code("TN102", "warning", "payment link over plain http", "Write https://."),
    Code(
        "TN103",
        "warning",
        "client_reference_id written into the page",
        "Remove it: every sale through this link is booked under that one reference.",
    ),
    Code(
        "TN104",
        "warning",
        "client_reference_id that Stripe drops silently",
        "Use 1 to 200 of the characters A-Z, a-z, 0-9, - and _.",
    ),
    Code(
        "TN105",
        "warning",
        "meta refresh to a payment page: the visitor's click id is lost",
        "Use a link, or link to the payment page directly.",
    ),
    Code(
        "TN106",
        "info",
        "payment page opened by an inline handler: only newer engines let the click id pass",
        "Use <a href> for it.",
    ),
    Code(
        "TN107",
        "info",
        "script that mentions a payment page: only newer engines let the click id pass",
        "Use <a href> for it, or tracknow.decorate(url) in the script.",
    ),
    Code(
        "TN201",
        "warning",
        "Tracknow's own snippet is pasted into the page as well",
        "Remove it: this script does its work.",
    ),
    Code(
        "TN301",
        "warning",
        "page without the script leads to a payment page: the visitor's click id is lost",
        "Fix what keeps the script out, or exclude the page.",
    ),
    Code(
        "TN302",
        "info",
        "fragment without head: no script added",
        "Nothing to do for a part that other pages load; a page of its own needs a head.",
    ),
    Code(
        "TN303",
        "info",
        "something runs before the script, because the page declares its encoding late",
        "Move <meta charset> to the beginning of <head>.",
    ),
    Code(
        "TN304",
        "info",
        "file that begins like a page and has another suffix: left as it is",
        "Give it the suffix .html if it is published as a page.",
    ),
    Code(
        "TN401",
        "error",
        "page without the script",
        "Run `tracknow-static inject`, or build with the plugin; if it is meant to have none, "
        "name it in the option exclude.",
    ),
    Code(
        "TN402",
        "error",
        "page carries a script with other settings or of another version",
        "Build or inject the site again, with the settings that this audit uses.",
    ),
    Code(
        "TN403",
        "error",
        "page carries the script more than once",
        "Run `tracknow-static inject`: it leaves one.",
    ),
    Code(
        "TN404",
        "warning",
        "the script is not the first to run",
        "Run `tracknow-static inject`, after everything else that changes the page.",
    ),
    Code(
        "TN405",
        "error",
        "the script's file is missing or has other content",
        "Run `tracknow-static inject`, and publish that folder with the pages.",
    ),
    Code(
        "TN406",
        "warning",
        "pages carry scripts with different settings",
        "Build or inject the whole site at once.",
    ),
    Code(
        "TN407",
        "info",
        "page that cannot take the script",
        "Fix what keeps the script out, or exclude the page.",
    ),
    Code(
        "TN408",
        "info",
        "excluded page leads to a payment page: sales from here are not attributed",
        "Remove it from the option exclude if they should be.",
    ),
    Code(
        "TN409",
        "warning",
        "excluded page carries the script all the same",
        "Run `tracknow-static inject`: it removes the script.",
    ),
    Code(
        "TN410",
        "info",
        "all pages carry the same script, made with other settings than those of this audit",
        "Name the settings that built the site: --config FILE, or as options.",
    ),
    Code(
        "TN411",
        "warning",
        "redirect without the script: a visitor who lands here loses the click id",
        "Let the page carry the script, or redirect on the server with the query kept.",
    ),
    Code(
        "TN412",
        "warning",
        "redirect to another host: the click id stays behind",
        "Send affiliates to that host directly, or set cookie_domain if it is a subdomain.",
    ),
    Code(
        "TN413",
        "error",
        "nothing to publish with the script",
        "Check that this is the folder that the build writes.",
    ),
    Code(
        "TN414",
        "info",
        "no tracknow.json beside the script: how the site was built is not known",
        "Build or inject the site again, or name its settings: --config FILE, --site-url URL.",
    ),
    Code(
        "TN415",
        "info",
        "folder with a tracknow.json of its own: a site of its own, not part of this audit",
        "Run `tracknow-static check` on that folder too.",
    ),
    Code("TN421", "error", "Content-Security-Policy blocks the script"),
    Code("TN422", "error", "Content-Security-Policy blocks Stripe's element"),
    Code("TN423", "error", "Content-Security-Policy blocks the form to the payment page"),
    Code(
        "TN424",
        "warning",
        "host configuration that cannot be read",
        "Fix it: the host would not understand it either.",
    ),
    Code(
        "TN431",
        "info",
        "base element: relative links of the page start elsewhere",
        "Check that they lead where they should.",
    ),
    Code(
        "TN432",
        "error",
        "base element before the script: its file is looked for elsewhere",
        "Move <meta charset> and then <base> to the beginning of <head>, and inject again.",
    ),
    Code(
        "TN441",
        "warning",
        "service worker that has the page as it was before the script: visitors get that one",
        "Make the list of its precache last, after the build or `inject`.",
    ),
    Code(
        "TN451",
        "error",
        "payment link that the Stripe account does not know",
        "Copy the link from the Dashboard again.",
    ),
    Code(
        "TN452",
        "error",
        "payment link that is deactivated",
        "Activate it in the Dashboard, or replace it with another one.",
    ),
    Code(
        "TN453",
        "error",
        "payment link of test mode, and the API key is of live mode",
        "Replace it with the live link.",
    ),
    Code(
        "TN454",
        "info",
        "payment link of live mode, which a test key cannot check",
        "Run the audit with a restricted live key.",
    ),
    Code(
        "TN455",
        "warning",
        "custom domain of the Stripe account's payment links that is not in payment_hosts",
        "Add it to the option payment_hosts: links to it carry no click id.",
    ),
    Code(
        "TN456",
        "info",
        "Stripe's API does not list buy buttons and pricing tables: they are not compared",
        "Check them in the Dashboard.",
    ),
    Code(
        "TN457",
        "warning",
        "buy button or pricing table of the other mode than the API key",
        "Copy its code from the Dashboard in the mode that you publish.",
    ),
    Code(
        "TN501",
        "error",
        "compressed copy without the script: servers send it in place of the page",
        "Run `tracknow-static inject`, or compress after everything else.",
    ),
    Code(
        "TN502",
        "warning",
        "compressed copy with other content than its page",
        "Compress the page again.",
    ),
    Code("TN503", "info", "compressed copy that cannot be read here"),
)

CODES: dict[str, Code] = {code.name: code for code in (*_ALL, *LIVE_CODES)}
