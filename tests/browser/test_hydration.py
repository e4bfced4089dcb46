"""Pages that React rendered on the server and takes over in the browser, as Docusaurus and Astro do.

React is the real one in its production form: what these generators publish.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE
from tools.engines import npm
from tools.engines.fake_web import Response
from tools.minify import node

if TYPE_CHECKING:
    from tests.browser.shops import Shop

# Package, version and file by the name under which React's parts ask for each other.
REACT = {
    "19": {
        "react": ("react", "19.2.0", "cjs/react.production.js"),
        "scheduler": ("scheduler", "0.27.0", "cjs/scheduler.production.js"),
        "react-dom": ("react-dom", "19.2.0", "cjs/react-dom.production.js"),
        "react-dom/client": ("react-dom", "19.2.0", "cjs/react-dom-client.production.js"),
        "react-dom/server": (
            *("react-dom", "19.2.0"),
            "cjs/react-dom-server-legacy.browser.production.js",
        ),
    },
    "18": {
        "react": ("react", "18.3.1", "cjs/react.production.min.js"),
        "scheduler": ("scheduler", "0.23.2", "cjs/scheduler.production.min.js"),
        "react-dom": ("react-dom", "18.3.1", "cjs/react-dom.production.min.js"),
        "react-dom/client": ("react-dom", "18.3.1", "cjs/react-dom.production.min.js"),
        "react-dom/server": (
            *("react-dom", "18.3.1"),
            "cjs/react-dom-server-legacy.browser.production.min.js",
        ),
    },
}
# A shop whose link says something else after a click on #again.
_APP = """
const {createElement: h, useEffect, useState} = require('react');
function App({pay}) {
  const [n, set] = useState(0);
  useEffect(() => { window.hydrated = true }, []);
  return h('main', null,
    h('a', {id: 'buy', href: pay + '/' + n + '?a=1'}, 'Buy ' + n),
    h('form', {action: pay + '/form'}, h('button', {id: 'send'}, 'Pay')),
    h('stripe-buy-button', {'buy-button-id': 'x'}),
    h('button', {id: 'again', onClick: () => set(n + 1)}, 'Again'));
}
function Page({pay}) {
  return h('html', null,
    h('head', null, h('meta', {charSet: 'utf-8'}), h('link', {rel: 'icon', href: 'data:,'}),
      h('title', null, '/')),
    h('body', null, h(App, {pay})));
}
"""
_HYDRATE = """
window.recovered = [];
const onRecoverableError = error => recovered.push(String(error));
const app = h(what === 'page' ? Page : App, {pay});
const where = what === 'page' ? document : document.querySelector('#root');
require('react-dom/client').hydrateRoot(where, app, {onRecoverableError});
"""


def _script(version: str, pay: str, last: str) -> str:
    """Give React, the shop and what is to be done with them as one script."""
    modules = "".join(
        f"modules[{name!r}] = (exports, require) => {{{npm.read(*file).decode()}\n}};\n"
        for name, file in REACT[version].items()
    )
    return f"""(() => {{
    const modules = {{}}, made = {{}};
    const require = name => {{
      if (!made[name]) modules[name](made[name] = {{}}, require);
      return made[name];
    }};
    {modules}
    const pay = {json.dumps(pay)};
    {_APP}
    {last}}})()"""


def _rendered(version: str, pay: str) -> str:
    """Give what the server renders."""
    last = "process.stdout.write(require('react-dom/server').renderToString(h(App, {pay})))"
    done = subprocess.run(
        [node(), "-"],
        input=_script(version, pay, last),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("version", "what"), [("19", "part"), ("19", "page"), ("18", "part")])
def test_hydration(shop: Shop, version: str, what: str) -> None:
    """React takes over a part of the page or all of it: it finds no fault, and no route is lost."""
    script = _script(version, shop.pay, f"const what = '{what}'; {_HYDRATE}")
    shop.web.put(shop.host, "/app.js", Response(script.encode(), "text/javascript"))
    html = _rendered(version, shop.pay)
    browser = shop.visit(
        html if what == "page" else f"<div id=root>{html}</div>",
        head="<script defer src=/app.js></script>",
    )
    browser.until("return window.hydrated")
    assert browser.run("return recovered") == []
    assert browser.run("return document.head.querySelectorAll('script[data-tracknow]').length") == 2
    browser.until(
        "const element = document.querySelector('stripe-buy-button');"
        f"return element && element.getAttribute('client-reference-id') === '{ID}'"
    )
    assert browser.attribute("#buy", "href") == f"{shop.pay}/0?a=1"
    browser.click("#again")
    browser.until("return buy.textContent === 'Buy 1'")
    assert browser.run("return document.querySelectorAll('input').length") == 0
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}/1?a=1&{REFERENCE}"
    browser.open(shop.url())
    browser.until("return window.hydrated")
    browser.click("#send")
    assert shop.left().target == f"/{shop.key}/form?{REFERENCE}"
