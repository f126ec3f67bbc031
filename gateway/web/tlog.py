"""A node's logs as C2SP tlog-tiles, read only, to whoever holds an auditor's token."""

import gzip
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from gateway.auditor_tokens import AuditorTokens, TokenRow
from gateway.reading.tlog import LogFiles, LogHeld
from gateway.refusals import NotFound
from gateway.web.model import REFUSALS, answer, gives
from gateway.web.visits import bearer_token, require_safe_link
from sync.proofs.tiles import TileInvalid, TilePath, parse_tile_path

router = APIRouter(prefix="/tlog", responses=REFUSALS)

_LOG: Final = "/{domain}/{division}/{shard}"
"""An origin is spelled so: its three parts are the path."""

_BY_TOKEN: Final[dict[str, Any]] = {"security": [{"auditor": []}]}

_FOREVER: Final = "private, max-age=31536000, immutable"
"""What stands under a path of a tile never changes; private, because it was given to one auditor."""

_TEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A signed note", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_BYTES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The bytes",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class LogList(msgspec.Struct, frozen=True, kw_only=True):
    """Every log that this node holds."""

    logs: list[LogHeld]


SHAPES: Final[tuple[Any, ...]] = (LogList, LogHeld)


def _auditor(request: Request) -> TokenRow:
    require_safe_link(request)
    tokens: AuditorTokens = request.app.state.auditor_tokens
    return tokens.check(bearer_token(request))


Auditor = Annotated[TokenRow, Depends(_auditor)]


@router.get("", responses={200: gives(LogList, "Logs")}, openapi_extra=_BY_TOKEN, response_class=Response)
def list_logs(request: Request, _: Auditor) -> Response:
    """Which logs are held here: the node's own, and those of the nodes below it."""
    return answer(LogList(logs=_files(request).held()))


@router.get(_LOG + "/checkpoint", responses=_TEXT, openapi_extra=_BY_TOKEN, response_class=Response)
def checkpoint(request: Request, _: Auditor, domain: str, division: str, shard: str) -> Response:
    """The newest cosigned head of the log, C2SP tlog-checkpoint with all its lines."""
    note = _files(request).checkpoint(f"{domain}/{division}/{shard}")
    return Response(note, media_type="text/plain; charset=utf-8")


@router.get(_LOG + "/tile/entries/{path:path}", responses=_BYTES, openapi_extra=_BY_TOKEN, response_class=Response)
def entries(request: Request, _: Auditor, domain: str, division: str, shard: str, path: str) -> Response:
    """A bundle of entries, `tile/entries/<N>[.p/<W>]`: events as they stand in the log, what is sealed still sealed."""
    data = _files(request).tile(f"{domain}/{division}/{shard}", _path(f"tile/entries/{path}"))
    headers = {"vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        data, headers["content-encoding"] = gzip.compress(data, mtime=0), "gzip"
    return _unchanging(data, headers)


@router.get(_LOG + "/tile/{level}/{path:path}", responses=_BYTES, openapi_extra=_BY_TOKEN, response_class=Response)
def hashes(request: Request, _: Auditor, domain: str, division: str, shard: str, level: str, path: str) -> Response:
    """A hash tile, `tile/<L>/<N>[.p/<W>]`."""
    return _unchanging(_files(request).tile(f"{domain}/{division}/{shard}", _path(f"tile/{level}/{path}")), {})


def _files(request: Request) -> LogFiles:
    return LogFiles(request.app.state.node)


def _path(text: str) -> TilePath:
    try:
        return parse_tile_path(text)
    except TileInvalid as error:
        raise NotFound from error


def _unchanging(data: bytes, headers: dict[str, str]) -> Response:
    return Response(data, media_type="application/octet-stream", headers=headers | {"cache-control": _FOREVER})
