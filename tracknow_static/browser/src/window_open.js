// Carries the click id through windows that scripts open, on request: window.open(), what is
// written into an empty window, the address that such a window is sent to later, and links that
// are clicked without being in the page.

((api) => {
  // No engine announces where an empty window goes. The page is handed a stand-in for it, which
  // adds the reference to each address and passes on everything else.
  const standIn = (view) => {
    const value = (owner, name) => {
      const found = owner[name];
      // Methods need their own object; constructors have none.
      return typeof found == "function" ? ("prototype" in found ? found : found.bind(owner)) : found;
    };
    const location = new Proxy(
      {},
      {
        get: (_, name) => {
          const found = value(view.location, name);
          return /^(assign|replace)$/.test(String(name)) ? (url) => found(api.decorate(url)) : found;
        },
        set: (_, name, text) => {
          view.location[name] = name == "href" ? api.decorate(text) : text;
          return true;
        },
      },
    );
    return new Proxy(view, {
      get: (_, name) => (name == "location" ? location : value(view, name)),
      set: (_, name, text) => {
        view[name] = name == "location" ? api.decorate(text) : text;
        return true;
      },
    });
  };
  api.w(window, "open", (open, list) => {
    const [url] = list;
    if (url) list[0] = api.decorate(url);
    const view = open();
    try {
      api.v(view.document);
    } catch {}
    return view ? (/^(about:blank)?$/i.test(url || "") ? standIn(view) : view) : view;
  });
  api.w(HTMLElement.prototype, "click", (click, list, element) => {
    const before = element.isConnected ? "" : element.getAttribute("href");
    const after = before ? api.decorate(before) : "";
    if (after) element.setAttribute("href", after);
    click();
    // What the page has changed meanwhile is the page's.
    if (after) if (element.getAttribute("href") == after) element.setAttribute("href", before);
  });
})(tracknow);
