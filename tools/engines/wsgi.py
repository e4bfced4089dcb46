"""A WSGI application as a host of the fake web."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tools.engines.fake_web import Request


def host(
    application: Callable[..., Iterable[bytes]], **headers: str
) -> Callable[[Request], Response]:
    """Return what answers requests with an application; ``headers`` are added to each, as WSGI names them."""

    def answer(request: Request) -> Response:
        given = {f"HTTP_{name.upper().replace('-', '_')}": v for name, v in request.headers.items()}
        environ: dict[str, Any] = {
            **given,
            "REQUEST_METHOD": request.method,
            "PATH_INFO": _unquoted(request.path),
            "QUERY_STRING": request.query,
            "CONTENT_LENGTH": str(len(request.body)),
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": request.scheme,
            "wsgi.input": io.BytesIO(request.body),
            **headers,
        }
        seen: list[Any] = []
        body = b"".join(application(environ, lambda *args: seen.append(args)))
        status, fields = seen[0]
        found = {name.lower(): value for name, value in fields}
        found.pop("content-length", None)
        content_type = found.pop("content-type", "")
        return Response(body, content_type, int(status.split()[0]), found)

    return answer


def _unquoted(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")
