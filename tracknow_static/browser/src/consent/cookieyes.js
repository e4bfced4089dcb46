// CookieYes: getCkyConsent(), events on document. The update event carries names, not states.
TN_SUBSCRIBE("cookieyes_banner_load cookieyes_consent_update", () => {
  const state = getCkyConsent();
  return state.categories["TN_CATEGORY"] || (state.isUserActionCompleted ? false : null);
});
