"""The scripted day: a dozen invented cases that between them take every turn the spine knows."""

from collections.abc import Iterator
from datetime import date, datetime

from domain.commands import (
    Accept,
    AddMaterial,
    AmendClaim,
    AnswerClaim,
    Claim,
    Close,
    Decline,
    Extend,
    HandOver,
    IssueOpinion,
    IssueOrder,
    JudgeOrder,
    Object,
    Petitioner,
    Register,
    Reply,
    ReplyOrder,
    Report,
    RuleObjection,
    Serve,
    TakeOver,
    Withdraw,
)
from domain.divisions import Division
from domain.events import (
    CaseId,
    Channel,
    Declined,
    HandedOver,
    LegId,
    LegOpened,
    MatterClass,
    Objected,
    ObjectionRuled,
    OpinionIssued,
    OrderIssued,
    OrderReplied,
    OrderTrigger,
    Outcome,
    Rating,
    TakenOver,
)
from domain.events import Replied as RepliedEvent
from gateway.demo.story import (
    CHINA,
    DAY_US,
    HOUR_US,
    Act,
    Denounce,
    MixedLetter,
    RateByReceipt,
    Recorded,
    Story,
    claim_id,
)

CITY = Division("410200000000")
COUNTY = Division("410221000000")
WULIHE = Division("410221101000")
GEGANG = Division("410221105000")
WULIHE_VILLAGE = Division("410221101200")
YUHUANG_VILLAGE = Division("410221101202")
GEGANG_VILLAGE = Division("410221105200")


def office(division: Division) -> str:
    """The office every node has from its first day."""
    return f"{division}.office"


class Telling:
    """The small words the stories are told in: each returns the act of one person at one time."""

    def __init__(self, name: str, start_us: int) -> None:
        self.name = name
        self.start_us = start_us

    def at(self, days: float, hours: float = 0) -> int:
        """Simulated time so many days and hours after the story began."""
        return self.start_us + int(days * DAY_US + hours * HOUR_US)

    def day(self, days: float) -> date:
        """The date in China then."""
        return datetime.fromtimestamp(self.at(days) / 1_000_000, CHINA).date()

    def register(
        self,
        node: Division,
        matter_class: MatterClass,
        category: str,
        channel: Channel,
        name: str,
        title: str,
        body: str,
        claims: tuple[str, ...],
        persons: int = 1,
        phone: str | None = None,
        apart: Denounce | None = None,
    ) -> Act:
        """A clerk registers. apart: what the letter also says against an official."""
        command = Register(
            channel=channel,
            matter_class=matter_class,
            category=category,
            issue_region=node,
            received_on=self.day(0),
            person_count=persons,
            petitioner=Petitioner(name=name, phone=phone),
            title=title,
            body=body,
            claims=tuple(Claim(claim=claim_id(self.name, n), text=text) for n, text in enumerate(claims)),
        )
        return Act(self.at(0), node, "clerk", MixedLetter(command, apart) if apart else command)

    def hand_over(
        self, days: float, node: Division, case: CaseId, leg: LegId, to: Division, reason: str, report: float = 0
    ) -> Act:
        """A clerk transfers, or assigns with a report due after `report` days."""
        command = HandOver(
            case=case,
            leg=leg,
            to=office(to),
            mode="assign_with_report" if report else "transfer",
            report_by=self.day(report) if report else None,
            reason=reason,
        )
        return Act(self.at(days), node, "clerk", command)

    def answer(
        self, number: int, outcome: Outcome, law: str, text: str, performer: Division | None = None, by: float = 0
    ) -> AnswerClaim:
        """The answer to the n-th claim."""
        return AnswerClaim(
            claim=claim_id(self.name, number),
            outcome=outcome,
            law=law,
            text=text,
            performer=office(performer) if performer else None,
            perform_by=self.day(by) if performer else None,
        )

    def opinion(self, days: float, node: Division, case: CaseId, leg: LegId, facts: str, *answers: AnswerClaim) -> Act:
        """The handler issues the opinion."""
        return Act(self.at(days), node, "handler", IssueOpinion(case=case, leg=leg, facts=facts, answers=answers))

    def rate(self, days: float, node: Division, filed: Recorded, judged_office: Rating, judged_unit: Rating) -> Act:
        """The petitioner rates with what stands on the receipt."""
        rating = RateByReceipt(filed.receipt_code, filed.rating_code or "", judged_office, judged_unit)
        return Act(self.at(days), node, "citizen", rating)

    def order(self, days: float, case: CaseId, leg: LegId, trigger: OrderTrigger, by: float, demand: str) -> Act:
        """The county supervises."""
        command = IssueOrder(case=case, leg=leg, trigger=trigger, reply_by=self.day(by), demand=demand)
        return Act(self.at(days), COUNTY, "supervisor", command)


def greenhouse_grower(t: Telling) -> Story:
    """The grower lives far away: registered by phone, papers collected from afar, one extension, a lawful yes."""
    filed = yield t.register(
        WULIHE_VILLAGE, "claim_petition", "030100", "phone", "李保田", "温室大棚补贴多年未兑现",
        "本人二〇一九年在村里建温室大棚六座，验收合格，补贴一直没有发到。本人现在外地务工，无法到场，请电话联系。",
        ("请求兑现六座大棚的建设补贴",), phone="13900000001",
    )  # fmt: skip
    case = filed.of_case
    moved = yield t.hand_over(0.2, WULIHE_VILLAGE, case, filed.the(LegOpened).leg, WULIHE, "补贴由镇农业农村办公室核发")
    leg = moved.the(HandedOver).next_leg
    yield Act(t.at(2), WULIHE, "handler", Accept(case=case, leg=leg))
    yield Act(
        t.at(6),
        WULIHE_VILLAGE,
        "clerk",
        AddMaterial(case=case, note="电话记录：申请人补充了验收单编号和建设照片，邻居可以作证。"),
    )
    yield Act(
        t.at(40), WULIHE, "leader", Extend(case=case, leg=leg, days=20, reason="当年经办人已调离，需要向三个单位取证")
    )
    opinion = yield t.opinion(
        58, WULIHE, case, leg, "经查验收记录和会计凭证，六座大棚验收合格，补贴未拨付属实。",
        t.answer(0, "support", "《关于设施农业补贴的实施办法》第八条", "应予兑现，三十日内拨付。", WULIHE, 90),
    )  # fmt: skip
    paper = opinion.the(OpinionIssued).id
    yield Act(
        t.at(59), WULIHE, "clerk", Serve(case=case, leg=leg, paper=paper, method="registered_mail", served_on=t.day(59))
    )
    yield Act(t.at(59.5), WULIHE, "handler", Close(case=case, leg=leg, ending="opinion"))
    yield t.rate(63, WULIHE_VILLAGE, filed, "satisfied", "fairly_satisfied")


def demolition_dispute(t: Telling) -> Story:
    """The claim changes on the way; the county assigns with a report; each claim is answered in its own way."""
    filed = yield t.register(
        YUHUANG_VILLAGE, "claim_petition", "010200", "visit", "朱桂兰", "拆迁安置面积认定有误",
        "我家老宅拆迁时少算了偏房，安置面积对不上，找过拆迁办两次没有答复。",
        ("重新核定安置面积",),
    )  # fmt: skip
    case, first = filed.of_case, filed.the(LegOpened).leg
    up = yield t.hand_over(1, YUHUANG_VILLAGE, case, first, COUNTY, "涉及县级征收项目")
    down = yield t.hand_over(
        3, COUNTY, case, up.the(HandedOver).next_leg, WULIHE, "由属地镇政府办理并报结果", report=50
    )
    leg = down.the(HandedOver).next_leg
    yield Act(t.at(5), WULIHE, "handler", Accept(case=case, leg=leg))
    yield Act(
        t.at(20),
        YUHUANG_VILLAGE,
        "clerk",
        AmendClaim(case=case, claim=claim_id(t.name, 1), change="added", text="要求支付过渡期安置费"),
    )
    yield Act(t.at(21), WULIHE, "handler", Accept(case=case, leg=leg))
    opinion = yield t.opinion(
        45, WULIHE, case, leg, "经复核测绘底图，偏房二十二平方米应计入；过渡费已按期发至二〇二五年十二月。",
        t.answer(0, "support", "《国有土地上房屋征收与补偿条例》第二十条", "补计二十二平方米。", WULIHE, 80),
        t.answer(1, "explain", "征收补偿方案第六条", "过渡期已满，超过部分现行方案没有规定，已列入政策完善建议。"),
    )  # fmt: skip
    yield Act(
        t.at(46),
        WULIHE,
        "clerk",
        Serve(case=case, leg=leg, paper=opinion.the(OpinionIssued).id, method="in_person", served_on=t.day(46)),
    )
    yield Act(t.at(47), WULIHE, "handler", Report(case=case, leg=leg, text="已核定并送达，申请人当面签收。"))
    yield Act(t.at(47.2), WULIHE, "handler", Close(case=case, leg=leg, ending="opinion"))


def water_supply_quarrel(t: Telling) -> Story:
    """A neighbour quarrel over water, settled at the township and promised with a date."""
    filed = yield t.register(
        GEGANG_VILLAGE, "claim_petition", "010500", "visit", "", "村东片自来水晚间断供",
        "村东二十几户每天晚上七点以后没水，和西片为了抢水吵过几次。",
        ("恢复晚间供水", "公布供水时间表"), persons=23,
    )  # fmt: skip
    moved = yield t.hand_over(0.1, GEGANG_VILLAGE, filed.of_case, filed.the(LegOpened).leg, GEGANG, "供水站由镇管理")
    leg = moved.the(HandedOver).next_leg
    yield Act(t.at(1), GEGANG, "handler", Accept(case=filed.of_case, leg=leg))
    opinion = yield t.opinion(
        9, GEGANG, filed.of_case, leg, "加压泵定时设置错误，且未公布供水安排。",
        t.answer(0, "support", "《城市供水条例》第二十二条", "已更换控制器，恢复全天供水。", GEGANG, 12),
        t.answer(1, "support", "《政府信息公开条例》第二十条", "供水安排在村务公开栏公布。", GEGANG, 15),
    )  # fmt: skip
    yield Act(
        t.at(10),
        GEGANG,
        "clerk",
        Serve(
            case=filed.of_case, leg=leg, paper=opinion.the(OpinionIssued).id, method="notice_board", served_on=t.day(10)
        ),
    )
    yield Act(t.at(10.5), GEGANG, "handler", Close(case=filed.of_case, leg=leg, ending="opinion"))
    yield t.rate(12, GEGANG_VILLAGE, filed, "satisfied", "satisfied")


def wage_arrears(t: Telling) -> Story:
    """Workers at the township's window: the labour inspectorate's duty, so a reply and no opinion."""
    filed = yield t.register(
        GEGANG, "claim_duty", "050100", "visit", "王建军", "工地拖欠十二人工资",
        "镇上安置楼工地欠十二个人两个月工资，包工头联系不上。", ("责令支付拖欠工资",), persons=12, phone="13900000002",
    )  # fmt: skip
    leg = filed.the(LegOpened).leg
    yield Act(t.at(0.3), GEGANG, "handler", Accept(case=filed.of_case, leg=leg))
    reply = yield Act(
        t.at(8),
        GEGANG,
        "handler",
        Reply(
            case=filed.of_case,
            leg=leg,
            result="answered",
            text="劳动监察已立案，总包单位从工资保证金中垫付，十二人已全部领到。",
        ),
    )
    yield Act(
        t.at(8.2),
        GEGANG,
        "clerk",
        Serve(case=filed.of_case, leg=leg, paper=reply.the(RepliedEvent).id, method="phone", served_on=t.day(8)),
    )
    yield Act(t.at(8.4), GEGANG, "handler", Close(case=filed.of_case, leg=leg, ending="simple_reply"))
    yield t.rate(9, GEGANG, filed, "satisfied", "satisfied")


def bus_stop_suggestion(t: Telling) -> Story:
    """A suggestion filed online at the county, adopted with a reply."""
    filed = yield t.register(
        COUNTY, "suggestion", "040300", "online", "赵明", "建议在县医院南门增设公交站",
        "老人看病要从北门绕行八百米，建议在南门设站。", ("在县医院南门增设公交站",),
    )  # fmt: skip
    leg = filed.the(LegOpened).leg
    yield Act(t.at(1), COUNTY, "handler", Accept(case=filed.of_case, leg=leg))
    reply = yield Act(
        t.at(12),
        COUNTY,
        "handler",
        Reply(case=filed.of_case, leg=leg, result="adopted", text="已列入本季度站点调整计划，五月底前启用。"),
    )
    yield Act(
        t.at(12.1),
        COUNTY,
        "clerk",
        Serve(case=filed.of_case, leg=leg, paper=reply.the(RepliedEvent).id, method="online", served_on=t.day(12)),
    )
    yield Act(t.at(12.2), COUNTY, "handler", Close(case=filed.of_case, leg=leg, ending="simple_reply"))


def denounced_official(t: Telling) -> Story:
    """A denunciation of a village official, filed at the county, sealed as it is typed."""
    yield Act(
        t.at(0),
        COUNTY,
        "clerk",
        Denounce(office(YUHUANG_VILLAGE), "反映该村负责人将集体机动地低价包给亲属，附三份合同复印件。"),
    )


def mixed_letter(t: Telling) -> Story:
    """One letter, two matters: the road goes the open way, the accusation is sealed at once."""
    filed = yield t.register(
        GEGANG_VILLAGE, "claim_petition", "010300", "letter", "孙玉梅", "村西生产路塌陷",
        "村西生产路塌陷，拖拉机翻过一次，要求修复。", ("修复村西生产路",),
        apart=Denounce(office(GEGANG_VILLAGE), "来信后半部分反映修路款被截留。"),
    )  # fmt: skip
    moved = yield t.hand_over(0.5, GEGANG_VILLAGE, filed.of_case, filed.the(LegOpened).leg, GEGANG, "道路养护由镇负责")
    yield Act(t.at(3), GEGANG, "handler", Accept(case=filed.of_case, leg=moved.the(HandedOver).next_leg))


def pending_lawsuit(t: Telling) -> Story:
    """A matter before the court: the person is told the legal way, with a paper."""
    filed = yield t.register(
        WULIHE, "claim_litigation", "090200", "letter", "周海", "对宅基地判决不服",
        "法院判邻居占我家滴水不用拆，我不服。", ("改判",),
    )  # fmt: skip
    leg = filed.the(LegOpened).leg
    reply = yield Act(
        t.at(2),
        WULIHE,
        "handler",
        Reply(
            case=filed.of_case,
            leg=leg,
            result="procedure_named",
            text="该事项在上诉期内，请于三月二十日前向开封市中级人民法院上诉，可申请法律援助。",
        ),
    )
    yield Act(
        t.at(3),
        WULIHE,
        "clerk",
        Serve(
            case=filed.of_case, leg=leg, paper=reply.the(RepliedEvent).id, method="registered_mail", served_on=t.day(3)
        ),
    )
    yield Act(t.at(3.2), WULIHE, "handler", Close(case=filed.of_case, leg=leg, ending="imported"))


def agreed_objection(t: Telling) -> Story:
    """The wrong township objects in time, the county agrees, takes it back and sends it where it belongs."""
    filed = yield t.register(
        COUNTY, "claim_petition", "020100", "hotline", "钱素芳", "养殖场夜间臭气",
        "五里河一带夜里臭气重，关窗都不行。", ("责令养殖场治理臭气",),
    )  # fmt: skip
    case = filed.of_case
    wrong = yield t.hand_over(1, COUNTY, case, filed.the(LegOpened).leg, GEGANG, "按来电人住址转送")
    objected = yield Act(
        t.at(3),
        GEGANG,
        "handler",
        Object(
            case=case,
            leg=wrong.the(HandedOver).next_leg,
            proposed=office(WULIHE),
            reason="养殖场位于五里河镇，不在本镇辖区，附地图。",
        ),
    )
    ruled = yield Act(
        t.at(5),
        COUNTY,
        "handler",
        RuleObjection(case=case, objection=objected.the(Objected).id, agreed=True, reason="经核属实，同意退回。"),
    )
    right = yield t.hand_over(5.2, COUNTY, case, _given(ruled.the(ObjectionRuled).next_leg), WULIHE, "养殖场所在地")
    yield Act(t.at(7), WULIHE, "handler", Accept(case=case, leg=right.the(HandedOver).next_leg))


def _given(leg: LegId | None) -> LegId:
    if leg is None:
        raise LookupError("the ruling gave the matter to nobody")
    return leg


def refused_objection(t: Telling) -> Story:
    """The objection is refused: the township that has it keeps it, and goes on."""
    filed = yield t.register(
        YUHUANG_VILLAGE, "claim_petition", "030200", "visit", "刘根生", "承包地确权面积不符",
        "确权证上少了一亩二分地。", ("更正确权面积",),
    )  # fmt: skip
    case = filed.of_case
    up = yield t.hand_over(0.5, YUHUANG_VILLAGE, case, filed.the(LegOpened).leg, COUNTY, "确权登记由县办理")
    down = yield t.hand_over(2, COUNTY, case, up.the(HandedOver).next_leg, WULIHE, "由镇先行核实", report=40)
    leg = down.the(HandedOver).next_leg
    objected = yield Act(t.at(4), WULIHE, "handler", Object(case=case, leg=leg, reason="测绘单位由县里委托。"))
    yield Act(
        t.at(6),
        COUNTY,
        "handler",
        RuleObjection(
            case=case, objection=objected.the(Objected).id, agreed=False, reason="核实属镇职责，测绘问题由县配合。"
        ),
    )
    yield Act(t.at(8), WULIHE, "handler", Accept(case=case, leg=leg))


def supervised_delay(t: Telling) -> Story:
    """A slow handler gets a supervision order with its own clock, answers it, and the answer is taken."""
    filed = yield t.register(
        WULIHE_VILLAGE, "claim_petition", "010400", "mailbox", "陈秀英", "低保复核长期没有结果",
        "去年十月申请低保复核，至今没有结果。", ("告知低保复核结果",), phone="13900000003",
    )  # fmt: skip
    case = filed.of_case
    moved = yield t.hand_over(0.2, WULIHE_VILLAGE, case, filed.the(LegOpened).leg, WULIHE, "民政事项")
    leg = moved.the(HandedOver).next_leg
    yield Act(t.at(10), WULIHE, "handler", Accept(case=case, leg=leg))
    order = yield t.order(50, case, leg, "delay", 57, "距办结期限不足二十日仍无进展，请说明原因并报办理计划。")
    the_order = order.the(OrderIssued).order
    replied = yield Act(
        t.at(54), WULIHE, "handler", ReplyOrder(case=case, order=the_order, text="入户调查已完成，本周上会评议。")
    )
    yield Act(
        t.at(56),
        COUNTY,
        "supervisor",
        JudgeOrder(case=case, order=the_order, accepted=bool(replied.the(OrderReplied)), comment="同意，按计划办结。"),
    )


def unanswered_order(t: Telling) -> Story:
    """An order nobody has answered yet: it stands on the board."""
    filed = yield t.register(
        GEGANG_VILLAGE, "claim_petition", "010400", "letter", "吴满仓", "危房改造名单没有公示",
        "今年危房改造名单没有公示，我家漏雨三年没有排上。", ("公示名单", "核查我家住房"),
    )  # fmt: skip
    moved = yield t.hand_over(1, GEGANG_VILLAGE, filed.of_case, filed.the(LegOpened).leg, GEGANG, "住建事项")
    leg = moved.the(HandedOver).next_leg
    yield Act(t.at(14), GEGANG, "handler", Accept(case=filed.of_case, leg=leg))
    yield t.order(62, filed.of_case, leg, "perfunctory", 66, "请说明名单未公示的原因。")


def withdrawn_matter(t: Telling) -> Story:
    """Settled between neighbours; the petitioner takes the matter back, the file stays."""
    filed = yield t.register(
        WULIHE_VILLAGE, "claim_petition", "020200", "visit", "郑二喜", "邻居排水冲毁菜地",
        "邻居家排水管对着我家菜地。", ("请村里调解",),
    )  # fmt: skip
    leg = filed.the(LegOpened).leg
    yield Act(t.at(1), WULIHE_VILLAGE, "clerk", Withdraw(case=filed.of_case, reason="邻居已改道排水，不再要求处理。"))
    yield Act(t.at(1.5), WULIHE_VILLAGE, "handler", Close(case=filed.of_case, leg=leg, ending="withdrawn"))


def taken_over(t: Telling) -> Story:
    """A township stays silent; the county takes the leg over and handles it itself."""
    filed = yield t.register(
        GEGANG_VILLAGE, "claim_petition", "060100", "online", "冯小燕", "学校门口无减速带",
        "镇小学门口大车多，没有减速带。", ("设置减速带",),
    )  # fmt: skip
    moved = yield t.hand_over(0.3, GEGANG_VILLAGE, filed.of_case, filed.the(LegOpened).leg, GEGANG, "道路设施")
    taken = yield Act(
        t.at(30),
        COUNTY,
        "leader",
        TakeOver(
            case=filed.of_case, leg=moved.the(HandedOver).next_leg, unit=office(COUNTY), reason="逾期未受理，提级办理。"
        ),
    )
    yield Act(t.at(32), COUNTY, "handler", Accept(case=filed.of_case, leg=taken.the(TakenOver).next_leg))


def pending_elsewhere(t: Telling) -> Story:
    """The same matter is being handled and within time: declined on paper, with the article."""
    filed = yield t.register(
        WULIHE, "claim_petition", "010200", "visit", "朱桂兰", "再次反映拆迁安置面积",
        "同一问题已由县里交办，仍想在镇里再登记一次。", ("重新核定安置面积",),
    )  # fmt: skip
    leg = filed.the(LegOpened).leg
    declined = yield Act(
        t.at(2),
        WULIHE,
        "handler",
        Decline(
            case=filed.of_case,
            leg=leg,
            ground="pending_elsewhere",
            right_organ="五里河镇人民政府（原件办理中）",
            reason="同一事项正在办理且未超期，请等待原件答复。",
        ),
    )
    yield Act(
        t.at(2.2),
        WULIHE,
        "clerk",
        Serve(case=filed.of_case, leg=leg, paper=declined.the(Declined).id, method="in_person", served_on=t.day(2)),
    )
    yield Act(t.at(2.4), WULIHE, "handler", Close(case=filed.of_case, leg=leg, ending="declined"))


STORIES = (
    greenhouse_grower, demolition_dispute, water_supply_quarrel, wage_arrears, bus_stop_suggestion,
    denounced_official, mixed_letter, pending_lawsuit, agreed_objection, refused_objection, supervised_delay,
    unanswered_order, withdrawn_matter, taken_over, pending_elsewhere,
)  # fmt: skip


def stories(start_us: int) -> Iterator[tuple[str, int, Story]]:
    """Name, first moment and telling of every story; each begins a little after the one before."""
    for number, tell in enumerate(STORIES):
        begin = start_us + number * 17 * 60 * 1_000_000
        yield tell.__name__, begin, tell(Telling(tell.__name__, begin))
