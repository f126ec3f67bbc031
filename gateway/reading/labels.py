"""The Chinese words for every code that events and commands carry; English comes from the catalog."""

from typing import Final

from gateway.catalog import N_

EVENTS: Final = {
    "case.registered.v0": N_("登记"),
    "case.corrected.v0": N_("更正登记"),
    "claim.amended.v0": N_("变更诉求"),
    "material.added.v0": N_("补充材料"),
    "case.withdrawn.v0": N_("撤回"),
    "case.rated.v0": N_("满意度评价"),
    "leg.opened.v0": N_("接收办理"),
    "leg.handed_over.v0": N_("转送或交办"),
    "leg.objected.v0": N_("管辖异议"),
    "objection.ruled.v0": N_("异议裁定"),
    "objection.lapsed.v0": N_("异议期满未答复"),
    "leg.taken_over.v0": N_("收回或提级办理"),
    "leg.ended.v0": N_("不再承办"),
    "leg.accepted.v0": N_("受理"),
    "leg.declined.v0": N_("不予受理"),
    "leg.extended.v0": N_("延期"),
    "opinion.issued.v0": N_("信访处理意见"),
    "leg.replied.v0": N_("答复"),
    "paper.served.v0": N_("送达"),
    "leg.reported.v0": N_("办结报告"),
    "leg.closed.v0": N_("办结"),
    "order.issued.v0": N_("督办"),
    "order.replied.v0": N_("督办回复"),
    "order.judged.v0": N_("督办审核"),
    "directive.answered.v0": N_("上级指令回执"),
    "key.granted.v0": N_("授予读取密钥"),
    "escrow.opened.v0": N_("托管密钥开启"),
    "escrow.founded.v0": N_("设立托管"),
    "sealed.read.v0": N_("查阅密封内容"),
    "sealed.item.v0": N_("密封件"),
    "erasure.ordered.v0": N_("申请删除个人信息"),
    "erasure.confirmed.v0": N_("确认删除个人信息"),
    "key.destroyed.v0": N_("密钥已销毁"),
    "node.opened.v0": N_("节点启用"),
    "node.enrolled.v0": N_("下级节点登记"),
    "node.key_rotated.v0": N_("更换签名密钥"),
    "node.key_revoked.v0": N_("收回下级密钥"),
    "node.moved.v0": N_("隶属关系变更"),
    "unit.opened.v0": N_("设立单位"),
    "node.heads.v0": N_("记录所知进度"),
    "log.shard_opened.v0": N_("续开日志分片"),
    "calendar.noticed.v0": N_("放假通知"),
}

COMMANDS: Final = {
    "register": N_("登记"),
    "correct_registration": N_("更正登记"),
    "amend_claim": N_("变更诉求"),
    "add_material": N_("补充材料"),
    "withdraw": N_("撤回（依信访人申请）"),
    "rate": N_("满意度评价"),
    "hand_over": N_("转送或交办"),
    "object": N_("提出管辖异议"),
    "rule_objection": N_("裁定异议"),
    "take_over": N_("收回或提级办理"),
    "accept": N_("受理"),
    "decline": N_("不予受理"),
    "extend": N_("延期"),
    "issue_opinion": N_("出具处理意见书"),
    "reply": N_("答复"),
    "serve": N_("登记送达"),
    "report": N_("报送办结报告"),
    "close": N_("办结"),
    "issue_order": N_("发出督办函"),
    "reply_order": N_("回复督办"),
    "judge_order": N_("审核督办回复"),
    "order_erasure": N_("申请删除个人信息"),
    "confirm_erasure": N_("确认删除个人信息"),
}

CHANNELS: Final = {
    "online": N_("网上"),
    "letter": N_("来信"),
    "visit": N_("来访"),
    "phone": N_("来电"),
    "fax": N_("传真"),
    "sms": N_("短信"),
    "mailbox": N_("领导信箱"),
    "hotline": N_("12345热线"),
}
MATTERS: Final = {
    "suggestion": N_("建议意见类"),
    "claim_litigation": N_("申诉求决类①（诉讼）"),
    "claim_arbitration": N_("申诉求决类②（仲裁）"),
    "claim_party_appeal": N_("申诉求决类③（党员申诉）"),
    "claim_admin_procedure": N_("申诉求决类④（行政程序）"),
    "claim_duty": N_("申诉求决类⑤（履行职责）"),
    "claim_petition": N_("申诉求决类⑥（信访程序）"),
}
OUTCOMES: Final = {"support": N_("支持"), "explain": N_("解释说明"), "reject": N_("不予支持")}
RATINGS: Final = {
    "satisfied": N_("满意"),
    "fairly_satisfied": N_("基本满意"),
    "dissatisfied": N_("不满意"),
}
METHODS: Final = {
    "in_person": N_("当面送达"),
    "registered_mail": N_("挂号邮寄"),
    "online": N_("网上送达"),
    "phone": N_("电话告知"),
    "sms": N_("短信告知"),
    "notice_board": N_("公告"),
}
ENDINGS: Final = {
    "opinion": N_("处理意见"),
    "simple_reply": N_("简单答复"),
    "imported": N_("导入法定程序"),
    "declined": N_("不予受理"),
    "agreement": N_("调解或和解协议"),
    "withdrawn": N_("信访人撤回"),
}
REPLIES: Final = {
    "adopted": N_("采纳"),
    "partly_adopted": N_("部分采纳"),
    "not_adopted": N_("未采纳"),
    "answered": N_("已答复"),
    "procedure_named": N_("已告知法定途径"),
}
TRIGGERS: Final = {
    "procedure_breached": N_("违反程序"),
    "shirking": N_("推诿"),
    "perfunctory": N_("敷衍"),
    "delay": N_("拖延"),
    "fraud": N_("弄虚作假"),
    "opinion_not_performed": N_("处理意见未执行"),
    "dissatisfied": N_("信访人不满意"),
}
GROUNDS: Final = {
    "pending_elsewhere": N_("其他机关正在受理办理"),
    "npc_or_judicial": N_("属人大、法院、检察院职权"),
    "other_procedure": N_("应通过其他法定途径解决"),
    "three_level_final": N_("已经复核终结"),
    "not_a_petition": N_("不属于信访事项"),
}
MODES: Final = {"transfer": N_("转送"), "assign_with_report": N_("交办（须报告结果）")}
OPENINGS: Final = MODES | {
    "registered": N_("首次登记"),
    "returned": N_("退回"),
    "ruled": N_("裁定"),
    "taken_over": N_("收回或提级"),
}
KINDS: Final = {"substantive": N_("实体性受理"), "procedural": N_("程序性受理（已转送）")}
CHANGES: Final = {"added": N_("增加"), "changed": N_("变更"), "dropped": N_("放弃")}
ERASURE_GROUNDS: Final = {
    "retention_ended": N_("保存期满"),
    "subject_request": N_("本人申请"),
    "recorded_in_error": N_("登记错误"),
}
EFFECTS: Final = {"applied": N_("已执行"), "overtaken": N_("情况已变化，未执行")}
ROLES: Final = {
    "citizen": N_("信访人"),
    "clerk": N_("登记员"),
    "handler": N_("承办人"),
    "leader": N_("负责人"),
    "supervisor": N_("督办员"),
    "auditor": N_("审计员"),
    "operator": N_("运维员"),
    "system": N_("系统"),
}
TIERS: Final = {"village": N_("村级"), "township": N_("乡级"), "county": N_("县级"), "city": N_("市级")}
STATUSES: Final = {
    "registered": N_("已登记"),
    "received": N_("已接收"),
    "handed_over": N_("已转出，待接收"),
    "disputed": N_("管辖异议中"),
    "accepted": N_("已受理"),
    "answered": N_("已答复"),
    "declined": N_("不予受理"),
    "withdrawn": N_("已撤回"),
    "closed": N_("已办结"),
}
CLAIM_STATES: Final = {
    "open": N_("待受理"),
    "accepted": N_("办理中"),
    "answered": N_("已答复"),
    "closed": N_("已办结"),
    "dropped": N_("已放弃"),
}
STAGES: Final = {
    "running": N_("期限内"),
    "due_soon": N_("临期"),
    "due": N_("今日到期"),
    "overdue": N_("已逾期"),
}
CATEGORIES: Final = {
    "010000": N_("城乡建设"),
    "020000": N_("农村农业"),
    "030000": N_("劳动和社会保障"),
    "040000": N_("教育文体"),
    "050000": N_("经济管理"),
    "060000": N_("卫生健康"),
    "070000": N_("民政救助"),
    "080000": N_("自然资源与环境"),
    "090000": N_("交通运输"),
    "100000": N_("政法"),
    "110000": N_("科技与信息"),
    "120000": N_("党务政务"),
    "990000": N_("其他"),
}
"""The top level of 内容分类, as `domain.plausible.TOP_CATEGORIES`; an office may use any six digits below."""
