"""The form of every command that a person gives on a case page, and the way from a filled form to the command."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import msgspec

from domain.case import CaseFile
from domain.commands import AnyCommand
from gateway.catalog import N_
from gateway.pages.forms import Form, in_page_words, renamed, require
from gateway.reading import labels
from gateway.refusals import InputInvalid
from gateway.web.strict import convert

Kind = Literal["line", "area", "date", "number", "choice", "unit", "claim", "paper"]


class Field(msgspec.Struct, frozen=True):
    """One field. options: code -> Chinese words, for a choice. optional: may stay empty."""

    name: str
    kind: Kind
    text: str
    options: Mapping[str, str] = {}
    hint: str = ""
    optional: bool = False


_REASON = Field("reason", "area", N_("理由"))
_TEXT = Field("text", "area", N_("内容"))
_YES: Final = {"true": N_("同意"), "false": N_("不同意")}
_TAKEN: Final = {"true": N_("认可"), "false": N_("退回重报")}

FORMS: Final[Mapping[str, tuple[Field, ...]]] = {
    "correct_registration": (
        Field("matter_class", "choice", N_("类别"), labels.MATTERS),
        Field("category", "choice", N_("内容分类"), labels.CATEGORIES),
        Field("issue_region", "line", N_("问题属地"), hint=N_("12位行政区划代码")),
        _REASON,
    ),
    "amend_claim": (
        Field("change", "choice", N_("如何变更"), labels.CHANGES),
        Field("claim", "claim", N_("哪一条诉求"), hint=N_("增加诉求时不选")),
        Field("text", "area", N_("诉求内容或放弃原因")),
    ),
    "add_material": (Field("note", "area", N_("材料内容")),),
    "withdraw": (Field("reason", "area", N_("信访人所述原因")),),
    "rate": (
        Field("office", "choice", N_("对信访部门"), labels.RATINGS),
        Field("unit", "choice", N_("对责任单位"), labels.RATINGS),
        Field("comment", "area", N_("意见"), optional=True),
    ),
    "hand_over": (
        Field("to", "unit", N_("交给哪个单位")),
        Field("mode", "choice", N_("方式"), labels.MODES),
        Field("report_by", "date", N_("报告结果期限"), hint=N_("仅交办时填写"), optional=True),
        _REASON,
    ),
    "object": (
        Field("proposed", "unit", N_("应由哪个单位办理"), optional=True),
        Field("reason", "area", N_("详细理由"), hint=N_("《信访工作条例》第二十三条第三款要求说明理由")),
    ),
    "rule_objection": (
        Field("agreed", "choice", N_("裁定"), _YES),
        Field("holder", "unit", N_("由哪个单位办理"), hint=N_("由双方以外的单位办理时填写"), optional=True),
        _REASON,
    ),
    "take_over": (Field("unit", "unit", N_("由哪个单位办理")), _REASON),
    "accept": (Field("kind", "choice", N_("受理种类"), labels.KINDS),),
    "decline": (
        Field("ground", "choice", N_("依据"), labels.GROUNDS),
        Field("right_organ", "line", N_("应向哪个机关提出")),
        _REASON,
    ),
    "extend": (
        Field("days", "number", N_("延长天数"), hint=N_("一次，最多30日，须经本单位负责人批准")),
        Field("reason", "area", N_("告知信访人的理由")),
    ),
    "issue_opinion": (Field("facts", "area", N_("查明的事实"), hint=N_("时间、地点、经过、证据")),),
    "reply": (Field("result", "choice", N_("结果"), labels.REPLIES), _TEXT),
    "serve": (
        Field("paper", "paper", N_("送达哪份文书")),
        Field("method", "choice", N_("送达方式"), labels.METHODS),
        Field("served_on", "date", N_("送达日期")),
    ),
    "report": (_TEXT,),
    "close": (Field("ending", "choice", N_("办结方式"), labels.ENDINGS),),
    "issue_order": (
        Field("trigger", "choice", N_("督办事由"), labels.TRIGGERS),
        Field("reply_by", "date", N_("回复期限")),
        Field("demand", "area", N_("督办要求")),
    ),
    "reply_order": (_TEXT,),
    "judge_order": (
        Field("accepted", "choice", N_("审核"), _TAKEN),
        Field("reply_by", "date", N_("重报期限"), hint=N_("退回重报时填写"), optional=True),
        Field("comment", "area", N_("意见")),
    ),
    "order_erasure": (Field("ground", "choice", N_("依据"), labels.ERASURE_GROUNDS),),
    "confirm_erasure": (),
}

CLAIM_FIELDS: Final = (
    Field("outcome", "choice", N_("处理意见"), labels.OUTCOMES),
    Field("law", "line", N_("法律、法规、政策依据")),
    Field("text", "area", N_("答复内容")),
    Field("performer", "unit", N_("由谁执行"), hint=N_("支持诉求时填写"), optional=True),
    Field("perform_by", "date", N_("执行期限"), hint=N_("支持诉求时填写"), optional=True),
)
"""What an opinion says on each living claim; sent as `<field>.<claim id>`."""

_ANSWER: Final = re.compile(r"answers\[(?P<place>\d+)\]\.(?P<name>\w+)")
_NOT_OF_THE_COMMAND: Final = frozenset({"csrf", "key", "command"})


def command_of(form: Form, file: CaseFile) -> AnyCommand:
    """The command that `form` gives on the case of `file`. Raises FormInvalid."""
    names = _names(form.get("command"), file)
    require(form, {name: text for name, (text, optional) in names.items() if not optional})
    try:
        return _command_of(form, file)
    except InputInvalid as refusal:
        told = renamed(refusal, _form_field(refusal.field or "", _claims_of(form)))
        raise in_page_words(told, {name: text for name, (text, _) in names.items()}) from refusal


def _names(tag: str, file: CaseFile) -> dict[str, tuple[str, bool]]:
    """What the page calls the fields of this command's form, and which may stay empty."""
    fields = {field.name: (field.text, field.optional) for field in FORMS.get(tag, ())}
    if tag == "amend_claim":
        fields["claim"] = (fields["claim"][0], True)
    if tag == "issue_opinion":
        for claim in file.unanswered_claims:
            fields |= {f"{field.name}.{claim.id}": (field.text, field.optional) for field in CLAIM_FIELDS}
    return fields


def _form_field(field: str, claims: list[str]) -> str:
    """`answers[0].text` is called `text.<claim id>` in the form."""
    found = _ANSWER.fullmatch(field)
    return f"{found['name']}.{claims[int(found['place'])]}" if found else field


def _command_of(form: Form, file: CaseFile) -> AnyCommand:
    values: dict[str, Any] = {name: text for name, text in form.filled().items() if name not in _NOT_OF_THE_COMMAND}
    tag = form.get("command")
    if tag == "issue_opinion":
        values = _with_answers(values, _claims_of(form))
    if tag == "amend_claim" and values.get("change") == "added":
        values["claim"] = form.get("fresh_claim")
    values.pop("fresh_claim", None)
    return cast("AnyCommand", convert(values | {"command": tag, "case": str(file.case)}, AnyCommand, strict=False))


def _claims_of(form: Form) -> list[str]:
    """The claims that the form was shown with: after the first sending, the case has them answered."""
    return list(dict.fromkeys(claim for name, _ in form.fields for _, dot, claim in [name.partition(".")] if dot))


def _with_answers(values: dict[str, Any], claims: list[str]) -> dict[str, Any]:
    plain = {name: text for name, text in values.items() if "." not in name}
    return plain | {"answers": [_answer(values, claim) for claim in claims]}


def _answer(values: dict[str, Any], claim: str) -> dict[str, Any]:
    given = {field.name: values[name] for field in CLAIM_FIELDS if (name := f"{field.name}.{claim}") in values}
    return given | {"claim": claim}
