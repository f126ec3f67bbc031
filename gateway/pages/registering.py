"""From a filled registration form, the citizen's or the clerk's, to the one command that registers a matter."""

from datetime import date
from typing import Any, Final
from uuid import UUID, uuid5

from domain.commands import Register
from gateway.pages.forms import Form
from gateway.refusals import InputInvalid
from gateway.strict import convert

CLAIMS_MAX: Final = 20
_PERSON: Final = ("name", "phone", "id_number", "address")


def key_of(form: Form) -> UUID:
    """The command id that the form was given when it was shown; sending it twice records it once. InputInvalid."""
    found: UUID = convert({"key": form.get("key")}, dict[str, UUID])["key"]
    return found


def register_command(form: Form, today: date, fixed: dict[str, Any]) -> Register:
    """The command of `form`. fixed: what the page itself decides. InputInvalid names the form's own field."""
    key = key_of(form)
    texts = [(name, form.get(name)) for name in (f"claim_{number}" for number in range(CLAIMS_MAX))]
    claims = [{"claim": str(uuid5(key, name)), "text": text} for name, text in texts if text]
    if not claims:
        raise InputInvalid("请至少写一条诉求", "write at least one claim", field="claim_0")
    given = form.filled()
    values: dict[str, Any] = {
        "received_on": today.isoformat(),
        "petitioner": {name: given[name] for name in _PERSON if name in given},
        "claims": claims,
    }
    for name in ("title", "body", "channel", "matter_class", "category", "issue_region", "received_on", "person_count"):
        if name in given:
            values[name] = given[name]
    try:
        command: Register = convert(values | fixed, Register, strict=False)
    except InputInvalid as refusal:
        raise _at_its_field(refusal) from refusal
    return command


def _at_its_field(refusal: InputInvalid) -> InputInvalid:
    """`petitioner.phone` is called `phone` in the form, `claims[0].text` is `claim_0`."""
    field = (refusal.field or "").removeprefix("petitioner.")
    if field.startswith("claims["):
        field = f"claim_{field[7:].partition(']')[0]}"
    return InputInvalid(refusal.zh, refusal.en, field=field or None)
