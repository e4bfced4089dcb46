"""One variable of the environment: its declaration, and how it is read and refused.

A secret can come from a file, and its value never appears in an error, in a representation or in
a log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static import rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

    from tracknow_static.rules import Rule

# User name and password in a URL.
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")


def declare(
    name: str, default: object, rule: Rule, doc: str, *, shown: str = "", secret: bool = False
) -> Any:
    """Declare a variable as a dataclass field; ``shown`` replaces the default in documents."""
    data = {"variable": name, "rule": rule, "doc": doc, "shown": shown, "secret": secret}
    return field(default=default, metadata=data, repr=not secret)


@dataclass(frozen=True)
class Variable:
    """One variable as its readers see it."""

    name: str
    field: str
    default: object
    rule: Rule
    doc: str
    shown: str
    secret: bool

    @classmethod
    def of(cls, declared: Field[Any]) -> Variable:
        """Give the variable that a field made by :func:`declare` stands for."""
        data = declared.metadata
        return cls(
            data["variable"],
            declared.name,
            declared.default,
            data["rule"],
            data["doc"],
            data["shown"],
            data["secret"],
        )

    @property
    def accepts(self) -> str:
        """What the variable accepts, in words."""
        return self.rule.accepts

    def read(self, environ: Mapping[str, str], into: dict[str, Any]) -> list[str]:
        """Put the checked value, if one is set, ``into`` a mapping; gives what is wrong with it."""
        try:
            raw = self.raw(environ)
            if raw is not None:
                into[self.field] = self.parse(raw)
        except ValueError as error:
            return [str(error)]
        return []

    def raw(self, environ: Mapping[str, str]) -> str | Path | None:
        """Give the text that is set, the path of the file that holds it, or None.

        Raises ``ValueError`` if both forms are set or the file cannot be read.
        """
        value = environ.get(self.name, "").strip()
        file = environ.get(f"{self.name}_FILE", "").strip() if self.secret else ""
        if value and file:
            raise ValueError(
                f"{self.name} and {self.name}_FILE are both set. Accepted: one of them."
            )
        if not file:
            return value or None
        path = Path(file)
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ValueError(
                f"{self.name}_FILE: {file!r} cannot be read: {reason}. "
                f"Accepted: the path of a file that holds {self.accepts}."
            ) from None
        if not text:
            raise ValueError(
                f"{self.name}_FILE: {file!r} is empty. "
                f"Accepted: the path of a file that holds {self.accepts}."
            )
        return path if self.field == "secrets" else text

    def parse(self, raw: str | Path) -> object:
        """Turn a text into the checked value.

        Raises ``ValueError`` whose text names the variable, its value unless it is a secret, and
        what is accepted.
        """
        try:
            return self.rule.parse(raw)
        except rules.RefusedError as refused:
            value = "its value" if self.secret else repr(_PASSWORD.sub("…@", str(raw)))
            hint = f" {refused}" if str(refused) else ""
            raise ValueError(
                f"{self.name}: {value} is not accepted.{hint} Accepted: {self.accepts}."
            ) from None
