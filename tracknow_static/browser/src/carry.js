// Carry: everything that can wait until the page is parsed. See compose.py for what it does.
//
// Names that begin with TN_ are filled in by compose.py. No "&&" and no "<": the same text can
// stand inside a page of any kind, and tools/minify.py refuses either.
//
// window.tracknow: clickId(), decorate(url), consent(given), ready; i (id in memory), c (consent
// that came early), s (called when an id is stored) are between our own parts.

((api) => {
  if (api.decorate) return; // included twice

  const REF = "client_reference_id";
  const ATTRIBUTE = "client-reference-id";
  const URLS = ["href", "action", "formaction", "xlink:href"];
  const STRIPE = "stripe-buy-button,stripe-pricing-table";
  const WINDOW = TN_SECONDS * 1000;
  const mine = new Set(); // every id that we may have put on a link of this page
  const entered = new WeakSet(); // roots that are observed
  let id = "";
  let since; // when the click came that read() found
  let allowed;
  let memory = api.i; // what this page landed with
  let bursts = 0;

  const attempt = (action) => {
    try {
      return action();
    } catch {}
  };
  const log = (words, what) => {
    // The page that a debugged one leads to is debugged too, without storing anything.
    if (/[?&]tn_debug=1/.test(location.search + document.referrer))
      console.log("TNB" + words, what);
  };
  const valid = (text) => /^[\w-]{1,200}$/.test(text);

  // A policy that forbids inline scripts has kept capture from reading the address.
  if (!memory)
    location.search
      .split(/[?&]/)
      .some((pair) => (memory = (/^TN_PARAM=([\w-]{1,200})$/.exec(unescape(pair)) || [])[1]));

  // --- store -----------------------------------------------------------------------------------

  const get = (key) => attempt(() => localStorage.getItem(key)) || "";
  const put = (key, value) =>
    attempt(() => localStorage[value ? "setItem" : "removeItem"](key, value));
  const cookies = () =>
    attempt(() =>
      ("; " + document.cookie)
        .split("; TN_NAME=")
        .slice(1)
        .map((rest) => rest.split(";")[0])
        .filter(valid),
    ) || [];
  // WebKit refuses Secure cookies of http://localhost; the others refuse to replace theirs there
  // by one that is not Secure: there both forms are written.
  const bake = (value, seconds, domain) =>
    (/^http:..(localhost|127\.[\d.]+|\[::1])[:/]/.test(location) ? ";secure," : ";secure")
      .split(",")
      .forEach((secure) =>
        attempt(() => {
          document.cookie = `TN_NAME=${value};max-age=${seconds};path=/;samesite=lax${domain}${secure}`;
        }),
      );
  const write = (value, seconds) => {
    bake(value, seconds, "TN_DOMAIN");
    //#if domain
    // An older cookie of this host alone would be read first: only one of the two may stay.
    bake("", 0, "");
    if (!cookies().includes(value)) bake(value, seconds, "");
    //#end
  };
  const read = () => {
    const jar = cookies();
    const raw = get("TN_NAME");
    const [at, known] = (get("TN_NAME_at") + " ").split(" ");
    const fresh = valid(known) ? WINDOW > Date.now() - at : 0;
    // A raw value that is not ours came later; one that Stripe would drop counts as none.
    let stored = jar.includes(raw)
      ? raw
      : jar[0] || ((raw == known ? 0 : valid(raw)) ? raw : fresh ? known : "");
    //#if first
    if (fresh) stored = known;
    //#end
    since = stored == known ? +at : Date.now();
    return stored;
  };
  const save = (value) => {
    const seconds = value ? ((since + WINDOW - Date.now()) / 1000) | 0 : 0;
    // A cookie that outlives its date was renewed by a click that only capture saw: it counts.
    if (!value || seconds > 0) {
      write(value, seconds);
      put("TN_NAME", value);
      put("TN_NAME_at", value ? since + " " + value : "");
    }
  };

  // --- references ------------------------------------------------------------------------------

  // A reference of the merchant's own. One that Stripe would drop is none.
  const stays = (value) => {
    //#if overwrite
    if (id) return false;
    //#end
    return valid(value) > mine.has(value); // valid and not mine, without an "and"
  };
  const wanted = (value) => (stays(value) ? value : id || (mine.has(value) ? "" : value));

  const payment = (text) => {
    const url = new URL(text, document.baseURI);
    return /^https?:TN_HOSTS$/.test(url.protocol + url.host) ? url : 0;
  };
  // Gives the edited text, or nothing where the text may stay.
  const edit = (text) => {
    const url = payment(text);
    if (!url) return;
    const found = url.searchParams.getAll(REF);
    if (found.some(stays)) {
      log("6 kept", text);
      return;
    }
    if (found == id) return;
    if (!id) if (!found.some((value) => mine.has(value))) return;
    const end = text.search(/#|[\0- ]*$/); // a parser drops white space at the end
    const head = text.slice(0, end);
    const path = head.split("?")[0];
    const pairs = head
      .slice(path.length + 1)
      .split("&")
      .filter((pair) => !new URLSearchParams("&" + pair.replace(/[\t\n\r]/g, "")).has(REF));
    if (!pairs[pairs.length - 1]) pairs.pop();
    if (id) pairs.push(REF + "=" + id);
    const query = pairs.join("&");
    const edited = path + (query ? "?" + query : "") + text.slice(end);
    log("5 decorated", edited);
    return edited;
  };
  const safely = (text) => attempt(() => edit(text)) || text;

  // --- surfaces --------------------------------------------------------------------------------

  const set = (element, name, value) => {
    if (element.getAttribute(name) != value)
      element[value ? "setAttribute" : "removeAttribute"](name, value);
  };
  // A GET form drops the query of its action.
  const fill = (form, submitter) => {
    const pick = (name) =>
      (submitter ? submitter.getAttribute("form" + name) : 0) || form.getAttribute(name);
    if (/post|dialog/i.test(pick("method")) || !payment(pick("action"))) return;
    const old = [...form.elements].find((input) => input.name == REF);
    const before = old ? old.value : "";
    const value = wanted(before);
    if (value == before) return;
    if (!value) return old.remove();
    const input = old || form.appendChild(document.createElement("input"));
    if (!old) {
      input.type = "hidden";
      input.name = REF;
    }
    input.value = value;
    log("5 decorated", form);
  };
  const visit = (element) =>
    attempt(() => {
      URLS.forEach((name) => {
        const text = element.getAttribute(name);
        if (text) set(element, name, safely(text));
      });
      if (element.matches(STRIPE))
        set(element, ATTRIBUTE, wanted(element.getAttribute(ATTRIBUTE) || ""));
      if (element.elements) fill(element);
      // Whole quoted texts only: one that is joined to another is left to the Navigation API.
      const code = element.getAttribute("onclick");
      if (code)
        set(
          element,
          "onclick",
          code.replace(
            /(["'`])([^"'`\\\s$]+)\1(?!\s*[+.])/g,
            (whole, quote, text) => quote + safely(text) + quote,
          ),
        );
    });
  // The browser picks the links that may lead to a payment page. One with an odd spelling of the
  // host is met in the last moment.
  const scan = (root) =>
    attempt(() => {
      visit(root);
      root.querySelectorAll("TN_LINKS,form,[formaction],[onclick]," + STRIPE).forEach(visit);
    });
  const dig = (root) =>
    attempt(() =>
      [root, ...root.querySelectorAll("*")].forEach((element) => {
        if (element.shadowRoot) enter(element.shadowRoot);
      }),
    );
  const enter = (root) => {
    if (!entered.has(root)) {
      entered.add(root);
      observer.observe(root, {
        childList: 1,
        subtree: 1,
        attributeFilter: URLS.concat("onclick", ATTRIBUTE),
      });
    }
    scan(root);
    setTimeout(dig, 0, root); // no selector finds shadow roots: every element is looked at
  };
  const observer = new MutationObserver((records) => {
    // Another observer that undoes ours must not become an endless loop.
    bursts++ || setTimeout(() => (bursts = 0));
    if (99 > bursts)
      records.forEach((record) => {
        record.attributeName
          ? visit(record.target)
          : record.addedNodes.forEach((node) => {
              if (node.nodeType == 1) (scan(node), dig(node));
            });
      });
  });

  // --- moments ---------------------------------------------------------------------------------

  // Another tab may have brought a newer click: the storage is asked each time.
  const current = () => {
    if (!allowed) return "";
    const stored = read();
    if (stored) api.i = "";
    else if (api.i) log("2 memory", api.i);
    return stored || api.i || "";
  };
  const refresh = (now = current()) => {
    if (now != id) {
      id = now;
      mine.add(id);
      enter(document);
    }
  };
  const moment = (event) =>
    attempt(() => {
      refresh();
      if (!id) return;
      event.composedPath().forEach((node) => {
        visit(node);
        if (node.mode) entered.has(node) || enter(node); // a shadow root
      });
      // pageshow and visibilitychange: shadow roots may have come meanwhile
      event.target == document ? dig(document) : fill(event.target, event.submitter);
    });
  const navigate = (event) =>
    attempt(() => {
      refresh();
      const url = event.destination.url;
      const to = safely(url);
      // Only a new address can be a payment page's: never a reload or a step in the history.
      if (to != url)
        if (event.cancelable)
          if (!event.formData)
            if (event.downloadRequest == null) {
              event.preventDefault();
              location[event.navigationType == "replace" ? "replace" : "assign"](to);
            }
    });

  // --- interface -------------------------------------------------------------------------------

  api.clickId = () => {
    attempt(refresh);
    return id || null;
  };
  api.decorate = (url) => {
    attempt(() => {
      url += "";
      refresh();
    });
    return safely(url);
  };
  const decide = (given) =>
    attempt(() => {
      if (given === allowed) return;
      allowed = given;
      let stored = "";
      if (given) {
        //#if first
        stored = read();
        if (!stored) {
          stored = memory || "";
          since = Date.now();
        }
        //#end
        //#if last
        since = Date.now();
        stored = memory || read();
        //#end
      }
      if (stored || !given || get("TN_NAME")) save(stored);
      api.i = stored; // until the store has shown that it keeps it
      log(stored ? "1 stored" : "3 none", stored);
      if (stored) attempt(api.s);
      refresh(stored);
    });
  api.consent = (given) =>
    attempt(() => {
      log("7 consent", given);
      decide(!!given);
    });
  api.ready = new Promise((resolve) => {
    const start = () => {
      attempt(() => {
        if (!memory) if (location.search.includes("TN_PARAM=")) log("4 ignored", location.search);
        if (TN_NOW) decide(true);
        // The keyboard follows a link by a click and sends a form by a submit.
        "pointerdown click auxclick contextmenu dragstart submit pageshow visibilitychange"
          .split(" ")
          .forEach((type) => addEventListener(type, moment, 1));
        navigation.addEventListener("navigate", navigate); // last: not every engine has it
      });
      resolve(api);
    };
    document.prerendering ? addEventListener("prerenderingchange", start, 1) : start();
  });
})((self.tracknow = self.tracknow || {}));
