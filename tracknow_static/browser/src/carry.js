// Carry: everything that can wait until the page is parsed. See compose.py for what it does.
//
// Names that begin with TN_ are filled in by compose.py. No "&&" and no "<": the same text can
// be inside a page of any kind, and tools/minify.py refuses either.
//
// window.tracknow: clickId(), decorate(url), consent(given), ready; between our own parts: i (the
// id in memory), c (consent that came early), u (addresses where the id may be found again),
// s (called when an id is stored), v and h (for windows and links of scripts, see window_open.js).

((api) => {
  if (api.decorate) return; // included twice

  const REF = "client_reference_id";
  const ATTRIBUTE = "client-reference-id";
  const WINDOW = TN_SECONDS * 1000;
  const MOMENTS = "click auxclick contextmenu dragstart submit touchstart";
  const mine = new Set(); // every id that we may have written somewhere
  const entered = new WeakSet(); // roots that are observed
  const mounted = new Set(); // Stripe's own elements
  const probe = document.createElement("a"); // "baseURI" could be the name of a form
  const undo = []; // what puts the page back
  const taken = api.i; // what capture has read from the address, and stored
  const found = api.u || [];
  let id = "";
  let since; // when the click came that read() found
  let allowed;
  let wrong; // a stored value that is no newer click
  let address = location.href;
  let tries = 0;
  let fixes = 0;

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
  // What Stripe accepts, and is not what a broken snippet writes in place of an id.
  const valid = (text) =>
    /^[\w-]{1,200}$/.test(text) >
    (text == wrong ||
      /^(undefined|null|nan|true|false|none|[_-]*(your.)?click.?id[_-]*)$/i.test(text));

  // --- landing ---------------------------------------------------------------------------------

  // The first valid value. Links are copied out of HTML ("&amp;"), mail programs add blanks and
  // punctuation, redirects put a second "?" or move the query behind the fragment. A bracket, "$"
  // or "%" before the value marks a macro that nobody filled in; a nested URL is not ours.
  const landing = (url) =>
    url
      .replace(/^[^?#]*/, "")
      .split(/[?&]|#[^?]*|(?::|%3A)(?:\/|%2F)[^&]*/i)
      .map(
        (pair) =>
          (/^(amp;)?TN_PARAM=[^\w${[%\x3c-]*([\w-]+)[^\w-]*$/.exec(
            attempt(() => decodeURIComponent(pair)) || pair,
          ) || [])[2],
      )
      .find(valid);
  let memory = [address].concat(found).map(landing).find(Boolean);

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
  // A cookie that holds the value already stays: one that a server has set lives longer.
  const write = (value, seconds) => {
    //#if domain
    // An older cookie of this host alone would be read first: only one of the two may stay.
    bake("", 0, "");
    //#end
    const jar = cookies();
    if (!jar.length || jar.some((one) => one != value)) bake(value, seconds, "TN_DOMAIN");
    //#if domain
    if (!cookies().includes(value)) bake(value, seconds, "");
    //#end
  };
  const dated = () => {
    const [at, ...ids] = get("TN_NAME_at").split(" ");
    ids.forEach((one) => mine.add(one));
    return [at, ids[0], WINDOW > Date.now() - at];
  };
  const read = () => {
    const [at, known, young] = dated();
    const jar = cookies();
    const raw = get("TN_NAME");
    const fresh = valid(known) ? young : 0;
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
  // The date stays when an id is out of date: a tab that is restored does not bring it back.
  const save = (value) => {
    const seconds = value ? ((since + WINDOW - Date.now()) / 1000) | 0 : 0;
    // A cookie that outlives its date was renewed by a click that only capture saw: it counts.
    if (!value || seconds > 0) {
      write(value, seconds);
      put("TN_NAME", value);
      mine.delete(value);
      if (value) put("TN_NAME_at", [since, value, ...[...mine].slice(-9)].join(" "));
      mine.add(value);
    }
  };
  // Finds out which id counts. fresh: the address was really navigated to.
  const settle = (fresh) => {
    const [, known, young] = dated();
    wrong = (fresh ? taken == memory : taken == known ? young : 0) ? "" : taken;
    let stored = read();
    //#if first
    if (stored) fresh = 0;
    else
    //#end
    if (memory)
      if (fresh || (known ? 0 : !stored)) {
        stored = memory;
        since = Date.now();
      }
    if (stored || get("TN_NAME")) save(stored);
    wrong = "";
    api.i = stored; // until the store has shown that it keeps it
    log(stored ? "1 stored" : "3 none", stored);
    if (stored) attempt(api.s);
  };
  // A page that changes its address without loading may have landed, too.
  const look = () => {
    if (location.href == address) return;
    address = location.href;
    const landed = landing(address);
    if (landed) {
      memory = landed;
      if (allowed) settle(1);
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

  // The name of the parameter that an address takes, if any.
  const named = (text) => {
    probe.href = text;
    const match = /^https?:TN_TARGETS$/.exec(probe.protocol + probe.host);
    return match ? (match[1] ? REF : probe.host != location.host ? "TN_PARAM" : 0) : 0;
  };
  // Gives the edited text, or nothing where the text may stay.
  const edit = (text) => {
    const name = named(text);
    if (!name) return;
    const [head] = text.split("#");
    let end = head.length;
    if (head == text) while (" " >= text[end - 1]) end--; // a parser drops white space there
    const [path] = head.split("?");
    const pairs = [];
    const values = [];
    head
      .slice(path.length + 1, end)
      .split("&")
      .forEach((pair) => {
        const value = new URLSearchParams("&" + pair.replace(/[\t\n\r]/g, "")).get(name);
        if (value == null) pairs.push(pair);
        else {
          values.push(value);
          // What a script has appended to an address that ended with our reference.
          const [ours, ...rest] = pair.split("?");
          if (rest[0]) if (mine.has(ours.slice(name.length + 1))) pairs.push(rest.join("?"));
        }
      });
    if (values.some(stays)) {
      log("6 kept", text);
      return;
    }
    if (values == id) return;
    if (!id) if (!values.some((value) => mine.has(value))) return;
    if (!pairs[pairs.length - 1]) pairs.pop();
    if (id) pairs.push(name + "=" + id);
    const query = pairs.join("&");
    const edited = head.slice(0, path.length > end ? end : path.length) + (query ? "?" + query : "") + text.slice(end);
    log("5 decorated", edited);
    return edited;
  };
  const safely = (text) => attempt(() => edit(text)) || text;

  // --- moments ---------------------------------------------------------------------------------
  // Nothing of the page changes before the visitor acts. What he acts on is decorated after the
  // page's own handlers have run, and put back when the browser has read it.

  const putBack = () => undo.splice(0).forEach((step) => attempt(step));
  const hold = (element, name, value) => {
    const before = element.getAttribute(name);
    if (value == before) return;
    element.setAttribute(name, value);
    undo.push(() => {
      // What the page has changed meanwhile is the page's.
      if (element.getAttribute(name) == value) element.setAttribute(name, before);
    });
  };
  const links = (path) =>
    path.forEach((element) => {
      if (/^a(rea)?$/i.test(element.localName))
        ["href", "xlink:href"].forEach((name) => {
          const text = element.getAttribute(name);
          if (text) hold(element, name, safely(text));
        });
    });
  const send = (form, submitter) => {
    const of = (name) =>
      (submitter ? submitter.hasAttribute("form" + name) : 0)
        ? [submitter, "form" + name]
        : [form, name];
    const value = ([element, name]) => element.getAttribute(name) || "";
    const method = value(of("method"));
    const action = of("action");
    const name = named(value(action));
    if (!name || /dialog/i.test(method)) return;
    if (/post/i.test(method)) return hold(...action, safely(value(action)));
    // A GET form drops the query of its action.
    const [old] = [...form.getRootNode().querySelectorAll(`[name=${name}]`)].filter(
      (field) => field.form == form,
    );
    const before = old ? old.value : "";
    const after = wanted(before);
    if (after == before) return;
    const field = old || form.appendChild(document.createElement("input"));
    if (!old) {
      field.type = "hidden";
      field.name = name;
    }
    field.value = after;
    undo.push(() => (old ? (old.value = before) : field.remove()));
    log("5 decorated", form);
  };
  const end = (event) =>
    attempt(() => {
      if (event.defaultPrevented) return; // the page goes on by itself
      const path = event.composedPath();
      if (event.type == "submit") send(event.target, event.submitter);
      else links(path);
      // The menu reads the link when an entry is chosen (WebKit), and on iOS before any event.
      if (!/^(contextmenu|touchstart)$/.test(event.type)) setTimeout(putBack);
    });
  const begin = (event) =>
    attempt(() => {
      putBack();
      refresh();
      tries = 0;
      if (!id) return;
      const { type, currentTarget } = event;
      // Added anew each time it is the last one to run.
      currentTarget.removeEventListener(type, end);
      currentTarget.addEventListener(type, end);
      ["stopPropagation", "stopImmediatePropagation"].forEach((name) => {
        const stop = event[name];
        event[name] = () => {
          // After the handler that stops the event; a script's own event leaves no time for that.
          event.isTrusted > (type == "submit") ? Promise.resolve(event).then(end) : end(event);
          stop.call(event);
        };
      });
    });
  const listen = (target) => {
    MOMENTS.split(" ").forEach((type) => target.addEventListener(type, begin, true));
    "pointerdown pointerup touchend keydown".split(" ").forEach((type) =>
      target.addEventListener(
        type,
        (event) => {
          // The mouse is released over an open menu.
          if (type != "pointerup" || event.pointerType != "mouse") putBack();
        },
        true,
      ),
    );
  };
  const navigate = (event) =>
    attempt(() => {
      if (event.navigationType != "traverse") setTimeout(look);
      const url = event.destination.url;
      if (!named(url)) return;
      refresh();
      const to = safely(url);
      // Only a new address can be a payment page's: never a reload or a step in the history.
      if (to != url)
        if (event.cancelable)
          if (!event.formData)
            if (event.downloadRequest == null)
              // Somebody else's listener may undo this one.
              if (9 > tries++) {
                event.preventDefault();
                location[event.navigationType == "replace" ? "replace" : "assign"](to);
              }
    });

  // --- Stripe's elements -----------------------------------------------------------------------
  // They alone carry the reference all the time: their button is in a frame of Stripe's.

  const mount = (element) => {
    mounted.add(element);
    const before = element.getAttribute(ATTRIBUTE) || "";
    const after = wanted(before);
    if (after != before) element[after ? "setAttribute" : "removeAttribute"](ATTRIBUTE, after);
  };
  // A frame that the page writes itself. One with a page of ours carries the script already.
  const frame = (element) =>
    attempt(() => {
      const view = element.contentWindow;
      if (view.document) view.tracknow || serve(view);
    });
  const serve = (view) => {
    listen(view);
    enter(view.document);
  };
  const KINDS = {
    __proto__: null,
    iframe: frame,
    "stripe-buy-button": mount,
    "stripe-pricing-table": mount,
  };
  const scan = (root, seen) => {
    const meet = (element) => {
      seen.add(element);
      if (element.shadowRoot) enter(element.shadowRoot);
      const kind = KINDS[element.localName];
      if (kind) kind(element);
    };
    if (!seen.has(root)) {
      meet(root);
      root.querySelectorAll("*").forEach(meet);
    }
  };
  const enter = (root) => {
    if (entered.has(root)) return;
    entered.add(root);
    observer.observe(root, { childList: 1, subtree: 1, attributeFilter: [ATTRIBUTE] });
    root.addEventListener("load", (event) => frame(event.target), true);
    if (root.mode == "closed") listen(root);
    scan(root, new Set());
  };
  const observer = new MutationObserver((records) => {
    const seen = new Set(); // what is inserted piece by piece is looked at once
    look();
    refresh();
    fixes || setTimeout(() => (fixes = 0));
    records.forEach((record) =>
      attempt(() => {
        const { target } = record;
        if (target.nodeType == 9) listen(target.defaultView); // document.open() removes listeners
        // Another observer that undoes ours must not become an endless loop.
        if (record.attributeName) if (999 > fixes++) mount(target);
        record.addedNodes.forEach((node) => {
          if (node.nodeType == 1) scan(node, seen);
        });
      }),
    );
  });
  // Decorates for one call of a script.
  api.h = (decorate, action) => {
    attempt(() => {
      refresh();
      if (id) decorate(links);
    });
    const result = action();
    putBack();
    return result;
  };
  api.v = serve;
  const wrap = (owner, name, apply) => {
    owner[name] = new Proxy(owner[name], { apply });
  };

  // --- interface -------------------------------------------------------------------------------

  // Another tab may have brought a newer click: the storage is asked each time.
  const refresh = () => {
    look();
    let now = "";
    if (allowed) {
      now = read();
      if (now) api.i = "";
      else if (api.i) log("2 memory", (now = api.i));
    }
    if (now == id) return;
    id = now;
    mine.add(id);
    if (!entered.has(document))
      wrap(Element.prototype, "attachShadow", (attach, host, list) => {
        const root = Reflect.apply(attach, host, list);
        attempt(() => enter(root));
        return root;
      });
    enter(document);
    mounted.forEach(mount);
  };
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
      if (given) settle(!/^[rb]/.test(attempt(() => performance.getEntriesByType("navigation")[0].type)));
      else {
        save("");
        put("TN_NAME_at", "");
      }
      refresh();
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
        // No event tells of a form that a script sends.
        wrap(HTMLFormElement.prototype, "submit", (submit, form, list) =>
          api.h(
            () => send(form),
            () => Reflect.apply(submit, form, list),
          ),
        );
        addEventListener("popstate", () => (address = location.href), true);
        listen(self);
        "storage pageshow visibilitychange"
          .split(" ")
          .forEach((type) => addEventListener(type, refresh, true));
        navigation.addEventListener("navigate", navigate); // last: not every engine has it
      });
      resolve(api);
    };
    document.prerendering ? addEventListener("prerenderingchange", start, 1) : start();
  });
})((self.tracknow = self.tracknow || {}));
