"""What a destination answers: whether it rejects the event, and the piece of the text that is kept.

The text is for a person who asks why a sale is not at its destination. A destination can repeat
what it was sent, or send anything at all, so what is kept is short, printable and without
personal data and secrets. Better a word too many is masked than one too few.
"""

from __future__ import annotations

import codecs
import json
import re

KEPT_BYTES = 512
MASK = "[masked]"
NOT_TEXT = "(not text)"

# What is read for the piece that is kept: masking makes texts shorter.
_WINDOW = 4096
# Of a text that goes on, so much of its last word is left out: half of it might not be recognised.
_LONGEST_END = 320
# With more than this share of control characters it is no text.
_NO_TEXT = 0.05

# Sequences that steer a terminal (ECMA-48, 5.4 and 5.6).
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]?|[\]PX^_][^\x07\x1b]{0,512}(?:\x07|\x1b\\)?|.)?",
    re.DOTALL,
)
# Invisible, and may part what would be recognised as a whole; the last ones change the direction.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")

# Words in the names of what is personal or secret, in JSON, forms, headers and texts.
_PERSONAL = (
    r"e-?mail|phone|mobile|fax|address|street|line_?[123]|city|town|postal|post_?code|zip"
    r"|(?:first|last|full|given|family|middle|sur|user|holder|customer|billing|shipping|contact)"
    r"[_-]?name|birth|card|cvc|cvv|iban|account_?number|tax_?id|\bip\b|\bname\b"
)
_CONFIDENTIAL = (
    r"token|secret|passw|pwd|\bkey\b|(?:api|access|private|auth|signing)[_-]?key|authorization"
    r"|credential|cookie|signature|session|jwt"
)
_PUBLIC = r"(?:(?:click|event|order|conversion|campaign|transaction|request|affiliate|offer)_?)?id"
# Between a name and its value.
_IS = r"""["']?\s{0,5}(?:=>|[:=])\s{0,5}"""
_VALUE = (
    r"""(?:(?:bearer|basic|digest)\s{1,5}[^\s,;]+|"(?:[^"\\]|\\.){0,4096}"?|'[^']{0,4096}'?"""
    r"""|\{[^{}]{0,4096}\}?|\[[^\[\]]{0,4096}\]?|[^\s,;&<>"'{}\[\]]+)"""
)
_KEPT_ID = (
    rf"""(?P<keep_id>(?<![\w.\[\]-]){_PUBLIC}{_IS}["']?(?!\d{{13}})[A-Za-z0-9_-]{{1,200}}"""
    r"(?![\w@.%+-]))"
)
_NAMED = (
    rf"(?P<name>(?<![\w.\[\]-])[\w.\[\]-]{{0,80}}?(?:{_PERSONAL}|{_CONFIDENTIAL})"
    rf"[\w.\[\]-]{{0,80}}{_IS})(?P<of>{_VALUE})"
)
_WORD = r"(?P<word>\b(?:bearer|basic|token|secret|password|key)\s{1,5})(?=\S{0,200}\d)[^\s,;<>]{6,}"
# What nobody has to hide, and looks like a telephone number or a token.
_KEPT_TIME = (
    r"(?P<keep_time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
    r"(?:Z|[+-]\d\d:?\d\d)?)?(?![\w-]))"
)
_KEPT_UUID = r"(?P<keep_uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
_KEPT_STRIPE = (
    r"(?P<keep_stripe>\b(?:evt|cs|ch|py|pi|in|cus|sub|plink|re|du)_(?!\w{0,200}secret)"
    r"[A-Za-z0-9_]{1,200}\b(?![@-]))"
)
# Also as forms, HTML and JSON write its sign.
_EMAIL = (
    r"[\w.!#$%&'*+=?^`|~-]{1,256}(?:[@\uff20\ufe6b]|%40|&#(?:64|x40);|\\u0040)"
    r"[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"
)
# Keys are known by how they begin, other tokens by being long and mixed.
_KEY = r"\b(?:(?:sk|rk|pk|whsec|ghp)_|eyJ|AKIA)[\w.-]{6,}|\b\w{1,200}_secret_\w+"
_TOKEN = r"(?<![\w+/=-])(?=[A-Za-z_+/=-]{0,200}\d)(?=[\d_+/=-]{0,200}[A-Za-z])[\w+/=-]{20,}"  # noqa: S105
_IP = (
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])"
)
# A card or a telephone.
_NUMBER = r"(?<![\w.])\+?\(?\d(?:[\s().\-/\u2013]{0,3}\d){6,24}(?!\w)"
# A street with a number, and what follows up to a postal code.
_STREET = (
    r"\b\d{1,5}[a-z]?,?\s+(?:[\w.'-]{1,30}\s+){1,4}?(?:street|st|avenue|ave|road|rd|boulevard"
    r"|blvd|lane|ln|drive|court|square|terrace|highway)\b\.?"
    r"(?:(?:,?\s+[\w.'-]{1,30}){0,4}?,?\s+\d{4,6}\b)?"
    r"|\b\d{1,4},?\s+(?:rue|chemin|via|calle|rua)\s+[\w'-]{1,30}(?:\s+[\w'-]{1,30}){0,3}"
    r"|\b[^\W\d_][\w.-]{0,40}(?:stra\u00dfe|strasse|str\.|gasse|allee|platz|weg|laan|straat)"
    r"\s+\d{1,4}\s?[a-z]?\b(?:,?\s+\d{4,5}\s+[\w-]{1,40})?"
)
# The first one that fits counts.
_ALL = (
    *(_KEPT_ID, _NAMED, _WORD, _KEPT_TIME, _KEPT_UUID, _KEPT_STRIPE),
    *(_EMAIL, _KEY, _TOKEN, _IP, _NUMBER, _STREET),
)
# Not within a word: most places are passed at once.
_PATTERNS = re.compile(rf"(?<!\w)(?:{'|'.join(_ALL)})", re.IGNORECASE)


def is_rejection(body: bytes) -> bool:
    """Whether an answer is a JSON object whose ``success`` is false.

    The text "false" counts, too: nothing is tried again either way, and a sale that a destination
    may have rejected must not pass for delivered.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    success = found.get("success") if isinstance(found, dict) else None
    return success is False or (isinstance(success, str) and success.strip().lower() == "false")


def excerpt(body: bytes) -> str | None:
    """Return the beginning of an answer that is kept, at most ``KEPT_BYTES`` long in UTF-8.

    It is one line of printable text, masked; None for an empty answer.
    """
    text = _ESCAPES.sub("", _decode(body))
    if not text.isprintable():
        if sum(map(_is_control, text)) > _NO_TEXT * len(text):
            return NOT_TEXT
        text = _INVISIBLE.sub("", text)
        text = "".join(char if char.isprintable() else " " for char in text)
    if len(body) > _WINDOW:
        text = _without_end(text)
    masked = _PATTERNS.sub(_mask, " ".join(text.split()))
    return _cut(masked) or None


def _decode(body: bytes) -> str:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        return decoder.decode(body[:_WINDOW], final=len(body) <= _WINDOW)
    except UnicodeDecodeError:
        return body[:_WINDOW].decode("latin-1")


def _is_control(char: str) -> bool:
    return (char < " " and char not in "\t\r\n") or "\x7f" <= char <= "\x9f"


def _without_end(text: str) -> str:
    end = len(text)
    while end > len(text) - _LONGEST_END and text[end - 1 : end] not in ("", ",", ";", "<", ">"):
        end -= 1
    return text[:end]


def _mask(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    if kind.startswith("keep"):
        return found[0]
    if kind == "of":
        quote = found["of"][0] if found["of"][0] in "\"'" else ""
        return f"{found['name']}{quote}{MASK}{quote}"
    return f"{found['word']}{MASK}" if kind == "word" else MASK


def _cut(text: str) -> str:
    raw = text.encode()
    if len(raw) <= KEPT_BYTES:
        return text
    dots = "\u2026"
    return raw[: KEPT_BYTES - len(dots.encode())].decode(errors="ignore") + dots
