"""The words that no text of this project uses, and what it uses instead.

One list for documents, help texts and messages: each has a test that holds it against this.
"""

from __future__ import annotations

import re

# A pattern of what is avoided, and the plain word for it.
AVOIDED = {
    r"mend(s|ed|ing)?": "fix",
    r"tells?|told|telling": "report, print, show",
    r"says?|said|saying": "report, print, show, state",
    r"roads?": "route, link",
    r"ways? to Stripe": "route, link",
    r"on that way": "on the way",
    r"(take|takes|took|taken|taking) in": "receive",
    r"turned down": "rejected",
    r"at will": "again at any time",
    r"rightly": "correctly",
    r"for its own sake": "because of that event alone",
    r"stands?(?!-in|s? in for)": "is, are",
    r"destinations? (that )?(is|are) out": "is down",
    r"of other settings": "with other settings",
    r"so many": "the number, that many",
    r"faults?": "error",
    r"(of )?other people's": "third-party",
}

_PATTERNS = {re.compile(rf"\b({words})\b", re.IGNORECASE): use for words, use in AVOIDED.items()}


def avoided_words(text: str) -> list[str]:
    """Return one line for each avoided word in ``text``: line number, word, what to use."""
    return [
        f"line {number}: {match[0]!r}: use {use!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, use in _PATTERNS.items()
        for match in pattern.finditer(line)
    ]
