"""The built shops on this machine, for a person to look at."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tools.engines.folder import read_file

if TYPE_CHECKING:
    import socketserver
    from pathlib import Path


def serve(folder: Path, port: int) -> tuple[ThreadingHTTPServer, str]:
    """Serve a built site on 127.0.0.1; give the server and its URL.

    Takes any free port when the wanted one is not free.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, content_type, body = read_file(folder, "/", path)
            self.send_response(status)
            if status == 301:
                self.send_header("Location", path + "/")
            self.send_header("Content-Type", content_type or "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the terminal belongs to the steps."""

    server = _listen(Handler, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def _listen(handler: type[socketserver.BaseRequestHandler], port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)
