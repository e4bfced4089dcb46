// Material for MkDocs: __md_get("__consent") gives {name: true} or null; answering reloads the page.
// A reload by script makes the page its own referrer, so what is in memory is stored on the way out.
TN_SUBSCRIBE("pagehide", () => {
  const given = __md_get("__consent");
  return given ? given["TN_CATEGORY"] || false : null;
});
