// Klaro: the saved answer of klaro.getManager(); a watcher hears of each new one. Before the answer
// a service that is required, or on until the visitor opts out, is on.
TN_SUBSCRIBE(
  "",
  ((watcher) => (event, check) => {
    const manager = klaro.getManager();
    watcher.update = () => check();
    manager.watch(watcher);
    return manager.confirmed
      ? !!manager.savedConsents["TN_CATEGORY"]
      : manager.states["TN_CATEGORY"] || null;
  })({}),
);
