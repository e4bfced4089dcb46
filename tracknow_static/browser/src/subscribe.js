// Asks a consent manager now, when the page is ready, and at each of its events.
// read() gives true, false, or nothing as long as the visitor has not answered.
// Listening on window in the capture phase also hears what is fired at document.

subscribe = (events, read) => {
  const check = (event) => {
    try {
      if (document.prerendering) return; // a page that may never be seen
      const given = read(event, check);
      if (given != null) tracknow.consent(given);
    } catch {}
  };
  (events + " DOMContentLoaded load prerenderingchange")
    .split(" ")
    .forEach((type) => addEventListener(type, check, true));
  check();
};
