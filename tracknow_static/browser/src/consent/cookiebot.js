// Cookiebot (cookiebot.com/en/developer): properties of window.Cookiebot, events on window.
TN_SUBSCRIBE(
  "CookiebotOnConsentReady CookiebotOnAccept CookiebotOnDecline",
  () => Cookiebot.consent["TN_CATEGORY"] || (Cookiebot.hasResponse ? false : null),
);
