"""The tag and the file that the settings make."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.browser.node_page import NodePage
from tests.page.parts import count
from tracknow_static.browser.compose import ASSET_PATTERN, CATEGORIES, compose
from tracknow_static.errors import SettingsError
from tracknow_static.settings import CONSENT_MANAGERS, Settings

SPLIT = compose(Settings())
FILE = compose(Settings(delivery="file"))
INLINE = compose(Settings(delivery="inline"))

names = st.text("abcdefghijklmnopqrstuvwxyzHARSET_-0189", min_size=1, max_size=64)
every_settings = st.builds(
    Settings,
    param=names,
    storage_name=names | st.just("charset"),
    window_days=st.integers(1, 400),
    cookie_domain=st.none() | st.just("charset.example"),
    attribution=st.sampled_from(["last", "first"]),
    payment_hosts=st.sampled_from([(), ("pay.shop.example",), ("charset.example", "b.example")]),
    existing_reference=st.sampled_from(["keep", "overwrite"]),
    link_domains=st.sampled_from([(), ("other.example", "charset.example")]),
    consent=st.sampled_from([None, *CONSENT_MANAGERS, "event:my:charset.given"]),
    consent_category=st.none() | st.sampled_from(["Werbung und mehr ü", "charset", "it is 😀"]),
    respect_gpc=st.booleans(),
    delivery=st.sampled_from(["split", "inline", "file"]),
    integrity=st.booleans(),
    clean_url=st.booleans(),
    window_open=st.booleans(),
)


def test_split_puts_capture_into_the_page_and_carry_into_a_file() -> None:
    """By default a small inline script and a deferred file stand side by side."""
    assert re.fullmatch(
        rb"<script data-tracknow>[^<]+</script>"
        rb'<script data-tracknow defer src="\.\./assets/carry\.[0-9a-f]{8}\.js"></script>',
        SPLIT.tags("../"),
    )


def test_inline_needs_no_file() -> None:
    """With delivery: inline one script element holds everything."""
    assert INLINE.asset is None
    assert INLINE.asset_path is None
    assert count(INLINE.tags("../")) == 1
    assert INLINE.tags("") == INLINE.tags("https://shop.example/")


def test_file_is_one_synchronous_file() -> None:
    """With delivery: file nothing is inline, and nothing behind the tag runs before it."""
    assert re.fullmatch(
        rb'<script data-tracknow src="/sub/assets/carry\.[0-9a-f]{8}\.js"></script>',
        FILE.tags("/sub/"),
    )
    assert FILE.csp_hash is None
    assert FILE.asset == ((SPLIT.inline or "") + ";\n").encode() + (SPLIT.asset or b"")


@pytest.mark.parametrize("script", [SPLIT, INLINE], ids=["split", "inline"])
def test_the_hash_is_that_of_the_inline_text(script: object) -> None:
    """What the build log prints for the policy is what a browser computes."""
    assert script in (SPLIT, INLINE)
    made = SPLIT if script is SPLIT else INLINE
    text = made.tags("").split(b">", 1)[1].split(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
    assert made.csp_hash == f"sha256-{digest}"


def test_the_inline_part_is_the_same_wherever_the_page_stands() -> None:
    """One hash covers a site: the page's depth changes the file's URL only."""
    tags = {
        SPLIT.tags(base).split(b"</script>")[0] for base in ("", "../", "/", "https://a.example/")
    }
    assert len(tags) == 1


def test_integrity_names_the_file_as_it_is() -> None:
    """A changed file is refused by the browser; another origin's is asked for with CORS."""
    script = compose(Settings(integrity=True))
    digest = base64.b64encode(hashlib.sha384(script.asset or b"").digest())
    assert b' integrity="sha384-' + digest + b'" src="' in script.tags("../")
    assert b" crossorigin src=" in script.tags("https://cdn.example/")


def test_a_nonce_stands_in_every_tag() -> None:
    """A server that replaces the placeholder reaches each of our elements."""
    tags = compose(Settings(nonce="{{nonce}}")).tags("")
    assert tags.count(b'<script data-tracknow nonce="{{nonce}}"') == count(tags) == 2


def test_more_attributes_are_in_every_tag() -> None:
    """Tools that change scripts find what makes them leave ours alone, in the order given."""
    settings = Settings.from_mapping({"attributes": {"data-cfasync": False, "class": "a b"}})
    tags = compose(settings).tags("")
    assert tags.count(b'<script data-tracknow data-cfasync="false" class="a b"') == 2
    assert count(tags) == 2
    assert (
        compose(Settings.from_mapping({"attributes": "data-cfasync=false,class=a b"})).tags("")
        == tags
    )


@pytest.mark.parametrize(
    "attributes",
    ["src=x", "onload=x", "data-tracknow=x", 'data-x="', "data-x=a>b", "data-x=charset", "DATA-x=1",
     {"data-x": "a&b"}, {"async": ""}, {"nonce": "x"}, ["data-x", 5]],
)  # fmt: skip
def test_attributes_that_could_do_harm_are_refused(attributes: object) -> None:
    """No attribute ends its quotes, runs code, or changes how the script is loaded."""
    with pytest.raises(SettingsError, match=r"attributes: .* is not accepted"):
        Settings.from_mapping({"attributes": attributes})


def test_the_name_changes_with_the_content_and_with_nothing_else() -> None:
    """Caches keep the file for ever; another script has another name."""
    assert compose(Settings()) == SPLIT
    paths = {
        compose(settings).asset_path
        for settings in (Settings(), Settings(storage_name="x"), Settings(clean_url=True))
    }
    assert len(paths) == 3


def test_assets_of_all_settings_are_recognised() -> None:
    """What an older build left is found by its name, in whatever folder."""
    script = compose(Settings(asset_dir="static/js", consent="klaro", delivery="file"))
    folder, name = (script.asset_path or "").rsplit("/", 1)
    assert folder == "static/js"
    assert ASSET_PATTERN.fullmatch(name)
    assert script.asset_pattern is ASSET_PATTERN


@pytest.mark.parametrize(
    "name", ["carry.js", "carry.1a2b3c4.js", "carry.1A2B3C4D.js", "carry.1a2b3c4d.js.map",
             "main.1a2b3c4d.js", "xcarry.1a2b3c4d.js", "carry-1a2b3c4d.js"]
)  # fmt: skip
def test_foreign_files_are_not(name: str) -> None:
    """A file of the theme's or of another tool is never taken for ours."""
    assert not ASSET_PATTERN.fullmatch(name)


def test_no_content_blocker_minds_the_path() -> None:
    """The default path holds no word that filter lists look for."""
    for word in (
        "track",
        "affiliate",
        "analytics",
        "stat",
        "ad.",
        "ads",
        "click",
        "count",
        "pixel",
    ):
        assert word not in (SPLIT.asset_path or "")


def test_every_manager_has_a_category() -> None:
    """Whoever names no category gets the manager's usual one."""
    assert set(CATEGORIES) == set(CONSENT_MANAGERS)
    for manager, category in CATEGORIES.items():
        assert f'"{category}"'.encode() in (compose(Settings(consent=manager)).asset or b"")


@settings(max_examples=30)
@given(every_settings)
def test_the_text_harms_no_page(made: Settings) -> None:
    """ASCII without "<", "&" and the word charset: safe in any page, before any charset."""
    script = compose(made)
    for text in ((script.inline or "").encode(), script.asset or b""):
        assert text.isascii()
        assert not re.search(rb"[<&]|charset", text, re.IGNORECASE)
        assert b"TN_" not in text
    assert count(script.tags("../")) == 1 + (made.delivery == "split")


def test_every_variant_is_a_program() -> None:
    """Names with odd characters, hosts and categories leave valid JavaScript behind."""
    with NodePage() as page:

        @settings(max_examples=30)
        @given(every_settings)
        def parses(made: Settings) -> None:
            script = compose(made)
            for text in (script.inline or "", (script.asset or b"").decode()):
                page.ask("compile", script=text)

        parses()


def test_importing_costs_little() -> None:
    """Pelican imports every plugin: composing needs nothing but the standard library."""
    code = (
        "import sys, tracknow_static.browser.compose\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'lxml', 'ada_url', 'click', 'httpx'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
