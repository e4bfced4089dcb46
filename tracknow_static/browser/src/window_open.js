// Carries the click id through windows that scripts open, on request: window.open(), what is
// written into an empty window, and links that are clicked without being in the page.

((api) => {
  api.w(window, "open", (open, list) => {
    if (list[0]) list[0] = api.decorate(list[0]);
    const view = open();
    try {
      if (view.document) api.v(view);
    } catch {}
    return view;
  });
  api.w(HTMLElement.prototype, "click", (click, list, element) => {
    if (!element.isConnected) api.h((links) => links([element]));
    click();
  });
})(tracknow);
