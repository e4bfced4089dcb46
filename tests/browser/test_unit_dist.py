"""The minified form is what the sources give."""

from __future__ import annotations

import os

import pytest

from tools import minify


def test_dist_is_a_fresh_minification() -> None:
    """Whoever changes a source and forgets `make minify` gets a message."""
    try:
        made = minify.minify()
    except (SystemExit, OSError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no minifier: {error}")
    there = {path.name: path.read_text("utf-8") for path in minify.TARGET.glob("*.js")}
    assert there == made


def test_a_variant_keeps_its_blocks_only() -> None:
    """Blocks of other variants leave no line behind, nested ones included."""
    source = "a\n//#if x\nb\n  //#if y\nc\n  //#end\n//#end\n//#if y\nd\n//#end\ne\n"
    assert minify.variant(source, {"x"}) == "a\nb\ne\n"
    assert minify.variant(source, {"x", "y"}) == "a\nb\nc\nd\ne\n"
    assert minify.variant(source, {"y"}) == "a\nd\ne\n"
