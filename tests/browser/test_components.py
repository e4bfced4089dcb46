"""Pages whose elements a library makes, takes over or renders anew: it meets what it has written.

Each application is the same shop: a link whose plan a switch changes, a form, Stripe's element, a
second link and element that come on demand, and a button that navigates by script. Libraries that
render on the server take that page over in the browser; all run in their form for development,
which reports whatever it did not expect.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.browser import packages
from tests.browser.scenarios import FRAME, opening, without_reference
from tests.browser.shops import ID, REFERENCE
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop

PAY = "https://buy.stripe.com/KEY"
# What every application renders, in the syntax that Vue, Svelte and Alpine share but for bindings.
VUE = """<main><a id=buy target=there :href="pay + '/' + plan">Buy {{ plan }}</a>
<form target=there :action="pay + '/form'"><input name=plan v-model="plan"><button id=send>Send</button></form>
<stripe-buy-button buy-button-id=b></stripe-buy-button>
<button id=switch @click="plan = plan === 'month' ? 'year' : 'month'">Switch</button>
<button id=more @click="more = true">More</button>
<p v-if="more"><a id=late target=there :href="pay + '/late'">Late</a><stripe-buy-button></stripe-buy-button></p>
<button id=go @click="go">Go</button></main>"""
_VUE_APP = f"""import {{createSSRApp}} from 'vue/dist/vue.esm-bundler.js';
const app = createSSRApp({{template: {json.dumps(VUE)}, data: () => ({{pay: '{PAY}', plan: 'month', more: false}}),
  methods: {{go() {{ location.href = document.querySelector('#buy').href + '?a=1' }}}}}});
app.config.compilerOptions.isCustomElement = tag => tag.startsWith('stripe-');"""

_REACT = f"""import {{createElement as h, useEffect, useState}} from 'react';
function App() {{
  const pay = '{PAY}', [plan, set] = useState('month'), [more, open] = useState(false);
  useEffect(() => {{ window.ready = true }}, []);
  return h('main', null,
    h('a', {{id: 'buy', target: 'there', href: pay + '/' + plan}}, 'Buy ' + plan),
    h('form', {{target: 'there', action: pay + '/form'}},
      h('input', {{name: 'plan', value: plan, onChange: () => {{}}}}), h('button', {{id: 'send'}}, 'Send')),
    h('stripe-buy-button', {{'buy-button-id': 'b'}}),
    h('button', {{id: 'switch', onClick: () => set(plan === 'month' ? 'year' : 'month')}}, 'Switch'),
    h('button', {{id: 'more', onClick: () => open(true)}}, 'More'),
    more && h('p', null, h('a', {{id: 'late', target: 'there', href: pay + '/late'}}, 'Late'),
      h('stripe-buy-button')),
    h('button', {{id: 'go', onClick: () => {{
      location.href = document.querySelector('#buy').href + '?a=1' }}}}, 'Go'));
}}"""
_HYDRATE = """import {hydrateRoot} from 'react-dom/client';
hydrateRoot(document.querySelector('#root'), h(App),
  {onRecoverableError: error => console.error('recovered: ' + error)});"""
_RENDER = """import {renderToString} from 'react-dom/server';
process.stdout.write(renderToString(h(App)))"""

_SVELTE = f"""<script>const pay = '{PAY}'; let plan = $state('month'), more = $state(false);
const go = () => {{ location.href = document.querySelector('#buy').href + '?a=1' }}</script>
<main><a id=buy target=there href={{pay + '/' + plan}}>Buy {{plan}}</a>
<form target=there action={{pay + '/form'}}><input name=plan bind:value={{plan}}><button id=send>Send</button></form>
<stripe-buy-button buy-button-id=b></stripe-buy-button>
<button id=switch onclick={{() => plan = plan === 'month' ? 'year' : 'month'}}>Switch</button>
<button id=more onclick={{() => more = true}}>More</button>
{{#if more}}<p><a id=late target=there href={{pay + '/late'}}>Late</a><stripe-buy-button></stripe-buy-button></p>{{/if}}
<button id=go onclick={{go}}>Go</button></main>"""

_LIT = f"""import {{LitElement, html}} from 'lit';
customElements.define('lit-shop', class extends LitElement {{
  static properties = {{plan: {{}}, more: {{}}}};
  constructor() {{ super(); this.plan = 'month'; this.more = false }}
  render() {{ return html`<main><a id=buy target=there href=${{'{PAY}/' + this.plan}}>Buy ${{this.plan}}</a>
    <form target=there action='{PAY}/form'><input name=plan .value=${{this.plan}}><button id=send>Send</button></form>
    <stripe-buy-button buy-button-id=b></stripe-buy-button>
    <button id=switch @click=${{() => this.plan = this.plan === 'month' ? 'year' : 'month'}}>Switch</button>
    <button id=more @click=${{() => this.more = true}}>More</button>
    ${{this.more ? html`<p><a id=late target=there href='{PAY}/late'>Late</a><stripe-buy-button></stripe-buy-button>` : ''}}
    <button id=go @click=${{() => {{ location.href = this.renderRoot.querySelector('#buy').href + '?a=1' }}}}>Go</button></main>` }}
  firstUpdated() {{ window.ready = true }}
}});"""

_ALPINE = (
    VUE.replace("<main>", f"""<main x-data="{{pay: '{PAY}', plan: 'month', more: false,
      go() {{ location.href = document.querySelector('#buy').href + '?a=1' }}}}" x-init="ready = true">""")
    .replace("Buy {{ plan }}", "<span x-text=\"'Buy ' + plan\"></span>")
    .replace("v-model", "x-model")
    .replace('<p v-if="more">', '<template x-if="more"><p>')
    .replace("</p>", "</p></template>")
)  # fmt: skip


# What libraries say of themselves in their form for development.
NOTICES = ("React DevTools", "development build", "Lit is in dev mode", "development version")


def _is_expected(line: str) -> bool:
    # React's form for development names each attribute that the server did not render. That of
    # Stripe's elements has to be there before Stripe's own script reads it; nothing else may be.
    others = re.search(r"\n[-+] +(?!client-reference-id| )[\w-]+=", line)
    alone = "client-reference-id" in line and not others
    return alone or any(notice in line for notice in NOTICES)


@dataclass(frozen=True)
class App:
    """The page's own markup, a script, and where the elements are found."""

    html: str
    script: bytes
    scope: str = ""


def _react(*modules: str) -> App:
    html = packages.printed(modules, f"{_REACT}\n{_RENDER}")
    return App(f"<div id=root>{html}</div>", packages.bundle(modules, f"{_REACT}\n{_HYDRATE}"))


def _vue() -> App:
    modules = ("vue@3.5.45",)
    html = packages.printed(
        modules,
        f"""import {{renderToString}} from 'vue/server-renderer'; {_VUE_APP}
        renderToString(app).then(html => process.stdout.write(html))""",
    )
    mount = "app.mount('#root'); window.ready = true"
    return App(f"<div id=root>{html}</div>", packages.bundle(modules, f"{_VUE_APP} {mount}"))


def _svelte() -> App:
    modules = ("svelte@5.57.3",)
    compiler = f"""import {{compile}} from 'svelte/compiler';
    const made = generate => compile({json.dumps(_SVELTE)}, {{generate, dev: true, name: 'App'}}).js.code;
    process.stdout.write(JSON.stringify([made('client'), made('server')]))"""
    client, server = json.loads(packages.compiled(modules, compiler))
    html = packages.printed(
        modules,
        f"""import {{render}} from 'svelte/server';\n{server}\nprocess.stdout.write(render(App).body)""",
    )
    hydrate = "hydrate(App, {target: document.querySelector('#root')}); window.ready = true"
    script = packages.bundle(modules, f"import {{hydrate}} from 'svelte';\n{client}\n{hydrate}")
    return App(f"<div id=root>{html}</div>", script)


@cache
def _app(name: str) -> App:
    match name:
        case "React 19":
            return _react("react@19.2.0", "react-dom@19.2.0")
        case "React 18":
            return _react("react@18.3.1", "react-dom@18.3.1")
        case "Vue":
            return _vue()
        case "Svelte":
            return _svelte()
        case "Lit":
            script = packages.bundle(("lit@3.3.3",), _LIT)
            return App("<lit-shop></lit-shop>", script, "lit-shop >>> ")
    return App(_ALPINE, packages.library("alpinejs", "3.17.5", "dist/cdn.js"))


@pytest.mark.parametrize("name", ["Alpine", "Lit", "React 18", "React 19", "Svelte", "Vue"])
def test_library_that_renders(shop: Shop, name: str) -> None:
    """The library finds and keeps what it rendered, and all its routes carry the id."""
    app = _app(name)
    script = app.script.replace(b"KEY", shop.key.encode())
    shop.web.put(shop.host, "/app.js", Response(script, "text/javascript; charset=utf-8"))
    browser = shop.visit(
        # Before what grows: Chromium gives a click to a frame that has just moved from there.
        FRAME + app.html.replace("KEY", shop.key),
        head="<script defer src=/app.js></script>",
    )
    browser.until("return window.ready")

    def click(selector: str, asked: str | None = None) -> None:
        if asked is None:
            browser.click(app.scope + selector)
            return
        with opening(browser):
            browser.click(app.scope + selector)
            assert shop.left().target == f"/{shop.key}/{asked}".replace("REF", REFERENCE)

    def shows(count: int) -> None:
        browser.until(
            """const root = arguments[0] ? document.querySelector('lit-shop').shadowRoot : document;
            return root.querySelectorAll(`[client-reference-id="${arguments[1]}"]`).length === arguments[2]""",
            *(bool(app.scope), ID, count),
        )  # fmt: skip

    shows(1)
    click("#buy", "month?REF")
    click("#switch")
    click("#buy", "year?REF")
    click("#send", "form?plan=year&REF")
    click("#more")
    shows(2)
    click("#late", "late?REF")
    click("#switch")
    log = browser.run("return __record.log")
    assert [line for line in log if not _is_expected(line)] == []
    by_script = "month?a=1&REF"
    if browser.name == "webkit":
        by_script = without_reference(by_script)
    browser.click(f"{app.scope}#go")
    assert shop.left().target == f"/{shop.key}/{by_script}".replace("REF", REFERENCE)
