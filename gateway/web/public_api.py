"""The part of the JSON API that needs no account: filing, following and rating by receipt, and a node's status."""

import base64
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from domain.bounds import Line
from domain.commands import Claim, Petitioner, Rate, Register, Text
from domain.events import CaseId, MatterClass, Rating
from gateway.casework.denunciations import Denunciation
from gateway.casework.receipts import Receipt
from gateway.hosting.status import NodeStatus
from gateway.node import Node
from gateway.reading.case_reading import CaseReading
from gateway.reading.following import Followed, leaf_of_code
from gateway.refusals import InputInvalid
from gateway.web.api import CommandKey
from gateway.web.model import REFUSALS, answer, body, gives, takes
from gateway.web.receiving import act_for_petitioner, check_file, leaf_of_whole_file, registered_case, seal_apart
from gateway.web.visits import check_origin

router = APIRouter(prefix="/api", responses=REFUSALS)


class Petition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a petitioner files online. Everything in words is sealed.

    denunciation: what the letter also says against an official. It is sealed by itself to the organ that manages that
    official, before the rest is registered, and nothing that is kept joins the two.
    """

    matter_class: MatterClass = "claim_petition"
    category: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{6}$")] = "990000"
    petitioner: Petitioner = Petitioner()
    title: Line
    body: Text
    claims: Annotated[tuple[Claim, ...], msgspec.Meta(min_length=1, max_length=20)]
    denunciation: Denunciation | None = None


class ReceiptFile(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt. code: its leaf hash in hex, by which it is found again. receipt: the file, base64; keep it secret.

    rating_code: with the code, it lets its holder rate; keep it secret too.
    proven: whether it is already the proof, or still the promise. item: of the denunciation that was sealed apart, told
    once, when it is filed.
    """

    number: str
    case: CaseId
    code: str
    rating_code: str
    proven: bool
    receipt: str
    item: UUID | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a petitioner holds: the receipt file in base64, or the code printed on it."""

    receipt: Annotated[str, msgspec.Meta(max_length=700_000)] = ""
    code: Annotated[str, msgspec.Meta(max_length=200)] = ""


class RatingByReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The petitioner's judgement of petition office and responsible unit, apart, once.

    By the whole receipt file in base64, or by code and rating code: the code alone is known to the offices judged.
    """

    receipt: Annotated[str, msgspec.Meta(max_length=700_000)] = ""
    code: Annotated[str, msgspec.Meta(max_length=200)] = ""
    rating_code: Annotated[str, msgspec.Meta(max_length=200)] = ""
    office: Rating
    unit: Rating
    comment: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


class SealedAway(msgspec.Struct, frozen=True, kw_only=True):
    """A denunciation was sealed; item: what to quote to the organ that holds it."""

    item: UUID


SHAPES: Final[tuple[Any, ...]] = (
    Petition,
    ReceiptFile,
    Held,
    RatingByReceipt,
    Followed,
    Denunciation,
    SealedAway,
    NodeStatus,
)


@router.get("/status", responses={200: gives(NodeStatus, "The node")}, response_class=Response)
def show_status(request: Request) -> Response:
    """How the node is: sizes, lag and faults, in numbers only."""
    return answer(request.app.state.node.status())


@router.post(
    "/public/petitions", status_code=201, responses={201: gives(ReceiptFile, "Filed")}, openapi_extra=takes(Petition),
    response_class=Response,
)  # fmt: skip
def file_petition(request: Request, key: CommandKey, given: Annotated[Petition, Depends(body(Petition))]) -> Response:
    """File online. The same key again answers the same receipt."""
    check_origin(request, required=False)
    node: Node = request.app.state.node
    command = Register(
        channel="online",
        matter_class=given.matter_class,
        category=given.category,
        issue_region=node.here,
        person_count=1,
        petitioner=given.petitioner,
        title=given.title,
        body=given.body,
        claims=given.claims,
    )
    item = seal_apart(node, given.denunciation, key)
    recorded = act_for_petitioner(node, command, key)
    case = registered_case(recorded.events)
    return answer(_receipt_file(case, node.receipts.of(case), item), 201)


@router.post(
    "/public/follow", responses={200: gives(Followed, "The case")}, openapi_extra=takes(Held), response_class=Response
)
def follow(request: Request, held: Annotated[Held, Depends(body(Held))]) -> Response:
    """The milestones of the case that the receipt is of, who answers now, and until when."""
    node: Node = request.app.state.node
    leaf = leaf_of_code(held.code) if _is_code(held) else check_file(node, _file(held.receipt)).leaf_hash
    return answer(CaseReading.for_petitioner(node, leaf).followed())


@router.post(
    "/public/receipts", responses={200: gives(ReceiptFile, "The receipt as it stands now")}, openapi_extra=takes(Held),
    response_class=Response,
)  # fmt: skip
def renew_receipt(request: Request, held: Annotated[Held, Depends(body(Held))]) -> Response:
    """The proof in exchange for the promise. Only for the whole file: a code alone opens nothing that was written."""
    node: Node = request.app.state.node
    case = node.receipts.find(leaf_of_whole_file(node, _file(held.receipt)))
    return answer(_receipt_file(case, node.receipts.of(case)))


@router.post(
    "/public/rate", responses={200: gives(Followed, "The case")}, openapi_extra=takes(RatingByReceipt),
    response_class=Response,
)  # fmt: skip
def rate(
    request: Request, key: CommandKey, given: Annotated[RatingByReceipt, Depends(body(RatingByReceipt))]
) -> Response:
    """Rate the case that the receipt is of."""
    check_origin(request, required=False)
    node: Node = request.app.state.node
    leaf = leaf_of_code(given.code) if _is_code(given) else leaf_of_whole_file(node, _file(given.receipt))
    case = node.receipts.find(leaf)
    if _is_code(given):
        node.receipts.check_rating_code(case, given.rating_code)
    command = Rate(case=case, office=given.office, unit=given.unit, comment=given.comment)
    act_for_petitioner(node, command, key)
    return answer(CaseReading.for_petitioner(node, leaf).followed())


@router.post(
    "/denunciations", status_code=201, responses={201: gives(SealedAway, "Sealed")}, openapi_extra=takes(Denunciation),
    response_class=Response,
)  # fmt: skip
def denounce(
    request: Request, key: CommandKey, given: Annotated[Denunciation, Depends(body(Denunciation))]
) -> Response:
    """Seal a denunciation to the organ that manages the official. Whoever types it, it is recorded as nobody's."""
    check_origin(request, required=False)
    node: Node = request.app.state.node
    item = node.denunciations.file(given, key)
    return answer(SealedAway(item=item), 201)


def _receipt_file(case: CaseId, receipt: Receipt, item: UUID | None = None) -> ReceiptFile:
    return ReceiptFile(
        number=receipt.registered.number,
        case=case,
        code=receipt.leaf.hex(),
        rating_code=receipt.rating_code,
        proven=receipt.is_proof,
        receipt=base64.b64encode(receipt.data).decode(),
        item=item,
    )


def _is_code(held: Held | RatingByReceipt) -> bool:
    return bool(held.code) and not held.receipt


def _file(receipt: str) -> bytes:
    try:
        data = base64.b64decode(receipt, validate=True)
    except ValueError:
        data = b""
    if not data:
        raise InputInvalid(
            "请提供回执文件（base64）或查询码", "give the receipt file in base64, or its code", field="receipt"
        )
    return data
