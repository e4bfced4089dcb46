// While consent is awaited nothing may be stored, so the click id is found again where the browser
// itself keeps it: in the address of the page before, which a same-site page may read, and in this
// tab's own history. Runs before carry.js.

((api) => {
  const urls = [document.referrer];
  try {
    // With an id stored already, an old page of this tab says nothing about the newest click.
    if (!document.cookie.includes("TN_NAME="))
      navigation.entries().forEach((entry) => urls.splice(1, 0, entry.url));
  } catch {}
  api.u = urls
    .filter((url) => url.startsWith(location.origin + "/"))
    .map((url) => "&?" + url.replace(/^[^?]*/, ""))
    .join("");
})((self.tracknow = self.tracknow || {}));
