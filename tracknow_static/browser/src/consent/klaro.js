// Klaro: the saved answer of klaro.getManager(); a watcher hears of each new one.
TN_SUBSCRIBE(
  "",
  ((watcher) => (event, check) => {
    const manager = klaro.getManager();
    watcher.update = () => check();
    manager.watch(watcher);
    return manager.confirmed ? !!manager.savedConsents["TN_CATEGORY"] : null;
  })({}),
);
