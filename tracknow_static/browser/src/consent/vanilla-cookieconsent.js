// vanilla-cookieconsent: its cookie holds the answer. Version 3 fires events on window, version 2
// none: its buttons write the cookie while they are clicked. Without an answer its own object, which
// version 2 leaves to the page to name, knows what is on in opt-out mode.
TN_SUBSCRIBE("cc:onConsent cc:onChange click", (event, check) => {
  if (event) if (event.type == "click") return void setTimeout(check);
  const cookie = /(^|; )cc_cookie=([^;]*)/.exec(document.cookie);
  const answer =
    ((event ? event.detail : 0) || {}).cookie || (cookie ? JSON.parse(decodeURIComponent(cookie[2])) : 0);
  if (answer) return answer.categories.includes("TN_CATEGORY");
  return (
    (typeof CookieConsent != "object"
      ? (typeof cc == "object" ? cc : cookieconsent).allowedCategory("TN_CATEGORY")
      : CookieConsent.getConfig("mode") == "opt-out"
        ? CookieConsent.getConfig("categories")["TN_CATEGORY"].enabled
        : 0) || null
  );
});
