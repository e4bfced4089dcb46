// Takes the parameter out of the address bar once the click id is stored; history state, fragment
// and every other byte stay.

(self.tracknow = self.tracknow || {}).s = () => {
  const [whole, address, fragment] = /^([^#]*)(.*)$/.exec(location.href);
  const [path] = address.split("?");
  const query = address
    .slice(path.length)
    .replace(/[?&][^?&]*/g, (pair) => (/^.(amp;)?TN_PARAM(=|$)/.test((self.unescape || String)(pair)) ? "" : pair))
    .slice(1);
  const cleaned = path + (query ? "?" + query : "") + fragment;
  if (cleaned != whole) history.replaceState(history.state, "", cleaned);
};
