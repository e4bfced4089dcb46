// Carries the click id through windows that scripts open, on request: window.open(), what is
// written into an empty window, and links that are clicked without being in the page.

((open, click) => {
  const wrap = (owner, name, apply) => {
    owner[name] = new Proxy(owner[name], { apply });
  };
  wrap(window, "open", (open, self, [url, ...rest]) => {
    const view = Reflect.apply(open, self, [url ? tracknow.decorate(url) : url, ...rest]);
    try {
      if (view.document) tracknow.v(view);
    } catch {}
    return view;
  });
  wrap(HTMLElement.prototype, "click", (click, element, list) =>
    tracknow.h(
      (links) => element.isConnected || links([element]),
      () => Reflect.apply(click, element, list),
    ),
  );
})();
