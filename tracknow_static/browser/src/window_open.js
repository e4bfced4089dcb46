// Carries the click id through window.open(), on request.

((open) => {
  window.open = new Proxy(open, {
    apply: (target, self, [url, ...rest]) =>
      target.apply(self, [url ? tracknow.decorate(url) : url, ...rest]),
  });
})(window.open);
