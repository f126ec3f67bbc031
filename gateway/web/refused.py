"""The security event: the one line and the one count that a refused request leaves, of what kind, never of whom."""

import logging
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway import refusals
from gateway.refusals import Refusal
from gateway.web.bounded import HEAD_TOO_LARGE, HEAD_TOO_SLOW

RULE: Final = "rule"
"""Where the address must not show, what a rule of one of them refuses must not either: a code that only
denunciations know would tell that one was tried."""

_GENERAL: Final = {"command_reused"} | {
    kind.code for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)
}
_UNREADABLE: Final = {
    "Invalid HTTP request received.": "http_invalid",
    HEAD_TOO_LARGE: "head_too_large",
    HEAD_TOO_SLOW: "head_too_slow",
}
"""What the HTTP server itself refuses, before there is an address: by its words, which only this process hears."""

_log = structlog.get_logger("security")


class RefusedRequests:
    """Counts and logs them: `huiyin_refused_total` by code, and the event `refused`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter("huiyin_refused", "Requests that were refused, by code", ("code",), registry=registry)

    def note(self, code: str, route: str, request_id: str, status: int, *, hidden: bool) -> None:
        """One request was refused. route: its name in logs; hidden: which of several addresses it was must not show.

        status: of the answer. What failed on this side (5xx) is no attack, and has a line of its own.
        """
        if status >= 500:
            return
        said = RULE if hidden and code not in _GENERAL else code
        self._count.labels(said).inc()
        _log.warning("refused", code=said, route=route, request_id=request_id)

    def unreadable(self, code: str) -> None:
        """What came was no request, or not the whole of one."""
        self._count.labels(code).inc()
        _log.warning("refused", code=code, route="unrouted", request_id=None)


class ServerWords(logging.Handler):
    """What the HTTP server says of itself, as lines like all others, and of a request that it cannot read, an event."""

    def __init__(self, refused: RefusedRequests) -> None:
        super().__init__(logging.WARNING)
        self._refused = refused

    def emit(self, record: logging.LogRecord) -> None:
        """One line; never the arguments of the server's own words, which may be a caller's."""
        code = _UNREADABLE.get(str(record.msg))
        if code is not None:
            self._refused.unreadable(code)
        else:
            error = record.exc_info[0] if record.exc_info else None
            structlog.get_logger("http").warning("server", said=str(record.msg), error=error and error.__name__)


def listen(refused: RefusedRequests) -> logging.Handler:
    """Hear the HTTP server of this process; returns what hears, for whoever wants to stop."""
    words, server = ServerWords(refused), logging.getLogger("uvicorn.error")
    server.addHandler(words)
    server.propagate = False
    return words
