// Usercentrics: UC_CONSENT (v3), consent_status (v2, the window event's usual name, and in
// dataLayer). The category is a category's id or a service's name.
TN_SUBSCRIBE("UC_CONSENT consent_status", (event) => {
  const state =
    (event ? event.detail : 0) ||
    dataLayer.filter((entry) => entry.event == "consent_status").pop();
  const service = Object.values(state.services || {}).find((entry) => entry.name == "TN_CATEGORY");
  const category = (state.categories || state.ucCategory || {})["TN_CATEGORY"];
  const given = service ? service.consent.given : category || state["TN_CATEGORY"];
  return (
    (given ? given.state || given : 0) === true ||
    (given ? given.state == "ALL_ACCEPTED" : false) ||
    (/explicit/i.test((state.consent || state).type) ? false : null)
  );
});
