// Capture: the part that stands in the page, first of all scripts.
//
// It does alone what must not be lost when nothing else loads: it keeps the click id that the
// landing URL carries, and puts it on a plain payment link in the moment of the click.
//
// Names that begin with TN_ are filled in by compose.py, lines between "//#if" and "//#end" are
// kept in the variants that tools/minify.py builds. Every byte counts: what stands before a late
// <meta charset> must leave it within the page's first 1,024 bytes.
//
// window.tracknow.i: the id in memory, which carry.js reads and clears once it is stored.

// Parameters without an argument are variables: their declaration costs nothing.
((shared, listen, page, landed, click, store) => {
  // unescape() never throws, unlike decodeURIComponent, and what passes is ASCII. Landing URLs in
  // the wild carry two question marks: "?" separates as "&" does.
  location.search
    .split(/[?&]/)
    .some((pair) => (landed = (/^TN_PARAM=([\w-]{1,200})$/.exec(unescape(pair)) || [])[1]));

  const read = () => (/(^|; )TN_NAME=([\w-]{1,200})(;|$)/.exec(page.cookie) || [])[2];

  click = (event) => {
    try {
      //#if plain
      const id = shared.i || read();
      //#end
      //#if first
      const id = read() || shared.i;
      //#end
      //#if consent
      // A cookie says that consent was given before; what just landed is the newer click.
      const id = read() ? shared.i || read() : 0;
      //#end
      //#if consent-first
      const id = read();
      //#end
      const link = event.composedPath().find((node) => /^TN_HOSTS$/.test(node.host));
      const query = link.search;
      if (id)
        /client_reference_id=/.test(query) ||
          (link.search += (query ? "&" : "") + "client_reference_id=" + id);
    } catch {} // most clicks meet no payment link
  };

  listen("click", click, 1);
  listen("auxclick", click, 1);
  //#if event
  listen(
    "TN_EVENT",
    (event) => {
      shared.c = event.detail !== false;
    },
    1,
  );
  //#end
  //#if remember
  if (landed) shared.i = landed;
  //#end
  //#if store
  store = () => {
    shared.i = landed;
    try {
      //#if first
      if (read()) return;
      //#end
      page.cookie = `TN_NAME=${landed};max-age=TN_SECONDS;path=/;secure;samesite=lax`;
      //#if domain
      // Beside it the cookie of the whole domain; carry.js finds out whether it was accepted.
      page.cookie = `TN_NAME=${landed};max-age=TN_SECONDS;path=/;secure;samesite=laxTN_DOMAIN`;
      //#end
    } catch {}
    try {
      //#if plain
      localStorage.setItem("TN_NAME", landed);
      //#end
      //#if first
      localStorage.getItem("TN_NAME") || localStorage.setItem("TN_NAME", landed);
      //#end
    } catch {}
  };
  // A prerendered page may never be seen: it waits.
  if (landed) page.prerendering ? listen("prerenderingchange", store, 1) : store();
  //#end
})((self.tracknow = self.tracknow || {}), addEventListener, document);
