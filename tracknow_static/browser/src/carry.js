// Carry: everything that can wait until the page is parsed. See compose.py for what it does.
//
// compose.py fills in names that begin with TN_. No "&&" and no "<": any page may hold this text.
//
// window.tracknow: clickId(), decorate(url), consent(given), ready; between our own parts: i (the
// id that capture read), c (consent that came early), u (addresses where the id may be found
// again), s (called when an id is stored), w and v (see window_open.js).

((api) => {
  if (api.decorate) return; // included twice

  const REF = "client_reference_id";
  const ATTRIBUTE = "client-reference-id";
  const WINDOW = TN_SECONDS * 1000;
  const mine = new Set(); // every id that we may have written somewhere
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
  const log = (code, what) => {
    // The page that a debugged one leads to is debugged too, without storing anything.
    if (/tn_debug=1/.test(address + document.referrer)) console.log("TNB" + code, what);
  };
  const on = (target, types, listener, options = 1) =>
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

  // Where nothing can be stored the id lives as long as the page.
  const store = attempt(() => localStorage) || {};
  const cookies = () =>
    attempt(() =>
      document.cookie
        .split("; ")
        .map((pair) => pair.split(/^TN_NAME=/)[1])
        .filter(valid),
    ) || [];
  const read = () => {
    const jar = cookies();
    const raw = store["TN_NAME"];
    const [at, ...ids] = (store["TN_NAME_at"] + "").split(" ");
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
    // A cookie that outlives its date was renewed by a click that only capture saw: it counts.
    since = stored == young ? +at : Date.now();
    return stored;
  };
  // The date stays when an id is out of date: a tab that is restored does not bring it back.
  const save = (value) => {
    const seconds = value ? ((since + WINDOW - Date.now()) / 1000) | 0 : 0;
    // WebKit refuses Secure cookies of http://localhost, which is a secure context all the same; the
    // others refuse to replace theirs there by one that is not Secure: there both forms are written.
    const bake = (domain) =>
      [";secure", isSecureContext > (address > "https") ? "" : ";secure"].forEach((secure) =>
        attempt(() => {
          document.cookie = `TN_NAME=${value};max-age=${seconds};path=/${secure};samesite=lax${domain}`;
        }),
      );
    //#if domain
    // An older cookie of this host alone would be read first: only one of the two may stay.
    attempt(() => (document.cookie = "TN_NAME=;max-age=0;path=/;secure"));
    //#end
    // A cookie that holds the value already stays: one that a server has set lives longer.
    if (cookies() != (value || NaN)) bake("TN_DOMAIN"); // [value] == value
    //#if domain
    if (!cookies().includes(value)) bake("");
    //#end
    delete store["TN_NAME"];
    if (value)
      attempt(() => {
        store["TN_NAME"] = value;
        store["TN_NAME_at"] = [since, value, ...mine].slice(0, 12).join(" ");
      });
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
      if (known || stored ? fresh : 1) {
        stored = memory;
        since = Date.now();
      }
    wrong = "";
    if (stored || store["TN_NAME"]) save(stored);
    log(stored ? (store.getItem || cookies() == stored ? 1 : 2) : 3, stored);
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
  const wanted = (value) => (stays(value) ? value : id);

  // The parameter that an address takes, if any.
  const named = (text) => {
    probe.href = text;
    const match = /^https?:..TN_TARGETS$/.exec(probe.origin);
    //#if linked
    if (match) if (!match[1]) return probe.host == location.host ? "" : "TN_PARAM";
    //#end
    return match ? REF : "";
  };
  // Gives the text as it has to be; what is no text becomes one, where it can.
  const edit = (text) =>
    attempt(() => {
      text += "";
      const name = named(text);
      if (!name) return;
      const values = [];
      const pairs = probe.search
        .slice(1)
        .split("&")
        .flatMap((pair) => {
          const [key, ...value] = decode(pair).split("=");
          // What a script has appended to an address that ended with our reference is kept.
          const [ours, ...rest] = pair.split("?");
          return key != name
            ? pair
            : values.push(value + "") > mine.has(ours.split("=")[1])
              ? []
              : rest;
        });
      if (values.some(stays)) return log(6, text);
      if (values == id) return;
      if (!id) if (!values.some(mine.has, mine)) return;
      pairs[pairs.length - 1] || pairs.pop();
      if (id) pairs.push(name + "=" + id);
      probe.search = pairs.length ? "?" + pairs.join("&") : ""; // a "?" alone would stay
      log(5, probe.href);
      return probe.href;
    }) || text;

  // --- moments ---------------------------------------------------------------------------------
  // What a visitor acts on changes after the page's handlers, until the browser has read it.

  const putBack = () => undo.splice(0).forEach(attempt);
  const hold = (element, name) => {
    const before = element.getAttribute(name);
    const after = before ? edit(before) : before;
    if (after != before) {
      element.setAttribute(name, after);
      undo.push(() => {
        // What the page has changed meanwhile is the page's.
        if (element.getAttribute(name) == after) element.setAttribute(name, before);
      });
    }
  };
  const send = (form, submitter) => {
    const target = submitter.getAttribute("formaction") ? submitter : form;
    const action = target == form ? "action" : "formaction";
    const name = named(target.getAttribute(action));
    if (/post/i.test(submitter.formMethod || form.getAttribute("method"))) hold(target, action);
    else if (name) {
      // A GET form drops the query of its action: the reference is one more entry of what it sends.
      const fill = (event) => {
        if (undo.includes(fill)) {
          event.formData.set(name, wanted(event.formData.get(name)));
          log(5, form);
        }
      };
      on(form, "formdata", fill);
      undo.push(fill);
    }
  };
  const end = (event) =>
    attempt(() => {
      if (event.defaultPrevented) return; // the page goes on by itself
      const data = event.dataTransfer;
      if (event.type == "submit") send(event.target, event.submitter || event.target);
      // What is dragged was filled in before the event.
      else if (data)
        [...data.types].forEach((type) =>
          data.setData(type, data.getData(type).replace(/https?:[^\s"\x3c]+/g, edit)),
        );
      else
        event.composedPath().forEach((node) =>
          attempt(() => {
            hold(node, "href");
            hold(node, "xlink:href");
          }),
        );
      // WebKit reads the link when an entry of its menu is chosen, iOS before any event.
      if (!/^.o/.test(event.type)) setTimeout(putBack);
    });
  const begin = (event) =>
    attempt(() => {
      putBack();
      refresh();
      tries = 0;
      if (!id) return;
      // Added now it is the last one to run.
      on(event.currentTarget, event.type, (last) => (last == event ? end(event) : 0), { once: 1 });
      ["stopPropagation", "stopImmediatePropagation"].forEach((name) =>
        wrap(event, name, (stop) => {
          // After the handler that stops the event; a script's own event leaves no time for that.
          event.isTrusted > (event.type == "submit") ? api.ready.then(() => end(event)) : end(event);
          stop();
        }),
      );
    });
  const navigate = (event) =>
    attempt(() => {
      if (event.formData) return;
      setTimeout(refresh);
      refresh();
      const to = edit(event.destination.url);
      if (to != event.destination.url)
        if (999 > (tries += 99)) {
          event.preventDefault();
          event.navigationType == "push" ? (location.href = to) : location.replace(to);
        }
    });

  // --- Stripe's elements -----------------------------------------------------------------------
  // They alone carry the reference all the time: their button is in a frame of Stripe's.

  const mount = (element) =>
    attempt(() => {
      mounted.add(element);
      const before = element.getAttribute(ATTRIBUTE);
      const after = wanted(before);
      if (after != before) element[after ? "setAttribute" : "removeAttribute"](ATTRIBUTE, after);
    });
  // Looks at a node and all in it, one by one: a list of all would cost twice as much.
  const look = (root) => {
    const found = [];
    const walker = document.createTreeWalker(root, 1);
    for (let node = root; node; node = walker.nextNode()) {
      const { localName, shadowRoot, contentDocument } = node;
      inserted.delete(node);
      if (shadowRoot) enter(shadowRoot);
      // A frame that the page writes itself. One with a page of ours carries the script already.
      if (contentDocument) (contentDocument.defaultView || 0).tracknow || enter(contentDocument);
      if (/^stripe-(buy-button|pricing-table)$/.test(localName)) found.push(node);
    }
    found.forEach(mount); // only now: it may make the page change
  };
  const loaded = (event) => look(event.target);
  // Serves a document or a shadow root, again where document.open() has removed the listeners.
  const enter = (api.v = (root) => {
    // No event outside tells what is inside a closed root; "submit" leaves no root at all.
    const target = root.defaultView || root;
    on(
      target,
      root.mode == "open" ? "submit" : "contextmenu auxclick click dragstart touchstart submit",
      begin,
    );
    on(target, "pointerdown touchend", putBack);
    on(target, "storage pageshow visibilitychange", refresh);
    if (!id) return;
    on(root, "load", loaded);
    observer.observe(root, { childList: 1, subtree: 1, attributeFilter: [ATTRIBUTE] });
    look(root);
  });
  const inserted = new Set(); // elements that are not looked at yet
  const observer = new MutationObserver((records) => {
    if (location.href != address) refresh();
    records.forEach(({ addedNodes, attributeName, target }) => {
      if (target.defaultView) enter(target);
      // Another observer that undoes ours must not become an endless loop.
      if (attributeName) if (999 > tries++) mount(target);
      addedNodes.forEach((node) => (node.localName ? inserted.add(node) : 0));
    });
    // One tree may be inserted piece by piece: a look at its root removes them all.
    inserted.forEach((node) => attempt(() => look(node)));
  });

  // --- interface -------------------------------------------------------------------------------

  api.clickId = () => {
    refresh();
    return id || null;
  };
  api.decorate = (url) => {
    refresh();
    return edit(url);
  };
  api.consent = (given) =>
    attempt(() => {
      given = !!given;
      if (given == allowed) return;
      allowed = given;
      if (given)
        // Reload, back or forward; Firefox gives 255 for a refresh by meta.
        settle(!attempt(() => performance.navigation.type % 255));
      else {
        log(7, given);
        save("");
        delete store["TN_NAME_at"];
      }
      refresh();
    });
  api.ready = new Promise((resolve) => {
    const start = () => {
      attempt(() => {
        if (!memory) log(4, location.search);
        enter(document);
        if (TN_NOW) api.consent(1);
        // No event tells of a form that a script sends.
        wrap(Element.prototype, "attachShadow", (attach) => {
          const made = attach();
          attempt(() => enter(made));
          return made;
        });
        wrap(HTMLFormElement.prototype, "submit", (submit, list, form) => {
          attempt(() => {
            refresh();
            if (id) send(form, form);
          });
          submit();
          putBack();
        });
        on(self, "popstate", () => (address = location.href));
        on(navigation, "navigate", navigate); // last: not every engine has it
      });
      resolve(api);
    };
    document.prerendering ? on(self, "prerenderingchange", start) : start();
  });
})((self.tracknow = self.tracknow || {}));
