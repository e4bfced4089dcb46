"""The built shops on this machine, for a person to look at."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tracknow_static.walk.web import site_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def serve(folder: Path, port: int) -> Iterator[str]:
    """Serve a built site on 127.0.0.1; yield its URL.

    Uses any free port if the wanted one is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = site_reply(folder, self.path)
            self.send_response(reply.status)
            if reply.location:
                self.send_header("Location", reply.location)
            self.send_header("Content-Type", reply.media_type or "text/html")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_HEAD = do_GET  # noqa: N815 - the protocol's name

        def log_message(self, *_: object) -> None:
            """Log nothing: the terminal belongs to the steps."""

    server = _listen(Handler, port)
    # Checks often whether it has to end, so that Ctrl-C acts at once.
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing: browsers close connections whenever they like."""


def _listen(handler: type[BaseHTTPRequestHandler], port: int) -> _Server:
    try:
        return _Server(("127.0.0.1", port), handler)
    except OSError:
        return _Server(("127.0.0.1", 0), handler)
