// Capture: the part that is inline in the page, first of all scripts.
//
// It does alone what must not be lost when nothing else loads: it stores the click id of a plain
// landing URL, and adds it to a plain payment link in the moment of the click, after the page's
// own handlers. Everything else is left to carry.js, which also corrects what was stored here.
//
// Names that begin with TN_ are filled in by compose.py; lines between "//#if" and "//#end" are
// kept in the variants that tools/minify.py builds. Every byte counts: what is before a late
// <meta charset> must leave it within the page's first 1,024 bytes.
//
// window.tracknow.i: the id of the landing URL, which carry.js reads.

// Parameters without an argument are variables: their declaration costs nothing.
((shared, listen, page, landed, read, click, store) => {
  // A "?" separates as "&" does (two question marks are common), but not inside a nested URL.
  // A polluted prototype must not pass for an id: there is always one here, or undefined.
  landed = shared.i = (/(^[^:]*?\?|&)TN_PARAM=([\w-]{1,200})([?&]|$)/.exec(location.search) ||
    [])[2];

  read = () => (/\bTN_NAME=([\w-]+)(;|$)/.exec(page.cookie) || [])[1];

  click = (event) => {
    try {
      //#if plain
      const id = shared.i || read() || localStorage["TN_NAME"];
      //#end
      //#if first
      const id = read() || localStorage["TN_NAME"] || shared.i;
      //#end
      //#if consent
      // A cookie says that consent was given before; what just landed is the newer click.
      const id = read() ? shared.i || read() : 0;
      //#end
      //#if consent-first
      const id = read();
      //#end
      const link = event.composedPath().find((node) => /^TN_HOSTS$/.test(node.host));
      const before = link.getAttribute("href");
      if (id)
        shared.ready || // carry does it
          event.defaultPrevented ||
          /reference_id=/.test(link.search) ||
          ((link.search += (link.search ? "&" : "") + "client_reference_id=" + id),
          setTimeout(() => {
            link.href = before;
          }));
    } catch {} // most clicks meet no payment link
  };
  listen("click", click);
  listen("auxclick", click);
  //#if event
  listen(
    "TN_EVENT",
    (event) => {
      shared.c = event.detail !== false;
    },
    1,
  );
  //#end
  //#if store
  store = () => {
    try {
      //#if first
      if (read()) return;
      //#end
      //#if plain
      // A cookie that a server has set lives longer than one that a script writes.
      read() == landed ||
      //#end
      (page.cookie = `TN_NAME=${landed};max-age=TN_SECONDS;path=/;secure;samesite=lax`);
      //#if domain
      // Beside it the cookie of the whole domain; carry.js finds out whether it was accepted.
      page.cookie = `TN_NAME=${landed};max-age=TN_SECONDS;path=/;secure;samesite=laxTN_DOMAIN`;
      //#end
    } catch {}
    try {
      //#if plain
      localStorage["TN_NAME"] = landed;
      //#end
      //#if first
      localStorage["TN_NAME"] = localStorage["TN_NAME"] || landed;
      //#end
    } catch {}
  };
  // A prerendered page may never be seen: it waits.
  if (landed) page.prerendering ? listen("prerenderingchange", store, 1) : store();
  //#end
})((self.tracknow = self.tracknow || {}), addEventListener, document);
