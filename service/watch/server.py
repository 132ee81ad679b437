"""Serves the live page on this machine alone, to whoever has the address with its token.

vision-study watch digits_compare
"""

from __future__ import annotations

import os
import secrets
import sys
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from record.errors import UserError
from record.folder import StudyFolder
from service import stopping
from service.watch.page import Page

LOOPBACK = "127.0.0.1"
HTML, JSON, TEXT = "text/html", "application/json", "text/plain"


class Server(ThreadingHTTPServer):
    """One study's page. Its token is made at each start and stands in `address`."""

    daemon_threads = True

    def __init__(self, folder: StudyFolder, port: int = 0, parent: int | None = None) -> None:
        """port: 0 for any that is free. parent: the process that the server ends with. Raises UserError for a taken port."""
        self.folder, self.parent, self.token = folder, parent, secrets.token_urlsafe(24)
        self.page = Page(folder, self.token)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"--port {port}: cannot be used ({error}); leave it out for one that is free") from error

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/?token={self.token}"

    @property
    def hosts(self) -> set[str]:
        return {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser that left before the answer
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def service_actions(self) -> None:
        if self.parent is not None and os.getppid() != self.parent:
            raise SystemExit


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30  # seconds for a request that does not end

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        given = parse_qs(query).get("token", [""])[0]
        if not self._is_local():
            return
        if path == "/" and given and secrets.compare_digest(given.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.SEE_OTHER, "", TEXT, {"Location": "/", "Set-Cookie": self._cookie()})
        elif not self._has_cookie():
            self._answer(HTTPStatus.FORBIDDEN, "open the address that was printed, with its token\n", TEXT)
        elif path == "/":
            self._answer(HTTPStatus.OK, self.server.page.whole(), HTML)
        elif path == "/progress":
            self._answer(HTTPStatus.OK, self.server.page.head(), JSON)
        elif path == "/report":
            self._answer(HTTPStatus.OK, self.server.page.report(), HTML)
        elif path == "/favicon.ico":  # browsers ask for one by themselves
            self._answer(HTTPStatus.NO_CONTENT, "", TEXT)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "no such page\n", TEXT)

    def do_POST(self) -> None:
        if not self._is_local():
            return
        secret = self.headers.get("X-Watch", "")
        if not self._has_cookie() or not secrets.compare_digest(secret.encode(), self.server.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN, "only the page's own button may do that\n", TEXT)
        elif self.path != "/stop":
            self._answer(HTTPStatus.NOT_FOUND, "no such page\n", TEXT)
        else:
            try:
                stopping.request(self.server.folder)
                self._answer(HTTPStatus.OK, "the study was asked to end\n", TEXT)
            except (UserError, OSError) as error:
                self._answer(HTTPStatus.CONFLICT, f"{error}\n", TEXT)

    def _is_local(self) -> bool:
        """Whether the browser meant this server: a page of another site may not speak for the user."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host in self.server.hosts and origin in (None, f"http://{host}"):
            return True
        self._answer(HTTPStatus.FORBIDDEN, "another host or origin\n", TEXT)
        return False

    @property
    def _cookie_name(self) -> str:
        return f"watch_{self.server.server_port}"  # ports of one host share their cookies

    def _cookie(self) -> str:
        return f"{self._cookie_name}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"

    def _has_cookie(self) -> bool:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return False
        value = cookies[self._cookie_name].value if self._cookie_name in cookies else ""
        return secrets.compare_digest(value.encode(), self.server.token.encode())

    def _answer(self, status: HTTPStatus, text: str, kind: str, headers: dict[str, str] | None = None) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        common = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
        for name, value in (common | {"Referrer-Policy": "no-referrer"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass  # the token would be in it
