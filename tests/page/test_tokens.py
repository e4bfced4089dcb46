"""Tags, attributes, comments and raw text as the HTML standard's tokenizer reads them."""

from __future__ import annotations

from html5lib._tokenizer import HTMLTokenizer
from html5lib.constants import tokenTypes
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tracknow_static.page.tokens import attributes, tokens

_KINDS = {
    tokenTypes["StartTag"]: "start",
    tokenTypes["EmptyTag"]: "start",
    tokenTypes["EndTag"]: "end",
    tokenTypes["Comment"]: "comment",
    tokenTypes["Doctype"]: "doctype",
}
_MARKUP = st.lists(
    st.sampled_from(
        [
            *("<p", "<A", "</p", "</", "<", "<!--", "<!---", "--", "-->", "--!>", "-", "!", "<!"),
            *("<!doctype", "<!DOCTYPE html>", "<?", ">", ">", "/", "/>", "=", "'", '"', " ", "\n"),
            *("a", "B", "a=b", "a='b>c'", 'a="d/e"', "x y", "\t", "\f", "é", "1", "<b a=c>"),
        ]
    ),
    max_size=20,
).map("".join)


Seen = list[tuple[str, str, dict[str, str]]]


def theirs(text: str) -> Seen:
    """Return the tags and the rest as html5lib's tokenizer sees them."""
    found: Seen = []
    for token in HTMLTokenizer(text):
        kind = _KINDS.get(token["type"])
        if kind == "start":
            found.append((kind, str(token["name"]), dict(token["data"])))  # type: ignore[arg-type]
        elif kind == "end":
            found.append((kind, token["name"], {}))
        elif kind:
            found.append((kind, "", {}))
    return found


def ours(data: bytes) -> Seen:
    """Return the same as our tokenizer sees it."""
    found: Seen = []
    for token in tokens(data):
        names: dict[str, str] = {}
        if token.kind == "start":
            for name, span in attributes(data, token).items():
                names[name.decode()] = data[slice(*span)].decode()
        if (
            token.kind in ("start", "end", "comment", "doctype")
            and data[token.start : token.end] != b"</>"
        ):
            found.append((token.kind, token.name.decode(), names))
    return found


@given(_MARKUP)
@settings(max_examples=400)
def test_same_tokens_as_a_parser_written_from_the_standard(text: str) -> None:
    """Each tag, attribute, comment and doctype is the one that html5lib sees."""
    text += "'>\">-->"  # so that nothing is cut by the end: a browser drops such a tag
    data = text.encode()
    if any(token.kind == "cut" for token in tokens(data)):
        return
    assert ours(data) == theirs(text)


@given(st.one_of(_MARKUP.map(str.encode), st.binary(max_size=200)))
def test_tokens_have_no_gaps(data: bytes) -> None:
    """The tokens of any bytes follow one another, from the first byte to the last."""
    position = 0
    for token in tokens(data):
        assert token.start == position
        assert token.end > position
        position = token.end
    assert position == len(data)


_SCRIPTS = st.lists(
    st.sampled_from(
        [
            *(
                "<!--",
                "-->",
                "--",
                ">",
                "<script",
                "</script",
                " ",
                "<script>",
                "</script>",
                "<",
                "a",
            ),
            *("/", "<!-->", "<!--->", "</scripty>", "<scripty>", "</style>"),
        ]
    ),
    max_size=12,
).map("".join)


@given(_SCRIPTS, st.sampled_from(["script", "style", "title", "textarea", "xmp", "iframe"]))
@settings(max_examples=300)
def test_raw_text_ends_where_a_browser_ends_it(text: str, name: str) -> None:
    """Scripts with all their escapes, and the other raw texts, end at the same byte for lexbor."""
    page = f"<!doctype html><body><{name}>{text}</{name}>"
    data = page.encode()
    found = list(tokens(data))
    opened = next(at for at, token in enumerate(found) if token.name == name.encode())
    raw = next((token for token in found[opened + 1 :][:1] if token.kind == "raw"), None)
    seen = LexborHTMLParser(page).css_first(name)
    assert seen is not None
    expected = seen.text(deep=True)
    assert (data[raw.start : raw.end].decode() if raw else "") == expected


def test_time_is_linear() -> None:
    """A tag that never ends, or a long row of "<", is read once."""
    for data in (b"<a " + b"b=c " * 100_000, b"<" * 50_000, b"<a b='" + b"<a b=" * 100_000):
        assert sum(1 for _ in tokens(data)) <= len(data)
