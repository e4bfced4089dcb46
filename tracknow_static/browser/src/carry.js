// Carry: everything that can wait until the page is parsed. See compose.py for what it does.
//
// Names that begin with TN_ are filled in by compose.py. No "&&" and no "<": the same text can
// be inside a page of any kind, and tools/minify.py refuses either.
//
// window.tracknow: clickId(), decorate(url), consent(given), ready; between our own parts: i (the
// id that capture read, later the id in memory), c (consent that came early), u (addresses where
// the id may be found again), s (called when an id is stored), w, v and h (see window_open.js).

((api) => {
  if (api.decorate) return; // included twice

  const REF = "client_reference_id";
  const ATTRIBUTE = "client-reference-id";
  const WINDOW = TN_SECONDS * 1000;
  let mine = new Set(); // every id that we may have written somewhere
  const entered = new WeakSet(); // roots that are observed
  const mounted = new Set(); // Stripe's own elements
  const probe = document.createElement("a"); // a form may be named "baseURI"
  const undo = []; // what puts the page back
  const taken = api.i; // what capture has stored
  let address = location.href;
  let id = "";
  let since; // when the click came that read() found
  let known; // the id that has a date
  let young; // the same if its window is not over
  let allowed;
  let wrong; // what capture has stored though it is no new click
  let tries = 0;

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
  const on = (target, types, listener, options = true) =>
    types.split(" ").forEach((type) => target.addEventListener(type, listener, options));
  const wrap = (api.w = (owner, name, around) => {
    owner[name] = new Proxy(owner[name], {
      apply: (target, self, list) => around(() => target.apply(self, list), list, self),
    });
  });
  const decode = self.unescape || String; // never throws; some page removes it
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
      .split(/[?&]|#[^?]*|=https?(:|%3A)[^&]*/i)
      .map(
        (pair) =>
          (/^(amp;)?TN_PARAM=[^\w${[%\x3c-]*([\w-]+)[^\w-]*$/.exec(decode(pair)) || [])[2],
      )
      .find(valid);
  let memory = landing(address + (api.u || ""));

  // --- store -----------------------------------------------------------------------------------

  const get = (key) => attempt(() => localStorage[key]) || "";
  const put = (key, value) =>
    attempt(() => (value ? (localStorage[key] = value) : delete localStorage[key]));
  const cookies = () =>
    attempt(() =>
      document.cookie
        .split("; ")
        .map((pair) => pair.split(/^TN_NAME=/)[1])
        .filter(valid),
    ) || [];
  // WebKit refuses Secure cookies of http://localhost, which is a secure context all the same; the
  // others refuse to replace theirs there by one that is not Secure: there both forms are written.
  const bake = (value, seconds, domain) =>
    [";secure", isSecureContext > /^https/.test(address) ? "" : ";secure"].forEach((secure) =>
      attempt(() => {
        document.cookie = `TN_NAME=${value};max-age=${seconds};path=/${secure};samesite=lax${domain}`;
      }),
    );
  // A cookie that holds the value already stays: one that a server has set lives longer.
  const write = (value, seconds) => {
    //#if domain
    // An older cookie of this host alone would be read first: only one of the two may stay.
    bake("", 0, "");
    //#end
    if (cookies() != (value || NaN)) bake(value, seconds, "TN_DOMAIN"); // [value] == value
    //#if domain
    if (!cookies().includes(value)) bake(value, seconds, "");
    //#end
  };
  const read = () => {
    const jar = cookies();
    const raw = get("TN_NAME");
    let at, ids;
    [at, ...ids] = get("TN_NAME_at").split(" ");
    ids.forEach(mine.add, mine);
    known = ids[0];
    young = WINDOW > Date.now() - at ? known : "";
    // A raw value that is not ours came later; one that Stripe would drop counts as none.
    const stored =
      [
        //#if first
        young,
        //#end
        jar.includes(raw) ? raw : jar[0],
        raw == known ? "" : raw,
        young,
      ].find(valid) || "";
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
      mine = new Set([value, ...mine]);
      if (value) put("TN_NAME_at", [since, ...mine].slice(0, 11).join(" "));
    }
  };
  // Finds out which id counts. fresh: the address was really navigated to.
  const settle = (fresh) => {
    read();
    wrong = taken == (fresh ? memory : young) ? "" : taken;
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
    wrong = "";
    if (stored || get("TN_NAME")) save(stored);
    api.i = stored; // until the store has shown that it keeps it
    log(stored ? "1 stored" : "3 none", stored);
    if (stored) attempt(api.s);
  };
  // Another tab may have brought a newer click: the storage is asked each time.
  const refresh = () =>
    attempt(() => {
      // A page that changes its address without loading may have landed, too.
      let now = location.href == address ? "" : landing((address = location.href));
      if (now) {
        memory = now;
        if (allowed) settle(1);
      }
      now = allowed ? read() : "";
      if (now) api.i = "";
      else if (allowed) if (api.i) log("2 memory", (now = api.i));
      if (now != id) {
        id = now;
        mine.add(id);
        enter(document);
        mounted.forEach(mount);
      }
    });

  // --- references ------------------------------------------------------------------------------

  // A reference of the merchant's own. One that Stripe would drop is none.
  const stays = (value) => {
    //#if overwrite
    if (id) return false;
    //#end
    return valid(value) > mine.has(value); // valid and not mine, without an "and"
  };
  const wanted = (value) => (stays(value) ? value : id || (mine.has(value) ? "" : value));

  // The parameter that an address takes, if any.
  const named = (text) => {
    probe.href = text;
    const match = /^https?:TN_TARGETS$/.exec(probe.protocol + probe.host);
    //#if linked
    if (match) if (!match[1]) return probe.host == location.host ? "" : "TN_PARAM";
    //#end
    return match ? REF : "";
  };
  // Gives the edited text, or nothing where the text may stay.
  const edit = (text) => {
    const name = named(text);
    if (!name) return;
    let [head] = text.split("#");
    // A parser drops white space at the end.
    if (head == text) while (" " >= head.slice(-1)) head = head.slice(0, -1);
    const [path] = head.split("?");
    const values = [];
    const pairs = head
      .slice(path.length + 1)
      .split("&")
      .flatMap((pair) => {
        const [key, value = ""] = decode(pair.replace(/[\t\n\r]/g, "")).split("=");
        // What a script has appended to an address that ended with our reference is kept.
        const [ours, ...rest] = pair.split("?");
        return key != name
          ? pair
          : values.push(value) > mine.has(ours.slice(name.length + 1))
            ? []
            : rest;
      });
    if (values.some(stays)) return log("6 kept", text);
    if (values == id) return;
    if (!id) if (!values.some(mine.has, mine)) return;
    if (!pairs[pairs.length - 1]) pairs.pop();
    if (id) pairs.push(name + "=" + id);
    const query = pairs.join("&");
    const edited = path + (query ? "?" + query : "") + text.slice(head.length);
    log("5 decorated", edited);
    return edited;
  };
  const safely = (text) => attempt(() => edit(text)) || text;

  // --- moments ---------------------------------------------------------------------------------
  // Nothing of the page changes before the visitor acts. What they act on is decorated after the
  // page's own handlers have run, and put back when the browser has read it.

  const putBack = () => undo.splice(0).forEach(attempt);
  const hold = (element, name) => {
    const before = element.getAttribute(name);
    const after = before ? safely(before) : before;
    if (after == before) return;
    element.setAttribute(name, after);
    undo.push(() => {
      // What the page has changed meanwhile is the page's.
      if (element.getAttribute(name) == after) element.setAttribute(name, before);
    });
  };
  const links = (path) =>
    path.forEach((element) => {
      if (/^a(rea)?$/i.test(element.localName))
        hold(element, "href"), hold(element, "xlink:href");
    });
  const send = (form, submitter) => {
    const own = submitter ? submitter.getAttribute("formaction") : 0;
    const target = own ? submitter : form;
    const action = own ? "formaction" : "action";
    const name = named(target.getAttribute(action));
    if (/post/i.test((submitter ? submitter.formMethod : "") || form.getAttribute("method")))
      hold(target, action);
    else if (name) {
      // A GET form drops the query of its action: the reference is one more entry of what it sends.
      const fill = (event) => {
        if (undo.includes(fill)) {
          event.formData.set(name, wanted(event.formData.get(name) || ""));
          log("5 decorated", form);
        }
      };
      on(form, "formdata", fill);
      undo.push(fill);
    }
  };
  const end = (event) =>
    attempt(() => {
      if (event.defaultPrevented) return; // the page goes on by itself
      const { dataTransfer } = event;
      if (event.type == "submit") send(event.target, event.submitter);
      // What is dragged was filled in before the event.
      else if (dataTransfer)
        [...dataTransfer.types].forEach((type) =>
          dataTransfer.setData(type, dataTransfer.getData(type).replace(/https?:[^\s"]+/g, safely)),
        );
      else links(event.composedPath());
      // WebKit reads the link when an entry of its menu is chosen, iOS before any event.
      if (!/^(con|to)/.test(event.type)) setTimeout(putBack);
    });
  const begin = (event) =>
    attempt(() => {
      const { type, currentTarget } = event;
      putBack();
      refresh();
      tries = 0;
      if (!id) return;
      // Added now it is the last one to run.
      on(currentTarget, type, (last) => (last == event ? end(event) : 0), { once: true });
      ["stopPropagation", "stopImmediatePropagation"].forEach((name) => {
        const stop = event[name];
        event[name] = () => {
          // After the handler that stops the event; a script's own event leaves no time for that.
          event.isTrusted > (type == "submit") ? Promise.resolve(event).then(end) : end(event);
          stop.call(event);
        };
      });
    });
  const listen = (view) => {
    on(view, "click auxclick contextmenu dragstart submit touchstart", begin);
    on(view, "touchend pointerdown", putBack);
    on(view, "storage pageshow visibilitychange", refresh);
  };
  const navigate = (event) =>
    attempt(() => {
      const url = event.destination.url;
      const kind = event.navigationType;
      // Only a new address can be a payment page's: never a reload or a step in the history.
      if (/^(rel|t)/.test(kind)) return;
      setTimeout(refresh);
      refresh();
      const to = safely(url);
      if (to != url)
        if (!event.formData)
            if (999 > (tries += 99)) {
              event.preventDefault();
              location[kind == "push" ? "assign" : "replace"](to);
            }
    });
  // Decorates for a call of a script that is about to be made.
  api.h = (decorate) =>
    attempt(() => {
      refresh();
      if (id) decorate(links);
      setTimeout(putBack);
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
    attempt(() => element.contentWindow.tracknow || api.v(element.contentWindow));
  api.v = (view) => {
    listen(view);
    enter(view.document);
  };
  const meet = (element) => {
    const { localName, shadowRoot } = element;
    if (shadowRoot) enter(shadowRoot);
    if (localName == "iframe") frame(element);
    if (/^stripe-(buy-button|pricing-table)$/.test(localName)) mount(element);
  };
  const enter = (root) => {
    if (entered.has(root)) return;
    entered.add(root);
    observer.observe(root, { childList: 1, subtree: 1, attributeFilter: [ATTRIBUTE] });
    on(root, "load", (event) => frame(event.target));
    // No event outside tells what is inside a closed root; "submit" leaves no root at all.
    if (root.mode) root.mode == "closed" ? listen(root) : on(root, "submit", begin);
    if (root == document)
      wrap(Element.prototype, "attachShadow", (attach) => {
        const made = attach();
        attempt(() => enter(made));
        return made;
      });
    root.querySelectorAll("*").forEach(meet);
  };
  const observer = new MutationObserver((records) => {
    const seen = new Set(); // what is inserted piece by piece is looked at once
    if (location.href != address) refresh();
    records.forEach(({ target, attributeName, addedNodes }) =>
      attempt(() => {
        if (target.defaultView) listen(target.defaultView); // document.open() removes listeners
        // Another observer that undoes ours must not become an endless loop.
        if (attributeName) if (999 > tries++) mount(target);
        addedNodes.forEach((node) => {
          if (node.nodeType == 1)
            if (!seen.has(node))
              [node, ...node.querySelectorAll("*")].forEach((element) => {
                seen.add(element);
                meet(element);
              });
        });
      }),
    );
  });

  // --- interface -------------------------------------------------------------------------------

  api.clickId = () => {
    refresh();
    return id || null;
  };
  api.decorate = (url) => {
    refresh();
    attempt(() => (url += ""));
    return safely(url);
  };
  const decide = (given) => {
    if (given === allowed) return;
    allowed = given;
    if (given)
      // Reload, back or forward; Firefox gives 255 for a refresh by meta.
      settle(!attempt(() => performance.navigation.type % 255));
    else {
      save("");
      put("TN_NAME_at", "");
    }
    refresh();
  };
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
        wrap(HTMLFormElement.prototype, "submit", (submit, list, form) => {
          api.h(() => send(form));
          submit();
          putBack();
        });
        on(self, "popstate", () => (address = location.href));
        listen(self);
        on(navigation, "navigate", navigate); // last: not every engine has it
      });
      resolve(api);
    };
    document.prerendering ? addEventListener("prerenderingchange", start, 1) : start();
  });
})((self.tracknow = self.tracknow || {}));
