"""Consent managers as a page sees them, made after their documented interfaces.

Each has: what it defines before any other script, with an answer that was given earlier or none;
what the visitor's yes does; what a later no does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manager:
    """``define`` sees a variable ``given``: true, or null while nobody has answered."""

    consent: str
    define: str
    yes: str
    no: str


MANAGERS = {
    "cookiebot": Manager(
        "cookiebot",
        "window.Cookiebot = {consent: {marketing: !!given}, hasResponse: !!given}",
        """Object.assign(Cookiebot, {consent: {marketing: true}, hasResponse: true});
        dispatchEvent(new Event('CookiebotOnAccept'))""",
        "Cookiebot.consent.marketing = false; dispatchEvent(new Event('CookiebotOnDecline'))",
    ),
    "cookieyes": Manager(
        "cookieyes",
        """window.cky = {isUserActionCompleted: !!given, categories: {advertisement: !!given}};
        window.getCkyConsent = () => cky""",
        """window.cky = {isUserActionCompleted: true, categories: {advertisement: true}};
        document.dispatchEvent(new CustomEvent('cookieyes_consent_update',
          {detail: {accepted: ['necessary', 'advertisement'], rejected: []}}))""",
        """cky.categories.advertisement = false;
        document.dispatchEvent(new CustomEvent('cookieyes_consent_update',
          {detail: {accepted: ['necessary'], rejected: ['advertisement']}}))""",
    ),
    "onetrust": Manager(
        "onetrust",
        """window.OnetrustActiveGroups = given ? ',C0001,C0004,' : ',C0001,';
        window.OneTrust = {IsAlertBoxClosed: () => !!given}""",
        """window.OnetrustActiveGroups = ',C0001,C0004,'; OneTrust.IsAlertBoxClosed = () => true;
        dispatchEvent(new CustomEvent('OneTrustGroupsUpdated', {detail: ['C0001', 'C0004']}))""",
        """window.OnetrustActiveGroups = ',C0001,';
        dispatchEvent(new CustomEvent('OneTrustGroupsUpdated', {detail: ['C0001']}))""",
    ),
    "usercentrics 3": Manager(
        "usercentrics",
        """window.tell = (state, type) => dispatchEvent(new CustomEvent('UC_CONSENT', {detail:
          {consent: {type}, categories: {marketing: {state}, essential: {state: 'ALL_ACCEPTED'}}}}));
        addEventListener('load', () => given ? tell('ALL_ACCEPTED', 'EXPLICIT')
          : tell('ALL_DENIED', 'IMPLICIT'))""",
        "tell('ALL_ACCEPTED', 'EXPLICIT')",
        "tell('ALL_DENIED', 'EXPLICIT')",
    ),
    "usercentrics 2": Manager(
        "usercentrics",
        """window.dataLayer = [];
        window.tell = (marketing, type) => {
          const detail = {event: 'consent_status', type, ucCategory: {marketing, essential: true}};
          dataLayer.push(detail);
          dispatchEvent(new CustomEvent('consent_status', {detail}));
        };
        if (given) tell(true, 'explicit')""",
        "tell(true, 'explicit')",
        "tell(false, 'explicit')",
    ),
    "klaro": Manager(
        "klaro",
        """window.klaro = {manager: {confirmed: !!given, savedConsents: {tracknow: !!given},
          watchers: new Set(), watch(one) { this.watchers.add(one) },
          save(value) {
            this.confirmed = true;
            this.savedConsents = {tracknow: value};
            for (const one of this.watchers) one.update(this, 'saveConsents', {});
          }}, getManager() { return this.manager }}""",
        "klaro.manager.save(true)",
        "klaro.manager.save(false)",
    ),
    "vanilla-cookieconsent": Manager(
        "vanilla-cookieconsent",
        """window.tell = (name, categories) => {
          const cookie = {categories, revision: 0};
          document.cookie = 'cc_cookie=' + encodeURIComponent(JSON.stringify(cookie)) + ';path=/';
          dispatchEvent(new CustomEvent(name, {detail: {cookie}}));
        };
        if (given) tell('cc:onConsent', ['necessary', 'marketing'])""",
        "tell('cc:onConsent', ['necessary', 'marketing'])",
        "tell('cc:onChange', ['necessary'])",
    ),
    "material": Manager(
        "material",
        """window.__md_scope = new URL('/', location);
        window.__md_get = (key, storage = localStorage) =>
          JSON.parse(storage.getItem(__md_scope.pathname + '.' + key));
        window.__md_set = (key, value, storage = localStorage) =>
          storage.setItem(__md_scope.pathname + '.' + key, JSON.stringify(value));
        if (given) __md_set('__consent', {affiliate: true})""",
        "__md_set('__consent', {affiliate: true}); location.reload()",
        "__md_set('__consent', {affiliate: false}); location.reload()",
    ),
    "an event of one's own": Manager(
        "event:agreed",
        "if (given) document.dispatchEvent(new CustomEvent('agreed'))",
        "document.dispatchEvent(new CustomEvent('agreed', {detail: true}))",
        "document.dispatchEvent(new CustomEvent('agreed', {detail: false}))",
    ),
}
