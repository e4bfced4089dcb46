"""How options are declared, read and documented, for every way in.

MkDocs, Pelican, Sphinx, ``tracknow.toml`` and command-line flags read :mod:`settings`; the relay
reads environment variables (``relay.config``). Both declare their options as fields of a dataclass
with :func:`option`; this module does the rest. Importing it needs the standard library only.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static.rules import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tracknow_static.rules import Rule

# User name and password in a URL.
_PASSWORD = re.compile(r"(?<=://)[^/\s]*@")


def option(
    default: object,
    rule: Rule,
    doc: str,
    *,
    name: str = "",
    shown: str = "",
    secret: bool = False,
) -> Any:
    """Declare an option as a field of a dataclass.

    ``name`` is what the user writes, where the field's own name does not give it. ``shown`` replaces the
    default in documents. A ``secret`` appears in no message and in no representation.
    """
    metadata = {"rule": rule, "doc": doc, "name": name, "shown": shown, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Option:
    """One declared option. ``accepts`` is a phrase for people, ``doc`` a sentence."""

    name: str
    field: str
    default: object
    rule: Rule
    doc: str
    shown: str = ""
    secret: bool = False

    @property
    def accepts(self) -> str:
        """What the option accepts, in words."""
        return self.rule.accepts

    @property
    def kind(self) -> str:
        """Shape of the value: ``text``, ``number``, ``flag``, ``choice`` or ``list``."""
        return self.rule.kind

    @property
    def choices(self) -> tuple[str, ...]:
        """All values of a ``choice``; empty for the other kinds."""
        return self.rule.choices

    @property
    def default_text(self) -> str:
        """The default as a user would write it; empty when there is none."""
        if self.default is None or self.secret:
            return ""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def parse(self, raw: object) -> object:
        """Return the checked value.

        Raises :class:`InvalidValueError` whose text names the option, the value unless it is a
        secret, and what is accepted.
        """
        try:
            return self.rule.parse(raw)
        except InvalidValueError as wrong:
            value = "its value" if self.secret else _PASSWORD.sub("…@", repr(raw))
            hint = f" {wrong}" if str(wrong) else ""
            text = f"{self.name}: {value} is not accepted.{hint} Accepted: {self.accepts}."
            raise InvalidValueError(text) from None


def declared(cls: type, *, prefix: str = "") -> dict[str, Option]:
    """Return the options of a dataclass by their names, in the order of their declaration.

    With a ``prefix`` they are environment variables: the field ``timeout`` is PREFIX_TIMEOUT.
    """
    found = {}
    for declaration in fields(cls):
        data = declaration.metadata
        own = prefix + declaration.name.upper() if prefix else declaration.name
        name = data["name"] or own
        found[name] = Option(
            name=name,
            field=declaration.name,
            default=declaration.default,
            rule=data["rule"],
            doc=data["doc"],
            shown=data["shown"],
            secret=data["secret"],
        )
    return found


def unknown_option(name: object, known: Iterable[str], *, noun: str = "option") -> str:
    """Return a sentence: there is no such option, the one that was probably meant, all others."""
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"{name}: unknown {noun}.{meant} Known: {', '.join(known)}."


def read(
    options: Mapping[str, Option], raw: Mapping[Any, object]
) -> tuple[dict[str, Any], list[str]]:
    """Check raw values by option name; return the checked ones by field, and all problems."""
    values: dict[str, Any] = {}
    problems = []
    for name, value in raw.items():
        option = options.get(name)
        if option is None:
            problems.append(unknown_option(name, options))
            continue
        try:
            values[option.field] = option.parse(value)
        except InvalidValueError as error:
            problems.append(str(error))
    return values, problems


def read_environ(
    options: Mapping[str, Option],
    environ: Mapping[str, str],
    *,
    prefix: str,
    ignored: Collection[str],
) -> tuple[dict[str, Any], list[str]]:
    """Check environment variables; return the checked values by field, and all problems.

    An empty variable counts as not set. ``NAME_FILE`` names a file that holds a secret NAME. Other
    variables that begin with ``prefix`` are problems, except ``ignored`` ones: a misspelt one would
    have no effect.
    """
    values: dict[str, Any] = {}
    known = [*options, *(f"{name}_FILE" for name, option in options.items() if option.secret)]
    problems = [
        unknown_option(name, sorted(known), noun="variable")
        for name in environ
        if name.startswith(prefix) and name not in known and name not in ignored
    ]
    for option in options.values():
        if not is_set(option, environ):
            continue
        try:
            values[option.field] = option.parse(_raw(option, environ))
        except InvalidValueError as error:
            problems.append(str(error))
    return values, problems


def is_set(option: Option, environ: Mapping[str, str]) -> bool:
    """Whether an environment variable, or for a secret its NAME_FILE, gives a value."""
    return bool(environ.get(option.name, "").strip() or _file(option, environ))


def _file(option: Option, environ: Mapping[str, str]) -> str:
    return environ.get(f"{option.name}_FILE", "").strip() if option.secret else ""


def _raw(option: Option, environ: Mapping[str, str]) -> str:
    """Return the text that is set, or what the file holds. Raises :class:`InvalidValueError`."""
    value, file = environ.get(option.name, "").strip(), _file(option, environ)
    if not file:
        return value
    if value:
        raise InvalidValueError(
            f"{option.name} and {option.name}_FILE are both set. Accepted: one of them."
        )
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
        reason = "" if text else "is empty"
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        text, reason = "", f"cannot be read: {words}"
    if reason:
        raise InvalidValueError(
            f"{option.name}_FILE: {file!r} {reason}. "
            f"Accepted: the path of a file that holds {option.accepts}."
        )
    return text


def markdown_table(options: Mapping[str, Option], *, noun: str = "option") -> str:
    """Return the table of options for the documents, without a final newline."""
    rows = [
        f"| `{option.name}` | {_cell(option)} | {option.doc} Accepts {option.accepts}. |"
        for option in options.values()
    ]
    return "\n".join([f"| {noun} | default | meaning |", "| --- | --- | --- |", *rows])


def _cell(option: Option) -> str:
    if option.shown:
        return option.shown
    return f"`{option.default_text}`" if option.default_text else "none"
