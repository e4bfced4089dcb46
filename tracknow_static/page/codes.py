"""Every code of a finding: build (TN1 to TN3), audit (TN4), copies (TN5), probe (TN6), walk (TN7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Code:
    """One kind of finding: stable ``name``, usual severity, what it means and how to fix it.

    A warning is something that the site's author can fix; anything else is an info.
    """

    name: str
    severity: Severity
    meaning: str
    fix: str = ""


# Name, usual severity and meaning; then, indented, how to fix it.
_TABLE = """\
TN101 warning: payment link of Stripe's test mode
    Replace it with the live link before you publish.
TN102 warning: payment link over plain http
    Write https://.
TN103 warning: client_reference_id written into the page
    Remove it: every sale through this link is booked under that one reference.
TN104 warning: client_reference_id that Stripe drops silently
    Use 1 to 200 of the characters A-Z, a-z, 0-9, - and _.
TN105 info: meta refresh to a payment page: only newer browsers let the click id pass
    Use a link, or link to the payment page directly.
TN106 info: payment page opened by a handler: only newer browsers let the click id pass
    Use <a href> for it.
TN107 info: script that mentions a payment page: only newer browsers let the click id pass
    Use <a href> for it, or tracknow.decorate(url) in the script.
TN108 warning: script that opens a payment page in a window: the click id is lost
    Set the option window_open, or use <a href target=_blank>.
TN109 warning: script that redirects to a payment page at once: the click id is lost
    Set the option delivery to inline or file, or link to the payment page directly.
TN110 info: payment address in data that a script of the page reads
    Make sure that the script uses a link for it, or tracknow.decorate(url).
TN111 warning: payment page in a frame: the click id is lost
    Use a link, or Stripe's buy button.
TN112 info: link to a page of the site that redirects to a payment page
    Link to the payment page directly.
TN113 warning: placeholder of another tool in client_reference_id: it is replaced by the click id
    Remove it, or fix the snippet that writes it.
TN114 warning: link to a payment page through another site: the click id is lost
    Link to the payment page directly.
TN201 warning: Tracknow's own snippet is pasted into the page as well
    Remove it: this script does its work.
TN202 warning: script of another attribution tool: both write client_reference_id, and one of them wins
    Keep one of them on pages that sell.
TN203 info: script of the page mentions client_reference_id
    If it writes one, existing_reference decides which counts; check that it has an id to write.
TN301 warning: page without the script leads to a payment page: the visitor's click id is lost
    Fix what keeps the script out, or exclude the page.
TN302 info: fragment without head: no script added
    Nothing to do for a part that other pages load; a page of its own needs a head.
TN303 info: something runs before the script, because the page declares its encoding late
    Move <meta charset> to the beginning of <head>.
TN304 info: file that begins like a page and has another suffix: left as it is
    Give it the suffix .html if it is published as a page.
TN401 error: page without the script
    Run `tracknow-static inject`, or build with the plugin; if it is meant to have none, name it
    in the option exclude.
TN402 error: page carries a script with other settings or of another version
    Build or inject the site again, with the settings that this audit uses.
TN403 error: page carries the script more than once
    Run `tracknow-static inject`: it leaves one.
TN404 warning: the script is not the first to run
    Run `tracknow-static inject`, after everything else that changes the page.
TN405 error: the script's file is missing or has other content
    Run `tracknow-static inject`, and publish that folder with the pages.
TN406 warning: pages carry scripts with different settings
    Build or inject the whole site at once.
TN407 info: page that cannot take the script
    Fix what keeps the script out, or exclude the page.
TN408 info: excluded page leads to a payment page: sales from here are not attributed
    Remove it from the option exclude if they should be.
TN409 warning: excluded page carries the script all the same
    Run `tracknow-static inject`: it removes the script.
TN410 info: all pages carry the same script, made with other settings than those of this audit
    Name the settings that built the site: --config FILE, or as options.
TN411 warning: redirect without the script: a visitor who lands here loses the click id
    Let the page carry the script, or redirect on the server with the query kept.
TN412 warning: redirect to another host: the click id stays behind
    Send affiliates to that host directly, or set cookie_domain if it is a subdomain.
TN413 error: nothing to publish with the script
    Check that this is the folder that the build writes.
TN414 info: no tracknow.json beside the script: how the site was built is not known
    Build or inject the site again, or name its settings: --config FILE, --site-url URL.
TN415 info: folder with a tracknow.json of its own: a site of its own, not part of this audit
    Run `tracknow-static check` on that folder too.
TN421 error: Content-Security-Policy blocks the script
TN422 error: Content-Security-Policy blocks Stripe's element
TN423 error: Content-Security-Policy blocks the form to the payment page
TN424 warning: host configuration that cannot be read
    Fix it: the host would not understand it either.
TN425 error: redirect of the host to a payment page: the click id is lost
TN431 info: base element: relative links of the page start elsewhere
    Check that they lead where they should.
TN432 error: base element before the script: its file is looked for elsewhere
    Move <meta charset> and then <base> to the beginning of <head>, and inject again.
TN441 warning: service worker that has the page as it was before the script: visitors get that one
    Make the list of its precache last, after the build or `inject`.
TN442 error: edge file that does not fit the settings
    Run `tracknow-static edge` again with --write; with consent, remove the file.
TN451 error: payment link that the Stripe account does not know
    Copy the link from the Dashboard again.
TN452 error: payment link that is deactivated
    Activate it in the Dashboard, or replace it with another one.
TN453 error: payment link of test mode, and the API key is of live mode
    Replace it with the live link.
TN454 info: payment link of live mode, which a test key cannot check
    Run the audit with a restricted live key.
TN455 warning: custom domain of the Stripe account's payment links that is not in payment_hosts
    Add it to the option payment_hosts: links to it carry no click id.
TN456 info: Stripe's API does not list buy buttons and pricing tables: they are not compared
    Check them in the Dashboard.
TN457 warning: buy button or pricing table of the other mode than the API key
    Copy its code from the Dashboard in the mode that you publish.
TN501 error: compressed copy without the script: servers send it in place of the page
    Run `tracknow-static inject`, or compress after everything else.
TN502 warning: compressed copy with other content than its page
    Compress the page again.
TN503 info: compressed copy that cannot be read here
TN601 error: redirect loses the click id
    Change this redirect so that it keeps the query: visitors land here without their id.
TN602 info: redirect to another host
    Check that it is yours: the click id is stored there and not here.
TN603 info: address that does not answer
    Nobody can land here.
TN611 error: live page without the script
    Publish the folder that `tracknow-static check` has passed, and purge the cache.
TN612 error: live page carries a script with other settings or of another version
    Publish the new build, and purge the cache.
TN613 error: script that something on the way has switched off or delayed
    Exempt it there: the option attributes adds data-cfasync or data-cookieconsent to it.
TN614 error: live page carries the script more than once
    Inject it once: in the build or on the host.
TN615 warning: the script is not the first to run on the live page
    Find what adds a script before it: the host, a proxy or a tag manager.
TN616 warning: live page that cannot carry the script
    Fix what keeps the script out; an empty page or a part of one is no page to land on.
TN617 warning: page that is served with a type that is no page's
    Serve it as text/html: browsers show its source instead.
TN621 error: the script's file cannot be loaded
    Publish it with the pages, and allow everyone to read it.
TN622 error: the script's file has other content than its settings produce
    Publish the build again, and keep minifiers away from this file.
TN623 warning: the script's file is served with a type that is no script's
    Serve .js files as text/javascript: with nosniff browsers refuse any other.
TN624 info: the script's file is not cached
    Let browsers keep it: its name changes when its content does.
TN631 error: the Content-Security-Policy header blocks the script
TN632 error: the Content-Security-Policy header blocks Stripe's element
TN633 error: the Content-Security-Policy header blocks the form to Stripe
TN634 info: Referrer-Policy hides the landing page
    With consent, the id of a visitor who agrees on a later page may be lost.
TN641 error: the click id's cookie is on an answer that a cache may repeat
    Send it with Cache-Control: private, no-store, or one visitor gets another's id.
TN642 error: the landing does not set the cookie that the edge file would set
    Deploy the output of `tracknow-static edge` for these settings.
TN651 error: the page differs in another encoding
    Compress the pages again after the script is in: an old .gz or .br copy is served.
TN661 warning: 404 page without the script
    Publish a 404.html of your own with the script: old links of affiliates lead there.
TN671 warning: service worker that keeps pages
    Generate its list after the script is in, or visitors keep getting the pages without it.
TN691 error: the site cannot be probed
    Check the address; --resolve leads to a server that has no public name yet.
TN692 info: pages that robots.txt forbids were left out
    --ignore-robots asks for them, too.
TN693 warning: the time was over before all pages were looked at
    Raise --timeout, or lower --pages.
TN694 info: pages that the sitemap lists for another host were left out
    If they are this site's, name the address that it is built for: --site-url URL.
TN695 info: no sitemap lists a page of this site: the start page alone was looked at
    Publish sitemap.xml, or name the pages: --list FILE.
TN701 error: route on which the click id is lost
    Use <a href> for it, or see what `tracknow-static check` reports about it.
TN702 error: route on which something else than the click id changes
    Report it with the page, please: this must not happen.
TN703 error: route that carries a click id without consent
    Find what else adds it: this script does not.
TN704 info: route that was not reached
    Try it by hand.
TN711 error: landing on this page loses the click id
    Let the page carry the script, and its redirect keep the query.
"""


_ENTRY = re.compile(r"^(TN\d+) (error|warning|info): (.+)\n((?: {4}.+\n)*)", re.MULTILINE)

CODES: dict[str, Code] = {
    name: Code(name, cast("Severity", severity), meaning, " ".join(fix.split()))
    for name, severity, meaning, fix in _ENTRY.findall(_TABLE)
}
