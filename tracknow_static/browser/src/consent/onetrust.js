// OneTrust: OnetrustActiveGroups is a text such as ",C0001,C0004,"; events on window.
TN_SUBSCRIBE(
  "OneTrustGroupsUpdated OTConsentApplied",
  () =>
    OnetrustActiveGroups.split(",").includes("TN_CATEGORY") ||
    (OneTrust.IsAlertBoxClosed() ? false : null),
);
