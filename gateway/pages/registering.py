"""From a filled registration form, the citizen's or the clerk's, to what is registered and what is sealed."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from domain.commands import Register
from gateway.casework.denunciations import Denunciation
from gateway.catalog import N_
from gateway.pages.forms import Form, in_page_words, renamed, require
from gateway.refusals import InputInvalid
from gateway.web.strict import convert

CLAIMS_MAX: Final = 20
NAMES: Final = {
    "title": N_("主题"),
    "body": N_("事情经过"),
    "channel": N_("渠道"),
    "matter_class": N_("类别"),
    "category": N_("内容分类"),
    "issue_region": N_("问题属地"),
    "received_on": N_("收到日"),
    "person_count": N_("人数"),
    "name": N_("姓名"),
    "phone": N_("电话"),
    "id_number": N_("身份证号"),
    "address": N_("地址"),
}
"""What the pages call the fields."""

_APART: Final = {
    "accused_unit": N_("被反映人所在单位"),
    "accusation": N_("检举控告的内容"),
    "accusation_contact": N_("联系方式"),
}

_PERSON: Final = ("name", "phone", "id_number", "address")


def key_of(form: Form) -> UUID:
    """The command id that the form was given when it was shown; sending it twice records it once. InputInvalid."""
    found: UUID = convert({"key": form.get("key")}, dict[str, UUID])["key"]
    return found


def register_command(form: Form, fixed: Mapping[str, Any]) -> Register:
    """The command of `form`, the same however often it is sent. fixed: what the page itself decides. FormInvalid."""
    key = key_of(form)
    texts = [(name, form.get(name)) for name in (f"claim_{number}" for number in range(CLAIMS_MAX))]
    claims = [{"claim": str(uuid5(key, name)), "text": text} for name, text in texts if text]
    require(form, {name: NAMES[name] for name in ("title", "body")} | ({} if claims else {"claim_0": N_("诉求")}))
    given = form.filled() | {name: _ascii(form.get(name)) for name in ("phone", "id_number") if form.get(name)}
    values: dict[str, Any] = {
        "petitioner": {name: given[name] for name in _PERSON if name in given},
        "claims": claims,
    }
    for name in ("title", "body", "channel", "matter_class", "category", "issue_region", "received_on", "person_count"):
        if name in given:
            values[name] = given[name]
    try:
        command: Register = convert(values | dict(fixed), Register, strict=False)
    except InputInvalid as refusal:
        raise in_page_words(renamed(refusal, _form_field(refusal.field or "")), NAMES) from refusal
    return command


def _ascii(text: str) -> str:
    """Digits as a Chinese keyboard may give them (１３８…, －) as the ordinary ones that are meant."""
    return unicodedata.normalize("NFKC", text)


def apart_of(form: Form) -> Denunciation | None:
    """What the letter says against an official, which is sealed by itself; None where it says nothing. FormInvalid."""
    given = {name: form.get(name) for name in _APART if form.get(name)}
    if not given:
        return None
    require(form, {name: _APART[name] for name in ("accused_unit", "accusation")})
    names = {"accusation": "text", "accusation_contact": "contact"}
    try:
        denunciation: Denunciation = convert({names.get(name, name): given[name] for name in given}, Denunciation)
    except InputInvalid as refusal:
        field = {name: field for field, name in names.items()}.get(refusal.field or "", refusal.field or "")
        raise in_page_words(renamed(refusal, field), _APART) from refusal
    return denunciation


def _form_field(field: str) -> str:
    """`petitioner.phone` is called `phone` in the form, `claims[0].text` is `claim_0`."""
    if field.startswith("claims["):
        return f"claim_{field[7:].partition(']')[0]}"
    return field.removeprefix("petitioner.")
