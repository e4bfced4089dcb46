"""The MkDocs plugin's options, its words in the log, strict builds and `serve`."""

from __future__ import annotations

import contextlib
import http.client
import re
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.builds import BIN, ENVIRONMENT, LIVE, TEST, files, run, tag, write, write_yaml
from tests.servers import ended, free_port
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.plugins.builds import Ran

pytestmark = pytest.mark.xdist_group("mkdocs-plugin")


def build(folder: Path, options: dict[str, Any], *flags: str, **docs: str) -> Ran:
    """Build a site whose pages have the given texts, or one page with a payment link."""
    pages = docs or {"index": f"# Shop\n\n[Buy]({LIVE})\n"}
    write(folder, {f"docs/{name}.md": text for name, text in pages.items()})
    write_yaml(folder / "mkdocs.yml", {"site_name": "Shop", "plugins": [{"tracknow": options}]})
    return run("mkdocs", "build", *flags, cwd=folder)


def carrying(folder: Path) -> set[str]:
    """Return the pages of a built site that carry the script of the default settings."""
    built = files(folder / "site")
    return {path for path, page in built.items() if tag(path, Settings()) in page}


def test_the_build_ends_with_one_line(tmp_path: Path) -> None:
    """Pages, excluded ones and payment links are counted in the last line before MkDocs' own."""
    ran = build(tmp_path, {"exclude": ["404.html"]}).ok()
    lines = ran.text.splitlines()
    assert lines[-1].startswith("INFO    -  Documentation built in")
    assert lines[-2] == (
        "INFO    -  tracknow: 1 page carries the script (1 excluded); 1 payment link on 1 page"
    )


def test_a_link_in_test_mode_fails_a_strict_build_that_is_complete(tmp_path: Path) -> None:
    """The warning counts for --strict, and every page has been written before it is reported."""
    ran = build(tmp_path, {}, "--strict", index=f"[Buy]({TEST})")
    assert ran.code == 1
    assert "WARNING -  tracknow: index.html:" in ran.text
    assert "Aborted with 1 warnings in strict mode!" in ran.text
    assert carrying(tmp_path) == {"index.html", "404.html"}


def test_a_strict_build_of_properdocs_counts_the_warning_too(tmp_path: Path) -> None:
    """ProperDocs has loggers of its own: the plugin's words are among them."""
    write(tmp_path, {"docs/index.md": f"[Buy]({TEST})"})
    theme = {"name": "material", "font": False}
    config = {"site_name": "Shop", "theme": theme, "plugins": ["tracknow"]}
    write_yaml(tmp_path / "properdocs.yml", config)
    ran = run("properdocs", "build", "--strict", cwd=tmp_path)
    assert ran.code == 1
    assert "WARNING -  tracknow: index.html:" in ran.text
    assert "Aborted with 1 warnings in strict mode!" in ran.text
    assert carrying(tmp_path) == {"index.html", "404.html"}


def test_what_many_pages_share_is_said_once(tmp_path: Path) -> None:
    """A test link in every page's footer gives one warning with the number of pages."""
    ran = build(tmp_path, {}, index=f"[Buy]({TEST})", two=f"[Buy]({TEST})", three=f"[B]({TEST})")
    assert ran.text.count("[TN101]") == 1
    assert "[TN101] (and on 2 more pages)" in ran.text


def test_test_links_can_be_an_error(tmp_path: Path) -> None:
    """test_links: error aborts the build, without a traceback, after all pages are written."""
    ran = build(tmp_path, {"test_links": "error"}, index=f"[Buy]({TEST})")
    assert ran.code == 1
    assert "ERROR   -  tracknow: 1 payment link of Stripe's test mode, and the option" in ran.text
    assert "Traceback" not in ran.text
    assert carrying(tmp_path) == {"index.html", "404.html"}


def test_a_strict_build_passes_where_there_is_nothing_to_mend(tmp_path: Path) -> None:
    """Ignored test links, inline handlers and unused globs are worth no warning."""
    page = f"[Buy]({TEST})\n\n<button onclick=\"location.href='{LIVE}'\">Buy</button>"
    options = {"test_links": "ignore", "exclude": ["drafts/**"]}
    ran = build(tmp_path, options, "--strict", index=page).ok()
    assert "INFO    -  tracknow: exclude: 'drafts/**' matches no page of this build." in ran.text
    assert "[TN106]" in ran.text


def test_a_file_that_cannot_be_written_fails_the_build(tmp_path: Path) -> None:
    """A page without the script is a lost sale: the build names the file, and does not pass."""
    hook = (
        "import pathlib\n"
        "def on_post_build(config):\n"
        "    pathlib.Path(config.site_dir, 'assets').write_text('')\n"
    )
    write(tmp_path, {"docs/index.md": "# x", "hook.py": hook})
    config = {"site_name": "x", "plugins": ["tracknow"], "hooks": ["hook.py"]}
    write_yaml(tmp_path / "mkdocs.yml", config | {"theme": "readthedocs"})
    ran = run("mkdocs", "build", cwd=tmp_path)
    assert ran.code == 1
    assert f"ERROR   -  tracknow: {compose(Settings()).asset_path}: " in ran.text
    assert "Traceback" not in ran.text


def test_all_bad_options_are_told_at_once(tmp_path: Path) -> None:
    """Each names itself, shows its value and what is accepted; there is no traceback."""
    ran = build(tmp_path, {"window_days": 0, "attribution": "best"})
    assert ran.code == 1
    assert (
        "Config value 'plugins': Plugin 'tracknow' option 'window_days': "
        "0 is not accepted. Accepted: a whole number from 1 to 400.\n"
        "Plugin 'tracknow' option 'attribution': "
        "'best' is not accepted. Accepted: last or first.\n"
    ) in ran.text
    assert "Traceback" not in ran.text


def test_options_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    """A category without a consent manager would wait for nothing: refused, by name."""
    ran = build(tmp_path, {"consent_category": "marketing"})
    assert ran.code == 1
    assert "Plugin 'tracknow' option 'consent_category': 'marketing' has no effect" in ran.text


def test_an_unknown_option_is_warned_of(tmp_path: Path) -> None:
    """As MkDocs does with its own, and with the name that was probably meant."""
    ran = build(tmp_path, {"window_day": 7}).ok()
    assert (
        "WARNING -  Config value 'plugins': Plugin 'tracknow' option 'window_day': "
        "unknown option. Did you mean window_days?"
    ) in ran.text


def test_an_option_left_empty_has_its_default(tmp_path: Path) -> None:
    """``window_days:`` without a value means what it means elsewhere in mkdocs.yml."""
    build(tmp_path, {"window_days": None, "exclude": None}).ok()
    assert carrying(tmp_path) == {"index.html", "404.html"}


def test_front_matter_that_is_not_understood_is_named(tmp_path: Path) -> None:
    """The warning names the source file; texts for true and false are understood."""
    ran = build(
        *(tmp_path, {}),
        index="---\ntracknow: nope\n---\nx",
        quiet='---\ntracknow: " No "\n---\nx',
        loud="---\ntracknow: on\n---\nx",
    ).ok()
    assert "WARNING -  tracknow: index.md: tracknow: 'nope' is not accepted." in ran.text
    assert carrying(tmp_path) == {"index.html", "404.html", "loud/index.html"}


def test_the_policy_hash_is_for_those_who_ask(tmp_path: Path) -> None:
    """--verbose prints what a Content-Security-Policy needs."""
    wanted = f"tracknow: Content-Security-Policy, script-src: '{compose(Settings()).csp_hash}'"
    assert wanted in build(tmp_path, {}, "--verbose").ok().text
    assert wanted not in build(tmp_path, {}).ok().text


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run `mkdocs serve`; return the address of the site."""
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [BIN / "mkdocs", "serve", "-q", "-a", address],
        cwd=folder,
        env=ENVIRONMENT,
    )
    with ended(server):
        yield f"http://{address}/"


def fetch(url: str, *, until: str) -> str:
    """Ask for a page until it holds the text; what MkDocs adds for its reloading is taken out."""
    deadline = time.monotonic() + 60
    text = ""
    while until not in text:
        assert time.monotonic() < deadline, text
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(url, timeout=60) as answer,
        ):
            text = answer.read().decode()
        time.sleep(0.1)
    return re.sub(r"<script>[^<]*livereload[^<]*</script>", "", text)


def test_a_served_page_keeps_the_script_over_a_rebuild(tmp_path: Path) -> None:
    """`mkdocs serve`: the edited page changes, no other does, and each carries the script once."""
    build(tmp_path, {}, index=f"# Shop\n\n[B]({LIVE})", two=f"# Two\n\n[B]({LIVE})").ok()
    insertions = {path: tag(path, Settings()).decode() for path in ("index.html", "two/index.html")}
    with serving(tmp_path) as site:
        before = fetch(site, until="</html>")
        fetch(f"{site}two/", until="</html>")
        edited, two, deadline = 0, "", time.monotonic() + 60
        while "brand new" not in two:
            # Again and again, since MkDocs may begin to watch a moment after its first answer.
            edited += 1
            (tmp_path / "docs/two.md").write_text(f"# Two\n\nbrand new {edited} [B]({LIVE})")
            time.sleep(2)
            two = fetch(f"{site}two/", until="</html>")
            assert time.monotonic() < deadline, two
        assert fetch(site, until="</html>") == before
    assert before.count(insertions["index.html"]) == 1
    assert two.count(insertions["two/index.html"]) == 1
