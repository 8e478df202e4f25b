"""What the page and the ML backend share: who may come in, how much may be sent, and how they are run.

Both listen on loopback unless told otherwise, and everything that they serve stands below a token in the address. So no
cookie is needed, and a foreign page that a browser has open can neither guess the address nor, as its requests carry an
origin or a host of their own, use it.
"""

import contextlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jaxal.data.dataset import DataError

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",  # the token is in the address
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Access(NamedTuple):
    """Who may come in."""

    token: str
    hosts: frozenset[str]  # names that the server may be called by, beside addresses


class Guard:
    """Lets requests with the token through, to a host of ours, from no foreign page, of no more than `limit` bytes."""

    def __init__(self, app: ASGIApp, access: Access, limit: int):
        self.app, self.access, self.limit = app, access, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's interface."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(Request(scope))
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        body = bytearray()
        while True:  # read here, so that no application sees a body without an end
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self.limit:
                await _error(413, f"more than {self.limit:,} bytes")(scope, receive, _with_headers(send))
                return
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        inside = {**scope, "root_path": f"/{self.access.token}"}
        await self.app(inside, replay, _with_headers(send))

    def _refused(self, request: Request) -> PlainTextResponse | None:
        host = request.headers.get("host", "")
        if not _is_ours(host, self.access.hosts):
            return _error(403, "this server is not called so")  # a foreign name that leads here: DNS rebinding
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _error(403, "requests from other pages are refused")
        site = request.headers.get("sec-fetch-site", "none")
        opened = request.headers.get("sec-fetch-mode") == "navigate" and request.method == "GET"
        if site not in ("same-origin", "none") and not opened:
            return _error(403, "requests from other pages are refused")
        first = request.url.path.split("/")[1] if "/" in request.url.path else ""
        if not hmac.compare_digest(first.encode(), self.access.token.encode()):
            return _error(404, "not here; the address that was printed at the start has a token in it")
        return None


def _is_ours(host: str, names: frozenset[str]) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True  # no other page has an address for a name


def _error(status: int, message: str) -> PlainTextResponse:
    return PlainTextResponse(f"{message}\n", status)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given]
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return wrapped


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body. Raises DataError, one line, for anything else."""
    try:
        content = await request.json()
    except (ValueError, RecursionError):
        raise DataError("the body is no JSON") from None
    if not isinstance(content, dict):
        raise DataError("the body is no JSON object")
    return content


def told(endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    """An endpoint whose ValueErrors (DataError is one) are answered with 400 and {"error": line}."""

    async def wrapped(request: Request) -> Any:
        try:
            return await endpoint(request)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    return wrapped


def run(make: Callable[[Access], ASGIApp], host: str, port: int, token: str, hint: str = "") -> None:
    """Serves `make`'s application until it is interrupted; prints its address first, and `hint`.

    Raises:
      ValueError: one line: no such host, or a port that is taken.
    """
    import uvicorn

    token = token or secrets.token_urlsafe(12)
    if not token.replace("-", "").replace("_", "").isalnum() or not token.isascii() or len(token) < 8:
        raise ValueError("token must be 8 or more letters, digits, - or _")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(f"host is {host} and port {port}: {error.strerror or error}; take another --port") from None
    with listener:
        address = f"[{host}]" if family == socket.AF_INET6 else host
        print(f"http://{address}:{listener.getsockname()[1]}/{token}/", flush=True)
        if hint:
            print(hint, flush=True)
        if not _is_loopback(host):
            print("open to the network, unencrypted: whoever knows this address sees the images", flush=True)
        names = frozenset({"localhost", host.casefold(), socket.gethostname().casefold()})
        # The log of requests would hold the token.
        config = uvicorn.Config(
            make(Access(token, names)), log_level="warning", access_log=False, server_header=False, ws="none"
        )
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            uvicorn.Server(config).run([listener])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
