"""The codes of findings about a deployed site (TN6) and of routes that a browser took (TN7)."""

from __future__ import annotations

from tracknow_static.page.code import Code

LIVE_CODES = (
    Code(
        "TN601",
        "error",
        "redirect loses the click id",
        "Change this redirect so that it keeps the query: visitors land here without their id.",
    ),
    Code(
        "TN602",
        "info",
        "redirect to another host",
        "Check that it is yours: the click id is stored there and not here.",
    ),
    Code("TN603", "info", "address that does not answer", "Nobody can land here."),
    Code(
        "TN611",
        "error",
        "live page without the script",
        "Publish the folder that `tracknow-static check` has passed, and purge the cache.",
    ),
    Code(
        "TN612",
        "error",
        "live page carries a script with other settings or of another version",
        "Publish the new build, and purge the cache.",
    ),
    Code(
        "TN613",
        "error",
        "script that something on the way has switched off or delayed",
        "Exempt it there: the option attributes adds data-cfasync or data-cookieconsent to it.",
    ),
    Code(
        "TN614",
        "error",
        "live page carries the script more than once",
        "Inject it once: in the build or on the host.",
    ),
    Code(
        "TN615",
        "warning",
        "the script is not the first to run on the live page",
        "Find what adds a script before it: the host, a proxy or a tag manager.",
    ),
    Code(
        "TN621",
        "error",
        "the script's file cannot be loaded",
        "Publish it with the pages, and allow everyone to read it.",
    ),
    Code(
        "TN622",
        "error",
        "the script's file has other content than its settings produce",
        "Publish the build again, and keep minifiers away from this file.",
    ),
    Code(
        "TN623",
        "warning",
        "the script's file is served with a type that is no script's",
        "Serve .js files as text/javascript: with nosniff browsers refuse any other.",
    ),
    Code(
        "TN624",
        "info",
        "the script's file is not cached",
        "Let browsers keep it: its name changes when its content does.",
    ),
    Code("TN631", "error", "the Content-Security-Policy header blocks the script"),
    Code("TN632", "error", "the Content-Security-Policy header blocks Stripe's element"),
    Code("TN633", "error", "the Content-Security-Policy header blocks the form to Stripe"),
    Code(
        "TN634",
        "info",
        "Referrer-Policy hides the landing page",
        "With consent, the id of a visitor who agrees on a later page may be lost.",
    ),
    Code(
        "TN641",
        "error",
        "the click id's cookie is on an answer that a cache may repeat",
        "Send it with Cache-Control: private, no-store, or one visitor gets another's id.",
    ),
    Code(
        "TN642",
        "error",
        "the landing does not set the cookie that the edge file would set",
        "Deploy the output of `tracknow-static edge` for these settings.",
    ),
    Code(
        "TN651",
        "error",
        "the page differs in another encoding",
        "Compress the pages again after the script is in: an old .gz or .br copy is served.",
    ),
    Code(
        "TN661",
        "warning",
        "404 page without the script",
        "Publish a 404.html of your own with the script: old links of affiliates lead there.",
    ),
    Code(
        "TN671",
        "warning",
        "service worker that keeps pages",
        "Generate its list after the script is in, or visitors keep getting the pages without it.",
    ),
    Code(
        "TN691",
        "error",
        "the site cannot be probed",
        "Check the address; --resolve leads to a server that has no public name yet.",
    ),
    Code(
        "TN692",
        "info",
        "pages that robots.txt forbids were left out",
        "--ignore-robots asks for them, too.",
    ),
    Code(
        "TN693",
        "warning",
        "the time was over before all pages were looked at",
        "Raise --timeout, or lower --pages.",
    ),
    Code(
        "TN701",
        "error",
        "route on which the click id is lost",
        "Use <a href> for it, or see what `tracknow-static check` reports about it.",
    ),
    Code(
        "TN702",
        "error",
        "route on which something else than the click id changes",
        "Report it with the page, please: this must not happen.",
    ),
    Code(
        "TN703",
        "error",
        "route that carries a click id without consent",
        "Find what else adds it: this script does not.",
    ),
    Code("TN704", "info", "route that was not reached", "Try it by hand."),
    Code(
        "TN711",
        "error",
        "landing on this page loses the click id",
        "Let the page carry the script, and its redirect keep the query.",
    ),
)
