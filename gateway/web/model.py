"""Msgspec types under FastAPI: request bodies read strictly, and every type listed in the OpenAPI."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from fastapi import Request
from fastapi.responses import Response

from gateway.refusals import ContentTypeWrong
from gateway.web.strict import read_json

_TEMPLATE: Final = "#/components/schemas/{name}"


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was refused and what to do next. code: stable name to match on; nothing was recorded.

    field: the input it is about. article: the provision it rests on. request_id: what to quote to the operator.
    """

    code: str
    zh: str
    en: str
    field: str | None
    article: str | None
    request_id: str


def body(shape: Any) -> Callable[[Request], Any]:
    """A dependency that reads the JSON body as `shape`; refusals as in gateway/web/strict, ContentTypeWrong."""

    def read(request: Request) -> Any:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        charset = request.headers.get("content-type", "").lower().partition("charset=")[2].strip('" ')
        if kind != "application/json" or charset not in {"", "utf-8"}:
            raise ContentTypeWrong("application/json")
        return read_json(request.state.body, shape)

    return read


def answer(value: Any, status: int = 200) -> Response:
    """`value` as a JSON response."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def schema(shape: Any) -> dict[str, Any]:
    """The schema of `shape`, its Structs as references into the components."""
    (found,), _ = msgspec.json.schema_components((shape,), ref_template=_TEMPLATE)
    return found


def components(shapes: tuple[Any, ...]) -> dict[str, Any]:
    """Every Struct that occurs in `shapes`, nested ones included, by the name that the references use."""
    _, found = msgspec.json.schema_components((*shapes, Error), ref_template=_TEMPLATE)
    return found


def takes(shape: Any) -> dict[str, Any]:
    """What a route adds to its OpenAPI entry for a JSON body of `shape`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema(shape)}}}}


def gives(shape: Any, description: str) -> dict[str, Any]:
    """One entry of a route's `responses`: JSON of `shape`."""
    return {"description": description, "content": {"application/json": {"schema": schema(shape)}}}


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: gives(Error, description)
    for status, description in {
        400: "The request is malformed",
        401: "Not signed in",
        403: "The role, or a request from another site, does not allow it",
        404: "Not found, or not within the account's remit",
        408: "The body arrived too slowly",
        409: "In conflict with what has been recorded",
        413: "The body is too large",
        415: "The body has the wrong type or is compressed",
        422: "A value, or the law, does not allow it",
        429: "Too many attempts",
        500: "An error inside; nothing is half done",
        503: "Busy or not ready; see Retry-After",
    }.items()
}
"""What any route may answer instead."""
