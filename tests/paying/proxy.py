"""An HTTP proxy on a real socket, which remembers what it has read."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """What a proxy has read.

    Attributes:
        url: Its address.
        seen: The headers of each request that it was asked for.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.seen: list[dict[str, str]] = []


@contextmanager
def open_proxy() -> Iterator[Proxy]:
    """Runs a proxy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxy.seen.append(dict(self.headers.items()))
            parts = urlsplit(self.path)
            with closing(http.client.HTTPConnection(parts.netloc)) as connection:
                connection.request("GET", parts.path, headers=dict(self.headers.items()))
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
