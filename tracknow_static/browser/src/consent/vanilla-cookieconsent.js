// vanilla-cookieconsent: events on window carry the answer; before the first one its cookie does.
TN_SUBSCRIBE("cc:onConsent cc:onChange", (event) =>
  (
    ((event ? event.detail : 0) || {}).cookie ||
    JSON.parse(decodeURIComponent(/(^|; )cc_cookie=([^;]*)/.exec(document.cookie)[2]))
  ).categories.includes("TN_CATEGORY"),
);
