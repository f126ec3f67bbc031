"""What the rules of handling refuse: papers out of turn, claims left out, endings that the law does not know."""

from domain import articles
from domain.refusals import Refusal


class AcceptedAlready(Refusal):
    """Nothing is left to accept or decline. Go on to the opinion or reply."""

    code = "accepted_already"
    says = ("各项诉求均已受理或答复，请继续办理", "every claim is accepted or answered already; go on handling")
    rests_on = articles.ACCEPT


class NotAccepted(Refusal):
    """A claim has not been accepted. Accept or decline it first."""

    code = "not_accepted"
    says = ("尚有诉求未受理，请先受理或作出不予受理告知", "a claim is not accepted yet; accept or decline it first")
    rests_on = articles.ACCEPT


class ExtensionUsed(Refusal):
    """Every running claim was extended once or is answered. Finish within the limit."""

    code = "extension_used"
    says = (
        "没有可延期的诉求，每项只能延期一次，请按期办结",
        "no claim is left to extend, each only once; finish in time",
    )
    rests_on = articles.PERIOD


class ExtensionTooLong(Refusal):
    """At most 30 days. Choose fewer."""

    code = "extension_too_long"
    says = ("延期天数须为1至30日，请更正", "an extension is 1 to 30 days; correct it")
    rests_on = articles.PERIOD
    about = "days"


class ExtensionTooLate(Refusal):
    """The limit has passed; what is overdue is not extended. Issue the opinion."""

    code = "extension_too_late"
    says = (
        "办理期限已过，不能延期，请尽快出具处理意见",
        "the limit has passed and cannot be extended; issue the opinion",
    )
    rests_on = articles.PERIOD


class PaperNotLawful(Refusal):
    """The class of the matter does not end in this paper. Use the one that the law gives it."""

    code = "paper_not_lawful"
    says = ("该类事项不适用此文书，请使用：{zh}", "this class of matter does not end in this paper; use: {en}")
    rests_on = articles.CLASSES


class NotSimple(Refusal):
    """Assigned by a superior, or signed by five or more: no simple procedure. Issue an opinion."""

    code = "not_simple"
    says = (
        "上级交办或多人联名事项不适用简易办理，请出具处理意见书",
        "assigned or collective matters are not simple; issue an opinion",
    )
    rests_on = articles.SIMPLE


class ClaimUnanswered(Refusal):
    """A living claim is left without an answer. Answer each one."""

    code = "claim_unanswered"
    says = ("诉求{claim}未答复，请逐项答复", "claim {claim} is left unanswered; answer every one")
    rests_on = articles.OPINION
    about = "answers"


class PerformanceMissing(Refusal):
    """A supporting answer promises something: it says who performs it by when, not before today. Add both."""

    code = "performance_missing"
    says = (
        "支持诉求{claim}须写明执行单位和期限，期限不早于今日，请补充",
        "support of claim {claim} needs a performer and a date from today on; add both",
    )
    rests_on = articles.OPINION
    about = "answers"


class PaperUnknown(Refusal):
    """No such paper of this leg. Open the case again."""

    code = "paper_unknown"
    says = ("本环节没有该文书，请重新打开事项", "this leg has no such paper; open the case again")
    about = "paper"


class ServedAlready(Refusal):
    """The paper was served before; what the law counts from service runs from then. Nothing is left to do."""

    code = "served_already"
    says = ("该文书已送达，以首次送达为准", "the paper was served already; the first service counts")
    about = "paper"


class ServiceDateWrong(Refusal):
    """A paper is served between its own date and today. Correct the date."""

    code = "service_date_wrong"
    says = (
        "送达日期应在文书日期与今日之间，请更正",
        "a paper is served between its own date and today; correct the date",
    )
    about = "served_on"


class ServiceMissing(Refusal):
    """A paper that the petitioner must receive has not been served. Serve it, then go on."""

    code = "service_missing"
    says = ("文书尚未送达信访人，请先送达", "the petitioner has not been served the paper; serve it first")
    rests_on = articles.OPINION


class ReportNotAsked(Refusal):
    """The matter was not assigned with a report. Close it."""

    code = "report_not_asked"
    says = ("本件未要求报送办结报告，请直接办结", "no report was asked for; close the matter")
    rests_on = articles.REPORT


class ReportGiven(Refusal):
    """The report has been given. Close the matter."""

    code = "report_given"
    says = ("办结报告已报送，请办结", "the report has been given; close the matter")
    rests_on = articles.REPORT


class ReportMissing(Refusal):
    """The assigner is owed a report. Report, then close."""

    code = "report_missing"
    says = ("本件为交办件，请先报送办结报告再办结", "a report is owed to the assigner; report, then close")
    rests_on = articles.REPORT


class EndingUnlawful(Refusal):
    """The law does not know this ending for what has been done. Choose the one named."""

    code = "ending_unlawful"
    says = ("不能以此方式办结；目前可用：{zh}", "this ending is not lawful here; possible now: {en}")
    rests_on = articles.CLASSES
    about = "ending"
