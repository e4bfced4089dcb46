"""The environment: what it sets, and how its mistakes are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tracknow_static.errors import SettingsError
from tracknow_static.relay.config import VARIABLES, RelayConfig

if TYPE_CHECKING:
    from pathlib import Path

LEAST = {"TRACKNOW_NAMESPACE": "acme", "STRIPE_WEBHOOK_SECRET": "whsec_1234567890"}


def read(**environ: str) -> RelayConfig:
    """Read the least environment with changes."""
    return RelayConfig.from_environ({**LEAST, **environ})


def problem(**environ: str) -> str:
    """The error that an environment gives."""
    with pytest.raises(SettingsError) as caught:
        read(**environ)
    return str(caught.value)


def test_least_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Namespace and secret are enough; the rest has defaults."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = read()
    assert made.destinations == ("https://acme-tracking.tracknow.info/stripe/postback",)
    assert made.database == f"sqlite:///{tmp_path}/tracknow-relay/relay.sqlite3"
    assert made.secrets.current() == ("whsec_1234567890",)
    assert (made.livemode, made.bind) == ("live", "127.0.0.1:8787")
    assert made.events == ("charge.succeeded", "checkout.session.completed")


def test_empty_variables_are_not_set() -> None:
    """An empty variable means its default, as in a compose file that passes it on."""
    environ = {name: "" for name in VARIABLES if name not in LEAST}
    assert read(**environ) == read()


def test_every_variable_is_described() -> None:
    """Each variable has a meaning and what it accepts, for the documents and for `check`."""
    for name, variable in VARIABLES.items():
        assert variable.doc.endswith(".")
        assert variable.accepts
        assert name.startswith(("TRACKNOW_", "STRIPE_"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TRACKNOW_NAMESPACE", "Acme-2", "acme-2"),
        ("TRACKNOW_RELAY_BIND", "[::1]:80", "[::1]:80"),
        ("TRACKNOW_RELAY_DATABASE", "postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("TRACKNOW_RELAY_DELIVER", "no", False),
        ("TRACKNOW_RELAY_TIMEOUT", "2.5", 2.5),
        ("TRACKNOW_RELAY_EVENTS", " a.b , c.d.e ,", ("a.b", "c.d.e")),
        (
            "TRACKNOW_RELAY_DESTINATIONS",
            "https://a.example, HTTPS://B.example/x?y=1,https://a.example/",
            ("https://a.example/", "https://b.example/x?y=1"),
        ),
    ],
)
def test_accepted_values(name: str, value: str, expected: object) -> None:
    """Values are normalised."""
    assert getattr(read(**{name: value}), VARIABLES[name].field) == expected


_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("pattern", "accepted", "others"),
    [
        (_UUID, ["3f1c2ab4-0000-4000-8000-0123456789ab"], ["3f1c", "undefined", "", None]),
        (r"(?i)tn_\w+|pa-.*", ["TN_7", "pa-"], ["tn_", "xtn_7", "CLICK_ID"]),
        ("(?!cart)[a-z]+-[0-9]+", ["a-1"], ["cart-1", "a-1 "]),
        (".*", ["a" * 200], ["a" * 201, "null"]),
    ],
)
def test_click_ids_of_a_pattern(pattern: str, accepted: list[str], others: list[str]) -> None:
    """All of a click id matches; placeholders are none whatever the pattern is."""
    made = read(TRACKNOW_RELAY_CLICK_ID_PATTERN=pattern)
    assert [text for text in [*accepted, *others] if made.is_click_id(text)] == accepted
    assert not read().is_click_id("undefined")
    assert read().is_click_id("any thing")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[a-z", "not valid: unterminated character set at position 0"),
        ("[[a]", "not valid: Possible nested set"),
        ("a{99999999999}", "not valid: the repetition number is too large"),
        ("a" * 201, "longer than 200 characters"),
        (r"(a)\1", "refers to its own groups"),
        *[
            (pattern, "could take too long")
            for pattern in (
                "(a+)+",
                "a*a*a*b",
                "(?:a|aa)+",
                "(?:a|a[a])" * 20,
                "a?" * 60 + "b",
                "(((a*)*)*)*",
                "((){200}){200}",
                "(?=(?:a|aa)+b).*",
            )
        ],
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, words: str) -> None:
    """What is no pattern, or could take for ever, is refused with a reason."""
    assert words in problem(TRACKNOW_RELAY_CLICK_ID_PATTERN=pattern)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACKNOW_NAMESPACE", "acme-tracking.tracknow.info"),
        ("TRACKNOW_NAMESPACE", "acme-tracking"),
        ("TRACKNOW_NAMESPACE", "a" * 55),
        ("TRACKNOW_NAMESPACE", "-acme"),
        ("TRACKNOW_NAMESPACE", "acme/evil.example"),
        ("TRACKNOW_RELAY_LIVEMODE", "Live"),
        ("TRACKNOW_RELAY_BIND", "8787"),
        ("TRACKNOW_RELAY_BIND", "::1:8787"),
        ("TRACKNOW_RELAY_BIND", "localhost:70000"),
        ("TRACKNOW_RELAY_BIND", "..:80"),
        ("TRACKNOW_RELAY_BIND", "[::1:80"),
        ("TRACKNOW_RELAY_BIND", "[localhost]:80"),
        ("TRACKNOW_RELAY_BIND", ":80"),
        ("TRACKNOW_RELAY_MAX_BODY", "1 MiB"),
        ("TRACKNOW_RELAY_MIN_FREE_MB", "-1"),
        ("TRACKNOW_RELAY_TIMEOUT", "nan"),
        ("TRACKNOW_RELAY_TIMEOUT", "0"),
        ("TRACKNOW_RELAY_EVENTS", "charge succeeded"),
        ("TRACKNOW_RELAY_EVENTS", ","),
        ("TRACKNOW_RELAY_ACCOUNTS", "mine"),
        ("TRACKNOW_RELAY_DELIVER", "perhaps"),
        ("TRACKNOW_RELAY_LOG_FORMAT", "xml"),
        ("TRACKNOW_RELAY_DESTINATIONS", "http://a.example/"),
        ("TRACKNOW_RELAY_DESTINATIONS", "ftp://a.example/"),
        ("TRACKNOW_RELAY_DESTINATIONS", "a.example"),
        ("TRACKNOW_RELAY_DESTINATIONS", "https://a.example/#x"),
    ],
)
def test_refused_values(name: str, value: str) -> None:
    """A value that is not accepted is shown with its variable and what is accepted."""
    text = problem(**{name: value})
    assert text.startswith(f"{name}: ")
    assert repr(value) in text or "," in value
    assert "Accepted: " in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_WEBHOOK_SECRET", "sk_live_" + "abcd1234"),
        ("STRIPE_WEBHOOK_SECRET", "abcd12"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_ünicode1"),
        ("TRACKNOW_RELAY_DATABASE", "mysql://user:pa55word@host/x"),
        ("TRACKNOW_RELAY_DATABASE", "sqlite:///:memory:"),
        ("TRACKNOW_RELAY_DATABASE", "pa55word"),
        ("TRACKNOW_RELAY_DESTINATIONS", "https://user:pa55word@a.example/"),
    ],
)
def test_secrets_are_not_shown(name: str, value: str) -> None:
    """A secret that is not accepted is not repeated, wherever it is."""
    text = problem(**{name: value})
    assert text.startswith(f"{name}: ")
    for part in (value, "pa55word", "abcd12"):
        assert part not in text


def test_nothing_shows_secrets() -> None:
    """Neither the configuration's own text nor its secrets' shows a value."""
    made = read(TRACKNOW_RELAY_DATABASE="postgresql://u:pa55word@h/d")
    assert "1234567890" not in repr(made) + repr(made.secrets)
    assert "pa55word" not in repr(made)


def test_all_problems_at_once() -> None:
    """Every wrong variable is named, so that all can be fixed at once."""
    text = problem(TRACKNOW_NAMESPACE="a b", TRACKNOW_RELAY_BIND="x", TRACKNOW_RELAY_DELIVERS="no")
    assert len(text.splitlines()) == 3
    assert "Did you mean TRACKNOW_RELAY_DELIVER?" in text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite+pysqlite:///:memory:", "in memory"),
        ("sqlite:///file::memory:?uri=true", "in memory"),
        ("sqlite:////data/x?mode=memory&uri=true", "in memory"),
        ("sqlite:///relay.sqlite3", "relative"),
        ("sqlite:///file:relay.sqlite3?uri=true", "relative"),
        ("sqlite:////data/relay.sqlite3?timeout=soon", "no parameters"),
        ("sqlite+aiosqlite:////data/relay.sqlite3", "Leave the driver out"),
        ("sqlite+pysqlcipher:////data/relay.sqlite3", "Leave the driver out"),
        ("postgresql+asyncpg://u:p@h/d", "Leave the driver out"),
        ("postgresql+psycopg2://u:p@h/d", "Leave the driver out"),
        ("postgresql://u:p@h/d?sslmod=require", "sslmod"),
        ("postgresql://u:p@h:port/d", ""),
        ("mysql://u:p@h/d", ""),
        ("/data/relay.sqlite3", ""),
    ],
)
def test_databases_that_cannot_work(url: str, words: str) -> None:
    """A database that would forget events or is not supported is refused, with the reason."""
    text = problem(TRACKNOW_RELAY_DATABASE=url)
    assert text.startswith("TRACKNOW_RELAY_DATABASE: its value is not accepted.")
    assert words in text


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/relay.sqlite3",
        "sqlite+pysqlite:////data/relay.sqlite3",
        "postgresql://u:p@h:5433/d?sslmode=verify-full&connect_timeout=3",
        "postgresql+psycopg:///d?host=/var/run/postgresql",
    ],
)
def test_databases_that_work(url: str) -> None:
    """The driver that is used may be named; PostgreSQL takes the parameters of libpq."""
    assert read(TRACKNOW_RELAY_DATABASE=url).database == url


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no place for the default database: it has to be named."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert "TRACKNOW_RELAY_DATABASE: nothing is set, and this user has no home" in problem()
    assert read(TRACKNOW_RELAY_DATABASE="sqlite:////data/x").database == "sqlite:////data/x"


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ('"whsec_1234567890"', "in quotes"),
        ("'whsec_1234567890'", "in quotes"),
        ("STRIPE_WEBHOOK_SECRET=whsec_1234567890", "NAME=value"),
        ("we_1234567890", "id of a webhook endpoint"),
        ("rk_test_1234567890", "API key"),
        ("1234567890", "does not start with whsec_"),
        ("whsec_", "too short"),
        ("whsec_1234567890,sk_live_1234", "API key"),
    ],
)
def test_secrets_that_cannot_be_one(secret: str, words: str) -> None:
    """The usual mistakes with a secret are named; the secret is not shown."""
    text = problem(STRIPE_WEBHOOK_SECRET=secret)
    assert text.startswith("STRIPE_WEBHOOK_SECRET: its value is not accepted. ")
    assert words in text
    assert "1234" not in text


def test_a_secret_file_is_logged_once_for_each_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While the file is missing or useless the last secrets count, and one line is logged."""
    file = tmp_path / "secret"
    file.write_text("whsec_aaaaaaaa\n")
    secrets = read(STRIPE_WEBHOOK_SECRET="", STRIPE_WEBHOOK_SECRET_FILE=str(file)).secrets
    assert secrets.current() == ("whsec_aaaaaaaa",)
    file.unlink()
    assert [secrets.current() for _ in range(3)] == [("whsec_aaaaaaaa",)] * 3
    assert [record.getMessage() for record in caplog.records] == [
        f"secret file {file} cannot be used; the last secrets count: No such file or directory"
    ]
    file.write_text("we_bbbbbbbb\n")
    assert [secrets.current() for _ in range(3)] == [("whsec_aaaaaaaa",)] * 3
    assert len(caplog.records) == 2
    assert "we_bbbbbbbb" not in caplog.text
    file.write_text("whsec_cccccccc\n")
    assert secrets.current() == ("whsec_cccccccc",)


def test_commands_that_verify_nothing_need_no_secret(tmp_path: Path) -> None:
    """A user who may not read the secret file can look at the relay."""
    environ = {"TRACKNOW_NAMESPACE": "acme", "STRIPE_WEBHOOK_SECRET_FILE": str(tmp_path / "none")}
    assert not RelayConfig.from_environ(environ, needs_secrets=False).secrets


@pytest.mark.parametrize("name", sorted(LEAST))
def test_what_must_be_set(name: str) -> None:
    """A missing namespace or secret is named, and where to find it."""
    assert problem(**{name: ""}).startswith(f"{name}: nothing is set. Accepted: ")


def test_destinations_replace_the_namespace() -> None:
    """With destinations of its own a relay needs no namespace."""
    made = read(TRACKNOW_NAMESPACE="", TRACKNOW_RELAY_DESTINATIONS="https://a.example/x")
    assert made.destinations == ("https://a.example/x",)


def test_insecure_destinations_on_request() -> None:
    """Http is taken when it is asked for, for tests and private networks."""
    made = read(
        TRACKNOW_RELAY_DESTINATIONS="http://127.0.0.1:9/x",
        TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS="true",
    )
    assert made.destinations == ("http://127.0.0.1:9/x",)


def test_secrets_from_files(tmp_path: Path) -> None:
    """Secret and database URL can come from files, as container platforms mount them."""
    secret, url = tmp_path / "secret", tmp_path / "url"
    secret.write_text("whsec_aaaaaaaa\nwhsec_bbbbbbbb\n")
    url.write_text("postgresql://u:p@h/d\n")
    made = read(
        STRIPE_WEBHOOK_SECRET="",
        STRIPE_WEBHOOK_SECRET_FILE=str(secret),
        TRACKNOW_RELAY_DATABASE_FILE=str(url),
    )
    assert made.secrets.current() == ("whsec_aaaaaaaa", "whsec_bbbbbbbb")
    assert made.database == "postgresql://u:p@h/d"


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), (b"", "empty"), (b"\xff\xfe", "UTF-8"), (b"sk_live_abc", "API key")],
)
def test_unusable_secret_files(tmp_path: Path, content: bytes | None, word: str) -> None:
    """A secret file that cannot be used is named with the reason, never with its content."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    changes: dict[str, Any] = {"STRIPE_WEBHOOK_SECRET": ""}
    text = problem(**changes, STRIPE_WEBHOOK_SECRET_FILE=str(file))
    assert word in text
    assert "sk_live" not in text


def test_secret_given_twice(tmp_path: Path) -> None:
    """A secret and its file at once are a contradiction, not a guess."""
    assert "both set" in problem(STRIPE_WEBHOOK_SECRET_FILE=str(tmp_path))
