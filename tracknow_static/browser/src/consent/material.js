// Material for MkDocs: __md_get("__consent") gives {name: true} or null; answering reloads the page.
TN_SUBSCRIBE("", () => {
  const given = __md_get("__consent");
  return given ? given["TN_CATEGORY"] || false : null;
});
