"""The petitioner's pages: file, keep the receipt, follow, rate, and hand in a sealed letter. No account is needed."""

import base64
from uuid import UUID, uuid4

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from domain.commands import Rate
from domain.errors import DomainError
from domain.events import CaseId
from gateway.casework.denunciations import Denunciation
from gateway.casework.receipts import Receipt
from gateway.node import Node
from gateway.pages.forms import Form, FormInvalid, Given, Problems, SentForm
from gateway.pages.registering import apart_of, key_of, register_command
from gateway.pages.render import page
from gateway.reading.case_reading import CaseReading
from gateway.reading.following import code_of_leaf, leaf_of_code
from gateway.refusals import InputInvalid
from gateway.web.receiving import act_for_petitioner, check_file, leaf_of_whole_file, registered_case, seal_apart
from gateway.web.strict import convert
from gateway.web.visits import visitor_or_none

router = APIRouter()


@router.get("/")
def home(request: Request) -> Response:
    """Where a petitioner begins; staff go on to their duties."""
    visitor = visitor_or_none(request)
    if visitor is not None:
        return RedirectResponse("/accounts" if visitor.account.role == "operator" else "/duties", status_code=303)
    return page(request, "home.html")


@router.get("/file")
def file_form(request: Request) -> Response:
    """The filing form."""
    return _form(request, "file.html", Problems(), Given())


@router.post("/file")
def file(request: Request, form: SentForm) -> Response:
    """Register the matter and show its receipt. Not a redirect: an address that opens a receipt would be a secret."""
    node: Node = request.app.state.node
    item = None
    try:
        command, apart = register_command(form, _fixed(form, node)), apart_of(form)
        item = seal_apart(node, apart, key_of(form))
        recorded = act_for_petitioner(node, command, key_of(form))
    except (DomainError, FormInvalid) as refusal:
        return _form(request, "file.html", Problems(refusal), Given(form.fields), item)
    return receipt_page(request, registered_case(recorded.events), back=None, item=item)


def _form(request: Request, template: str, problems: Problems, given: Given, item: UUID | None = None) -> Response:
    """What a citizen fills in about an office. item: of what was sealed already."""
    return page(
        request,
        template,
        status=422 if problems else 200,
        problems=problems,
        given=given,
        key=given["key"] or uuid4(),
        units=request.app.state.node.around.offices(),
        item=item,
    )


def receipt_page(request: Request, case: CaseId, back: str | None, item: UUID | None) -> Response:
    """The receipt of a case filed here, to keep. back: where a clerk goes on from it. item: what was sealed apart."""
    node: Node = request.app.state.node
    receipt = node.receipts.of(case)
    code = code_of_leaf(receipt.leaf)
    return page(
        request,
        "receipt.html",
        number=receipt.registered.number,
        code=code,
        rating_code=receipt.rating_code,
        qr=_qr(node, receipt),
        data=base64.b64encode(receipt.data).decode(),
        proven=receipt.is_proof,
        due_us=receipt.due_us,
        back=back,
        item=item,
    )


@router.post("/receipt")
def download(request: Request, form: SentForm) -> Response:
    """The receipt file as it stands now, for whoever holds an earlier one."""
    node: Node = request.app.state.node
    leaf = leaf_of_whole_file(node, _sent_file(form))
    receipt = node.receipts.of(node.receipts.find(leaf))
    headers = {"content-disposition": f'attachment; filename="huiyin-{receipt.leaf.hex()[:16]}.receipt"'}
    return Response(receipt.data, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/follow")
def follow_form(request: Request) -> Response:
    """The form that takes a receipt or its code."""
    return page(request, "follow.html", problems=Problems(), code=request.query_params.get("code", "")[:200])


@router.post("/follow")
def follow(request: Request, form: SentForm) -> Response:
    """The milestones of the case that the receipt is of."""
    try:
        leaf, rating_code = _held(request.app.state.node, form)
        return _followed(request, leaf, Problems(), rating_code)
    except DomainError as refusal:
        return page(request, "follow.html", status=422, problems=Problems(refusal), code=form.get("code")[:200])


@router.post("/follow/rate")
def rate(request: Request, form: SentForm) -> Response:
    """The petitioner's judgement of office and unit apart."""
    node: Node = request.app.state.node
    leaf = leaf_of_code(form.get("code"))
    reading, proven = CaseReading.for_petitioner(node, leaf), ""
    try:
        node.receipts.check_rating_code(reading.file.case, form.get("rating_code"))
        proven = form.get("rating_code")
        values = {name: form.get(name) for name in ("office", "unit", "comment")}
        command = convert(values | {"case": str(reading.file.case)}, Rate, strict=False)
        act_for_petitioner(node, command, key_of(form))
    except DomainError as refusal:
        return _followed(request, leaf, Problems(refusal), proven)
    return _followed(request, leaf, Problems(), rated=True)


@router.get("/denounce")
def denounce_form(request: Request) -> Response:
    """The form of a denunciation."""
    return _form(request, "denounce.html", Problems(), Given())


@router.post("/denounce")
def denounce(request: Request, form: SentForm) -> Response:
    """Seal it and say only its number: nothing on the page or in an address tells what or whom it is about."""
    node: Node = request.app.state.node
    try:
        values = {name: form.get(name) for name in ("accused_unit", "text", "contact") if form.get(name)}
        item = node.denunciations.file(convert(values, Denunciation), key_of(form))
    except DomainError as refusal:
        return _form(request, "denounce.html", Problems(refusal), Given(form.fields))
    return _form(request, "denounce.html", Problems(), Given(), item)


def _fixed(form: Form, node: Node) -> dict[str, str | None]:
    suggestion = form.get("matter_class") == "suggestion"
    return {
        "channel": "online",
        "matter_class": "suggestion" if suggestion else "claim_petition",
        "issue_region": node.here,
        "received_on": None,
        "person_count": "1",
    }


def _followed(
    request: Request, leaf: bytes, problems: Problems, rating_code: str = "", *, rated: bool = False
) -> Response:
    """rating_code: of whoever has shown it or the whole receipt file already, who need not type it."""
    reading = CaseReading.for_petitioner(request.app.state.node, leaf)
    return page(
        request,
        "followed.html",
        status=422 if problems else 200,
        followed=reading.followed(),
        code=code_of_leaf(leaf),
        rating_code=rating_code,
        key=uuid4(),
        problems=problems,
        rated=rated,
    )


def _held(node: Node, form: Form) -> tuple[bytes, str]:
    """The leaf hash that the form is about, and the rating code where it is the whole receipt file that shows it."""
    if form.files.get("receipt"):
        report = check_file(node, form.files["receipt"])
        is_whole = not report.unopened
        return report.leaf_hash, node.receipts.rating_code(node.receipts.find(report.leaf_hash)) if is_whole else ""
    if not form.get("code"):
        raise InputInvalid("请上传回执文件或输入查询码", "upload the receipt or type its code", field="code")
    return leaf_of_code(form.get("code")), ""


def _sent_file(form: Form) -> bytes:
    try:
        return form.files.get("receipt") or base64.b64decode(form.get("data"), validate=True)
    except ValueError:
        raise InputInvalid("请上传回执文件", "upload the receipt file", field="receipt") from None


def _qr(node: Node, receipt: Receipt) -> Markup:
    """A locator and a hash, and nothing else: a receipt seen from afar tells nobody what it is about."""
    code = segno.make(f"{node.config.url}/follow?code={receipt.leaf.hex()}", error="m", micro=False)
    return Markup(code.svg_inline(scale=4, border=2, omitsize=True))  # noqa: S704, made of digits here
