// A page without elements, driven by JSON lines: what the script reads and writes, and no more.
// The cookie jar keeps what RFC 6265 says about domain, secure, max-age and order.

const vm = require("vm");
const readline = require("readline");

let context, clock, jar, storage, refuse, log, timers;

const now = () => clock;

function cookieJar(url) {
  const bare = url.hostname;
  return {
    get() {
      if (refuse.includes("cookies")) throw new Error("SecurityError");
      jar = jar.filter((cookie) => cookie.until > now());
      return jar.map((cookie) => cookie.name + "=" + cookie.value).join("; ");
    },
    set(text) {
      if (refuse.includes("cookies")) throw new Error("SecurityError");
      log.push(["cookie", text]);
      const [pair, ...rest] = text.split(";").map((part) => part.trim());
      const attributes = Object.fromEntries(
        rest.map((part) => [part.split("=")[0].toLowerCase(), part.split("=")[1]]),
      );
      const domain = attributes.domain || "";
      if ("secure" in attributes && url.protocol !== "https:") return;
      if (domain && (refuse.includes("domain") || !("." + bare).endsWith("." + domain))) return;
      const name = pair.slice(0, pair.indexOf("="));
      const until = "max-age" in attributes ? now() + 1000 * attributes["max-age"] : Infinity;
      const old = jar.find((cookie) => cookie.name === name && cookie.domain === domain);
      const made = { name, value: pair.slice(name.length + 1), domain, until };
      if (old) Object.assign(old, made);
      else jar.push(made);
      jar = jar.filter((cookie) => cookie.until > now());
    },
  };
}

function page({
  script,
  url,
  referrer = "",
  prerendering = false,
  globals = {},
  history = null,
  type = 0,
}) {
  const listeners = {};
  const listen = (type, listener) => (listeners[type] = listeners[type] || []).push(listener);
  const address = new URL(url);
  const cookie = cookieJar(address);
  const document = {
    referrer,
    prerendering,
    baseURI: url,
    addEventListener: listen,
    removeEventListener() {},
    createElement: () => {
      let parsed;
      return {
        set href(text) {
          try {
            parsed = new URL(text, url);
          } catch (error) {
            parsed = { origin: "", host: "", search: "", href: text };
          }
        },
        get href() {
          return parsed.href;
        },
        get origin() {
          return parsed.origin;
        },
        get host() {
          return parsed.host;
        },
        get search() {
          return parsed.search;
        },
        set search(text) {
          parsed.search = text;
        },
      };
    },
    createTreeWalker: () => ({ nextNode: () => null }),
    get cookie() {
      return cookie.get();
    },
    set cookie(text) {
      cookie.set(text);
    },
  };
  const setItem = (key, value) => {
    log.push(["set", key]);
    storage[key] = String(value);
  };
  const store = new Proxy(
    {
      getItem: (key) => (key in storage ? storage[key] : null),
      setItem,
      removeItem: (key) => {
        delete storage[key];
      },
    },
    {
      get: (methods, key) => methods[key] || storage[key],
      set: (methods, key, value) => (setItem(key, value), true),
      deleteProperty: (methods, key) => delete storage[key],
    },
  );
  log = [];
  timers = [];
  const state = {
    document,
    location: address,
    navigator: { globalPrivacyControl: refuse.includes("gpc") },
    history: {
      state: { kept: 1 },
      replaceState: (held, _, to) => {
        log.push(["replaceState", held, to]);
        address.href = to;
      },
    },
    addEventListener: listen,
    removeEventListener() {},
    performance: { navigation: { type } },
    isSecureContext: /^https:|^http:..(localhost|127\.[\d.]+|\[::1])[:/]/.test(url),
    unescape,
    HTMLFormElement: class {
      submit() {}
    },
    Element: class {
      attachShadow() {}
    },
    URL,
    URLSearchParams,
    MutationObserver: class {
      observe() {}
    },
    setTimeout: (later) => timers.push(later),
    console: { log: (...words) => log.push(["console", ...words.map(String)]) },
    listeners,
    ...globals,
  };
  Object.defineProperty(state, "localStorage", {
    get() {
      if (refuse.includes("storage")) throw new Error("SecurityError");
      return store;
    },
  });
  if (history)
    state.navigation = {
      addEventListener() {},
      entries: () => history.map((url) => ({ url })),
    };
  state.self = state.window = state;
  context = vm.createContext(state);
  vm.runInContext("Date.now = now", Object.assign(context, { now }));
  vm.runInContext(script, context);
}

const commands = {
  reset(order) {
    clock = order.clock || 1.7e12;
    jar = order.jar || [];
    jar.forEach((cookie) => (cookie.until = cookie.until || Infinity));
    storage = order.storage || {};
    refuse = order.refuse || [];
  },
  page,
  compile: ({ script }) => {
    new vm.Script(script);
  },
  wait: ({ seconds }) => {
    clock += 1000 * seconds;
    timers.splice(0).forEach((later) => later());
  },
  call: ({ name, given }) => given.map((value) => context.tracknow[name](value)),
  run: ({ code }) => vm.runInContext(code, context),
  fire: ({ type, detail }) => {
    if (type === "prerenderingchange") context.document.prerendering = false;
    (context.listeners[type] || []).forEach((listener) =>
      listener({ type, detail, target: {}, composedPath: () => [] }),
    );
  },
  state: () => ({
    cookies: jar
      .filter((cookie) => cookie.until > now())
      .map(({ name, value, domain, until }) => ({
        name,
        value,
        domain,
        days: Math.round((until - now()) / 864e5),
      })),
    storage,
    log,
  }),
  // What the standard's parser says of texts: null, or the parts that matter.
  parse: ({ texts, base }) =>
    texts.map((text) => {
      try {
        const url = new URL(text, base);
        return {
          href: url.href,
          host: url.protocol + url.host,
          pairs: [...url.searchParams],
          rest: [url.pathname, url.hash, url.username, url.password],
        };
      } catch (error) {
        return null;
      }
    }),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let answer;
  try {
    const order = JSON.parse(line);
    const result = commands[order.do](order);
    answer = { result: result === undefined ? null : result };
  } catch (error) {
    answer = { error: String(error.stack || error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
