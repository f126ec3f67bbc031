"""Everything the rules refuse, by name: what is wrong and what to do next, in both languages, with its article."""

from typing import ClassVar

from domain import articles
from domain.clocks import shanghai_time
from domain.errors import DomainError


class Refusal(DomainError):
    """A step that the law or the state of the case does not allow. says: the sentence in Chinese, then English."""

    code = "refusal"
    says: ClassVar[tuple[str, str]]
    rests_on: ClassVar[str | None] = None
    about: ClassVar[str | None] = None

    def __init__(self, *, field: str | None = None, **words: object) -> None:
        zh, en = (text.format(**words) for text in self.says)
        super().__init__(zh, en, field=field or self.about, article=self.rests_on)


# --- who, where, when ---------------------------------------------------------------------------------------------


class RoleNotAllowed(Refusal):
    """The actor's role does not include this step. Pass it to a colleague whose role does."""

    code = "role_not_allowed"
    says = ("“{zh}”不能办理此步骤，请由“{zh_roles}”办理", "not for the role of {role}; have it done by: {en_roles}")

    def __init__(self, role: str, roles: tuple[str, ...]) -> None:
        super().__init__(
            zh=_ROLES.get(role, role),
            zh_roles="、".join(_ROLES.get(name, name) for name in roles),
            role=role,
            en_roles=", ".join(roles),
        )


_ROLES = {
    "citizen": "信访人",
    "clerk": "登记员",
    "handler": "承办人",
    "leader": "负责人",
    "supervisor": "督办员",
    "auditor": "审计员",
    "operator": "运维员",
    "system": "系统",
}


class UnitNotHere(Refusal):
    """The actor's unit works on another node. Sign in there."""

    code = "unit_not_here"
    says = (
        "{unit}不在本节点（{node}），请到该单位所在节点办理",
        "{unit} does not work on node {node}; do this on its own",
    )


class UnitUnknown(Refusal):
    """No such unit is known here. Correct it, or name the office of its division, which every node has."""

    code = "unit_unknown"
    says = (
        "本节点不知道单位{unit}，请核对；该级确有此单位的，请填{office}",
        "no unit {unit} is known here; correct it, or name {office} if there is such a unit there",
    )


class InFuture(Refusal):
    """Something is said to have happened after now. Correct the time."""

    code = "in_future"
    says = ("填写的时间晚于现在，请更正", "the time given lies in the future; correct it")


class BeforeItsCause(Refusal):
    """Something is said to have happened before what it follows from. Correct the time, or leave it out for now."""

    code = "before_its_cause"
    says = (
        "填写的时间早于其起因（{since}），请改为该时间之后，或不填（即为现在）",
        "the time given is before what it follows from ({since}); give a later one, or leave it out for now",
    )
    about = "occurred_us"

    def __init__(self, since_us: int) -> None:
        super().__init__(since=shanghai_time(since_us))


class DayImplausible(Refusal):
    """A day or moment that no matter of a living person has. Correct it."""

    code = "day_implausible"
    says = (
        "日期应在{earliest}至{latest}之间，请更正",
        "a day lies between {earliest} and {latest}; correct it",
    )


class TextBlank(Refusal):
    """A text of nothing but blanks. Write what there is to say, or leave the field out."""

    code = "text_blank"
    says = ("不能只填空格，请填写内容，无内容的不填", "only blanks; write something, or leave the field out")


class RegionUnknown(Refusal):
    """No province has this code. Correct the place."""

    code = "region_unknown"
    says = ("问题属地不在任何省级行政区内，请更正", "the place of the issue lies in no province; correct it")
    about = "issue_region"


class CategoryUnknown(Refusal):
    """No category begins like this. Choose one under the headings that there are."""

    code = "category_unknown"
    says = ("没有这一内容分类，请在现有类别下选择", "there is no such category; choose one under those there are")
    about = "category"


class BirthImplausible(Refusal):
    """Digits 7 to 14 of an identity number are no day of birth that a living person has. Copy the number again."""

    code = "id_number_birth"
    says = (
        "身份证号第7至14位不是可能的出生日期，请对照证件重新填写",
        "digits 7 to 14 of the identity number are no possible day of birth; copy it from the card again",
    )


class CheckDigitWrong(Refusal):
    """The last digit of an identity number does not follow from the others. Copy the number again."""

    code = "id_number_check"
    says = (
        "身份证号与末位校验码不符，其中有一位填错，请对照证件重新填写",
        "the identity number does not agree with its last digit, so one digit is wrong; copy it from the card again",
    )


class CaseUnknown(Refusal):
    """This node knows no such case. Check the id, or wait until it has been sent here."""

    code = "case_unknown"
    says = (
        "本节点没有该信访事项，请核对编号，或等待上级转来",
        "no such case here; check the id, or wait until it is sent here",
    )
    about = "case"


class LegUnknown(Refusal):
    """The case has no such leg here. Open the case again and take the leg shown there."""

    code = "leg_unknown"
    says = ("该事项没有这一承办环节，请重新打开事项", "the case has no such leg; open the case again")
    about = "leg"


class NotHolder(Refusal):
    """Another unit holds the matter. Only that unit writes; ask it, or object, chase or take over as the law allows."""

    code = "not_holder"
    says = ("本件现由{holder}承办，请由该单位办理", "{holder} holds this matter now; only that unit may do this")
    rests_on = articles.ROUTE


class NotOpened(Refusal):
    """The leg was given to the unit, and its node has not opened it yet. It will, as soon as the directive is there."""

    code = "not_opened"
    says = (
        "本环节尚未开启，系统收到交办后会自动开启，请稍候",
        "the leg is not open yet; it opens when the directive arrives",
    )


class AwaitingReceipt(Refusal):
    """The leg was handed over and the receiver has not opened it: the sender answers, and can only wait or be told."""

    code = "awaiting_receipt"
    says = (
        "已转给{to}，对方接收前仍由本单位负责，请联系对方接收",
        "handed over to {to}, which has not received it; contact it",
    )


class CaseEnded(Refusal):
    """The matter is closed. Anything new is registered as a petition of its own."""

    code = "case_ended"
    says = ("本件已办结，新的诉求请另行登记", "the matter is closed; register anything new as a petition of its own")


class CaseWithdrawn(Refusal):
    """The petitioner withdrew. Close the matter as withdrawn."""

    code = "case_withdrawn"
    says = ("信访人已撤回，请按撤回办结", "the petitioner has withdrawn; close the matter as withdrawn")


class UpgradeNeeded(Refusal):
    """An event of a newer version stands in this leg. Upgrade the node; until then nothing is decided on it."""

    code = "upgrade_needed"
    says = (
        "本环节含有新版本的事件，请先升级本节点",
        "an event of a newer version stands in this leg; upgrade this node first",
    )


class NotHandledHere(Refusal):
    """What the petitioner says is written down where the case was registered or handled. Have it recorded there."""

    code = "not_handled_here"
    says = (
        "本件不在本节点登记或办理，请由{holder}记录",
        "the case was neither registered nor handled on this node; have {holder} record it",
    )


class NotRegistrar(Refusal):
    """Only the unit that registered the case corrects its registration. Ask it to."""

    code = "not_registrar"
    says = (
        "登记信息由登记单位{unit}更正，请联系该单位",
        "only {unit}, which registered it, corrects the registration; ask it",
    )


# --- what the citizen says ----------------------------------------------------------------------------------------


class ClaimRepeated(Refusal):
    """Two claims under one id. Give each its own."""

    code = "claim_repeated"
    says = ("诉求编号重复，请为每项诉求使用新的编号", "two claims have the same id; give each its own")
    about = "claims"


class ClaimUnknown(Refusal):
    """No such living claim in this case. Open the case again and take the claims shown there."""

    code = "claim_unknown"
    says = (
        "本件没有诉求{claim}或已取消，请重新打开事项",
        "claim {claim} is not a living claim of this case; open it again",
    )
    about = "claim"


class ClaimAnswered(Refusal):
    """The claim has been answered already. What is said now is a claim of its own."""

    code = "claim_answered"
    says = (
        "诉求{claim}已有答复，新的主张请作为新诉求提出",
        "claim {claim} is answered; raise what is new as a further claim",
    )
    about = "claim"


class LastClaim(Refusal):
    """A petition has at least one claim. Withdraw the petition instead."""

    code = "last_claim"
    says = ("这是最后一项诉求，不能取消；如不再主张，请撤回", "this is the last claim; withdraw the petition instead")
    about = "claim"


class RatedAlready(Refusal):
    """The petitioner has rated. A vote is given once and never overwritten."""

    code = "rated_already"
    says = ("已评价，评价不能更改", "the petitioner has rated already; a rating is never changed")
    rests_on = articles.EVALUATE


# --- custody ------------------------------------------------------------------------------------------------------


class HandOverToSelf(Refusal):
    """A unit cannot hand over to itself. Choose another, or handle the matter."""

    code = "hand_over_to_self"
    says = ("不能转给本单位，请另选单位或直接办理", "a unit cannot hand over to itself; choose another or handle it")
    about = "to"


class HandOverLateral(Refusal):
    """The unit is neither here nor above nor below. Send it up to the common superior, which sends it on."""

    code = "hand_over_lateral"
    says = (
        "{to}不在本级或上下级，请先报共同的上级转送",
        "{to} is neither here nor above nor below; send it up to the common superior, which sends it on",
    )
    rests_on = articles.ROUTE
    about = "to"


class AssignUpward(Refusal):
    """Nobody assigns a superior. Transfer the matter up without a report date."""

    code = "assign_upward"
    says = ("不能向上级交办，请改为转送", "a superior is not assigned; transfer the matter instead")
    rests_on = articles.REPORT
    about = "mode"


class ReportDateWrong(Refusal):
    """An assignment needs a report date: today or later and within the sender's own; a transfer has none."""

    code = "report_date_wrong"
    says = (
        "交办须写明报告日期（今日起，不晚于本单位的报告日期），转送不写",
        "an assignment needs a report date, from today and no later than your own; a transfer has none",
    )
    rests_on = articles.REPORT
    about = "report_by"


class ReportOwed(Refusal):
    """The matter was assigned with a report; passed on, it stays so. Assign it with a date instead."""

    code = "report_owed"
    says = (
        "本件为交办件，须以交办方式转下并写明报告日期",
        "a report is owed on this matter; pass it on by assigning it with a date",
    )
    rests_on = articles.REPORT
    about = "mode"


class MustFinish(Refusal):
    """The unit has accepted the matter and handles it. Only a superior may take it over."""

    code = "must_finish"
    says = (
        "已实体受理，应由本单位办结；确需变更请报上级收回",
        "you have accepted it and must handle it; only a superior may take it over",
    )
    rests_on = articles.CLASSES


class ObjectionImpossible(Refusal):
    """Only a matter transferred or assigned, not yet accepted, can be objected to, and no ruling of a superior."""

    code = "objection_impossible"
    says = (
        "只能对尚未受理、未经上级裁定的转送交办件提出异议，请继续办理",
        "only a transfer neither accepted nor ruled on can be objected to; handle the matter",
    )
    rests_on = articles.OBJECT


class ObjectionTooLate(Refusal):
    """Five working days from receipt have passed. The unit keeps the matter: accept it."""

    code = "objection_too_late"
    says = (
        "异议期限（收到之日起5个工作日）已过，请予受理",
        "the 5 working days for objecting have passed; accept the matter",
    )
    rests_on = articles.OBJECT


class ObjectionStands(Refusal):
    """An objection waits for its ruling; the unit keeps the matter meanwhile. Wait for the ruling or its lapse."""

    code = "objection_stands"
    says = (
        "异议尚待答复，其间仍由本单位负责，请等待答复",
        "an objection waits for its ruling; keep the matter until then",
    )
    rests_on = articles.OBJECT


class ObjectionUnknown(Refusal):
    """No such objection in this case. Open the case again."""

    code = "objection_unknown"
    says = ("本件没有该异议，请重新打开事项", "the case has no such objection; open the case again")
    about = "objection"


class ObjectionSettled(Refusal):
    """The objection was ruled on, or five working days of silence ended it: the receiver keeps the matter."""

    code = "objection_settled"
    says = (
        "该异议已裁定或已逾5个工作日失效，本件由接收单位继续办理",
        "the objection is ruled on or ended by silence; the receiver keeps it",
    )
    rests_on = articles.OBJECT
    about = "objection"


class ObjectionRuns(Refusal):
    """The time for ruling has not passed. Wait until its last day has ended: `until_us`, UTC microseconds."""

    code = "objection_runs"
    says = ("异议答复期限未到，请等待期满", "the time for ruling has not passed; wait until it has")
    rests_on = articles.OBJECT
    about = "objection"

    def __init__(self, until_us: int) -> None:
        super().__init__()
        self.until_us = until_us


class NotTheRuler(Refusal):
    """Not this unit's to rule: the sender does, and in a dispute the common superior. Wait for it."""

    code = "not_the_ruler"
    says = ("该异议由{ruler}答复，请等待", "{ruler} rules on this objection; wait for it")
    rests_on = articles.DISPUTE


class RulingHolderWrong(Refusal):
    """The holder named does not fit: a sender that agrees names none; a superior names a unit here or below."""

    code = "ruling_holder_wrong"
    says = (
        "裁定的承办单位不符：原转送单位同意即收回；上级裁定须指定本级或下级单位",
        "the holder does not fit: a sender that agrees takes it back; a superior names a unit here or below",
    )
    rests_on = articles.DISPUTE
    about = "holder"


class NotSuperior(Refusal):
    """Only a superior of the holder may do this. Pass it to one."""

    code = "not_superior"
    says = ("只有{unit}的上级才能办理，请报上级", "only a superior of {unit} may do this; pass it up")
    rests_on = articles.SUPERVISE


class DirectiveUnknown(Refusal):
    """This node knows no such directive. Wait until it has arrived."""

    code = "directive_unknown"
    says = ("本节点没有该指令，请等待送达", "no such directive here; wait until it has arrived")
    about = "directive"
