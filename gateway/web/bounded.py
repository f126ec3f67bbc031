"""The HTTP protocol of this process's server, whose caller has so many bytes and seconds for a request's head."""

import asyncio
import logging
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT_BYTES: Final = 65_536
"""Of address and headers together; what came in one piece with its end may be longer by that piece."""

HEAD_WAIT_S = 20.0
HEAD_TOO_LARGE: Final = "Request head too large."
HEAD_TOO_SLOW: Final = "Request head too slow."

_STATUS: Final = {HEAD_TOO_LARGE: b"431 Request Header Fields Too Large", HEAD_TOO_SLOW: b"408 Request Timeout"}
_WORDS: Final = {
    HEAD_TOO_LARGE: "请求头过大，请精简后重试 / the request's head is too large; shorten it and send it again\n",
    HEAD_TOO_SLOW: "请求头传输超时，请重新发送 / the request's head took too long to arrive; send it again\n",
}


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's own, which keeps whatever comes before the end of a head, for as long as its caller likes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller is there; the first head begins."""
        self._head_bytes = 0
        self._waiting: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request, which may be one of several on this connection."""
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is the body, which has limits of its own."""
        self._end_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head has grown beyond the limit."""
        if self._waiting is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._waiting is not None and self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(HEAD_TOO_LARGE)

    def _begin_head(self) -> None:
        if self._waiting is None:
            self._head_bytes = 0
            self._waiting = self.loop.call_later(HEAD_WAIT_S, self._refuse, HEAD_TOO_SLOW)

    def _end_head(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _refuse(self, why: str) -> None:
        self._end_head()
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._head_bytes and not answering:  # a browser connects before it knows what for
            self._say(why)
        self.transport.close()

    def _say(self, why: str) -> None:
        logging.getLogger("uvicorn.error").warning(why)
        words = _WORDS[why].encode()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (_STATUS[why], len(words), words)
        )
