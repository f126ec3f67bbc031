"""What an audit can find: a stable code for each, how grave it is, what it means, and what to do about it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

Severity = Literal["notice", "unlawful", "tampered"]
"""notice: worth knowing, the history is sound. unlawful: history stands, but somebody wrote or kept what the rules do
not allow. tampered: the bytes contradict what was signed, or something is missing that must be there."""

SHOWN_OF_A_KIND: Final = 20
"""So many findings of one code and one log are told one by one; the rest is counted."""

KINDS_COUNTED: Final = 10_000
"""So many pairs of code and log are counted apart; names of logs are a foreign hand's."""

DETAIL_CHARS: Final = 300


class Meaning(msgspec.Struct, frozen=True):
    """What a code says: of it in Chinese and English, and what to do next in both."""

    severity: Severity
    zh: str
    en: str
    to_do_zh: str
    to_do_en: str


class Finding(msgspec.Struct, frozen=True):
    """One thing found. log: origin of the log it is in, '' for the bundle as a whole. index: the first bad 0-based leaf
    (or line, for the bundle's own lists), null where it is about none. detail: what exactly, harmless to display.
    """

    code: str
    severity: Severity
    log: str
    index: int | None
    detail: str

    @property
    def meaning(self) -> Meaning:
        """What it means and what to do."""
        return MEANINGS[self.code]


class Findings:
    """What was found so far: a bounded list, however much is wrong, and the number of each kind."""

    def __init__(self) -> None:
        self._told: list[Finding] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, code: str, log: str = "", index: int | None = None, detail: str = "") -> None:
        """Note a finding; `detail` may hold anything that a foreign hand wrote."""
        if (code, log) not in self.counts and len(self.counts) >= KINDS_COUNTED:
            log = ""
        self.counts[code, log] += 1
        if self.counts[code, log] <= SHOWN_OF_A_KIND:
            self._told.append(Finding(code, MEANINGS[code].severity, harmless(log), index, harmless(detail)))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._told)

    def untold(self) -> dict[tuple[str, str], int]:
        """How many more there are of a code in a log than are told one by one."""
        return {key: count - SHOWN_OF_A_KIND for key, count in self.counts.items() if count > SHOWN_OF_A_KIND}


def harmless(text: str) -> str:
    """The text as a terminal can show it: no control, escape or direction character acts, and it is not endless."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[: DETAIL_CHARS + 1])
    return shown if len(shown) <= DETAIL_CHARS else shown[: DETAIL_CHARS - 1] + "…"


_ASK = ("请向出具单位重新索取，并与纸面清单核对", "ask the office that made the bundle for it again and compare")
_KEEP = (
    "请原样保存本证据包，交上一级和独立审计机关",
    "keep this bundle as it is and hand it to the tier above and to the independent audit office",
)
_COMPARE = (
    "请取上级或同级的证据包一并核验，找出哪一方不实",
    "verify it together with the bundle of the tier above or beside it: that shows who is not telling the truth",
)
_OFFICE = ("请要求该单位书面说明", "ask that office for a written explanation")
_NOTHING = ("无需处理", "nothing needs to be done")

MEANINGS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        # the files of the bundle
        "file_missing": Meaning("tampered", "清单所列文件缺失", "a file that the manifest lists is missing", *_ASK),
        "file_extra": Meaning("tampered", "有清单之外的文件", "there is a file that the manifest does not list", *_ASK),
        "file_altered": Meaning("tampered", "文件内容与清单不符", "a file is not what the manifest says of it", *_ASK),
        "file_unreadable": Meaning("tampered", "文件内容无法解读", "a file of the bundle cannot be understood", *_ASK),
        "manifest_unsigned": Meaning(
            "tampered",
            "清单没有出具节点的有效签名",
            "the manifest is not signed by the node that it names",
            *_ASK,
        ),
        "made_earlier": Meaning(
            "tampered",
            "证据包自称的制作时间早于其中内容",
            "the bundle says that it was made before the newest that it holds",
            *_ASK,
        ),
        "scope_false": Meaning(
            "tampered",
            "清单称只含一个节点的日志，包内却另有他人日志",
            "the manifest says that it holds one node's log alone, and another's is in it as a whole",
            *_ASK,
        ),
        # trust
        "root_not_pinned": Meaning(
            "notice",
            "未指定根证书指纹：只能证明证据包自身一致，不能证明出自谁",
            "no root was pinned: the bundle is judged by the root that it brings along itself",
            "请从公开渠道取得根证书指纹，用 --root 指定",
            "get the fingerprint of the root by another way and give it with --root",
        ),
        "root_other": Meaning(
            "tampered",
            "证据包所依的根证书不是审计人指定的根",
            "the bundle rests on another root than the auditor pinned",
            *_KEEP,
        ),
        "certificate_refused": Meaning(
            "tampered",
            "有证书不能追溯到根",
            "a certificate does not lead to the root",
            *_KEEP,
        ),
        "certificate_left_out": Meaning(
            "tampered",
            "日志中登记的证书或收回决定不在证书清单内",
            "a certificate, or the end of one, that a superior has logged is not among the certificates",
            *_COMPARE,
        ),
        "policy_unreadable": Meaning("tampered", "信任策略无法解读", "the policy of a log cannot be understood", *_ASK),
        "policy_weak": Meaning(
            "tampered",
            "信任策略弱于证书链的要求（不经上级会签也算数）",
            "the policy asks for less than the certificates do: no superior would have to cosign",
            *_KEEP,
        ),
        "policy_outdated": Meaning(
            "tampered",
            "证据包出示的策略早于审计人所知的签名策略",
            "the policy in the bundle is older than the signed one that the auditor knows",
            *_KEEP,
        ),
        "policy_key": Meaning(
            "tampered",
            "信任策略中的日志密钥没有证书",
            "the policy names a key of the log that nobody has certified",
            *_KEEP,
        ),
        "witness_not_pinned": Meaning(
            "notice",
            "根节点的外部见证密钥只见于证据包自身",
            "the key of the root's outside witness is known from the bundle alone",
            "请从审计机关取得见证公钥或策略文件，用 --policy 指定",
            "get the policy, or the key, from the audit office itself and give it with --policy",
        ),
        "clock_simulated": Meaning(
            "notice",
            "日志自称演示时钟：一切时间均为模拟",
            "the log says that its clock is a demonstration's: all its times are simulated",
            "只有在演示时才用 --accept-simulated-clock，届时不核验时间先后",
            "for a demonstration, and for nothing else, give --accept-simulated-clock: then its times are not judged",
        ),
        "log_uncertified": Meaning(
            "tampered", "日志没有证书，不知出自谁", "nobody has certified whose log this is", *_KEEP
        ),
        # heads
        "signature_false": Meaning(
            "tampered", "检查点上的签名不对", "a signature on a checkpoint does not verify", *_KEEP
        ),
        "head_unsigned": Meaning(
            "tampered",
            "检查点没有日志自身的签名",
            "a checkpoint lacks the signature of its log",
            *_KEEP,
        ),
        "head_by_old_key": Meaning(
            "tampered",
            "检查点由已收回或已更换的密钥签署，且超出其有效范围",
            "a checkpoint is signed by a key that was taken back, or followed by another, before this size",
            *_KEEP,
        ),
        "head_missing": Meaning(
            "tampered",
            "日志没有覆盖其全部条目的签名检查点",
            "no signed checkpoint covers the last leaves of the log",
            *_ASK,
        ),
        "head_order": Meaning(
            "tampered", "检查点未按大小排列或重复", "checkpoints are not in order, or come twice", *_ASK
        ),
        "quorum_missing": Meaning(
            "tampered",
            "没有一个检查点经规定的见证会签",
            "no checkpoint of the log was cosigned as its policy demands",
            *_COMPARE,
        ),
        "newest_not_cosigned": Meaning(
            "tampered",
            "对外公布的检查点缺少规定的会签",
            "the checkpoint that the folder shows as its newest lacks the cosignatures that the policy demands",
            *_COMPARE,
        ),
        "not_yet_cosigned": Meaning(
            "notice",
            "末尾若干条尚未会签：仅已记录，尚未保全",
            "the last leaves are not cosigned yet: recorded, and not yet secured",
            "请待会签后再取一份",
            "take another bundle once they are",
        ),
        "root_mismatch": Meaning(
            "tampered",
            "按条目重算的树根与签名检查点不符：此前有条目被增、删、改或换序",
            "the root recomputed from the leaves is not the signed one: before it a leaf was added, removed, edited "
            "or moved",
            *_KEEP,
        ),
        "tile_mismatch": Meaning(
            "tampered",
            "条目与其哈希分片不符",
            "a leaf is not what the hash tile beside it says",
            *_KEEP,
        ),
        "expired": Meaning(
            "tampered",
            "检查点会签时签名单位的证书不在有效期",
            "the author's certificate was not valid when this checkpoint was cosigned",
            *_KEEP,
        ),
        # leaves
        "not_canonical": Meaning(
            "unlawful",
            "条目不是规范写法的事件，或越权代他人发言：视为无效力",
            "a leaf is no event in its one spelling, or speaks for somebody else: it has no effect",
            *_OFFICE,
        ),
        "unknown_type": Meaning(
            "notice",
            "较新版本的事件：已核验其存在，内容未核验",
            "an event of a newer version: its place is proven, its meaning was not checked",
            "请用新版程序再核验一次",
            "verify once more with a newer program",
        ),
        "recorded_backwards": Meaning(
            "unlawful",
            "记录时间早于同一日志的前一条：时间被改动",
            "it says that it was recorded before the leaf in front of it: its time is false",
            *_OFFICE,
        ),
        "backdated": Meaning(
            "unlawful",
            "记录时间早于此前会签的时刻：事后补记而倒填时间（或曾长时间滞留途中）",
            "it says that it was recorded before a moment at which a witness saw the log without it: dated back, or "
            "held back for long on its way",
            *_OFFICE,
        ),
        "postdated": Meaning(
            "unlawful",
            "记录时间晚于见证会签的时刻：时间被填迟",
            "it says that it was recorded after a witness had seen it: dated forward",
            *_OFFICE,
        ),
        "claimed_earlier": Meaning(
            "notice",
            "所称发生时间早于此前会签：未经证明，仅供参考",
            "it is said to have happened before the last cosignature: a claim, not proven",
            *_NOTHING,
        ),
        "version_gap": Meaning(
            "tampered",
            "同一流的版本号有缺：有事件被抽去",
            "a version of the stream is missing: an event was taken out",
            *_KEEP,
        ),
        "version_twice": Meaning(
            "unlawful",
            "同一流的同一版本写了两次",
            "one version of the stream was written twice",
            *_OFFICE,
        ),
        "version_order": Meaning(
            "tampered", "同一流的事件换了次序", "events of the stream stand in another order than they count", *_KEEP
        ),
        "two_writers": Meaning(
            "unlawful",
            "同一流有两个单位在写",
            "two nodes write one stream",
            *_OFFICE,
        ),
        # what was learned in which order
        "order_broken": Meaning(
            "tampered",
            "获知次序与日志不符：有条目漏列、重列或换序",
            "the order in which the node learned things does not list every leaf once and in turn",
            *_ASK,
        ),
        "effect_before_cause": Meaning(
            "tampered",
            "结果先于起因被获知",
            "an event was learned before the one that caused it",
            *_KEEP,
        ),
        "enclosure_unproven": Meaning(
            "tampered",
            "上级下发条目的存在证明不成立",
            "a leaf that came from above is not proven to stand in its log",
            *_KEEP,
        ),
        # tiers
        "noted_otherwise": Meaning(
            "tampered",
            "某节点登记过的另一日志的树根与本包不符：同一日志出示了两种历史",
            "a head that a node has noted is not that of this log: two histories of it were shown",
            *_COMPARE,
        ),
        "noted_unknown": Meaning(
            "unlawful",
            "某节点登记了无人颁证的日志：证书被抽去，或登记不实",
            "a node has noted a log that nobody has certified: its certificate was left out, or the note is false",
            *_COMPARE,
        ),
        "log_cut": Meaning(
            "tampered",
            "某节点登记或会签过更长的日志：本包止于旧检查点",
            "a node has noted or cosigned more of this log than the bundle shows: it was frozen at an old checkpoint",
            *_COMPARE,
        ),
        "log_hidden": Meaning(
            "tampered",
            "包内有事件或登记提到的下级日志整体缺失",
            "a log below, which events or notes in the bundle name, is not in it at all",
            *_COMPARE,
        ),
        "silent_below": Meaning(
            "notice",
            "下级节点已登记但尚无任何条目",
            "a node below is enrolled and nothing of it has come yet",
            *_NOTHING,
        ),
        "split_view": Meaning(
            "tampered",
            "两个证据包对同一日志的记载不同",
            "two bundles tell different histories of one log",
            *_KEEP,
        ),
        "fork": Meaning(
            "tampered",
            "作者签署过两种互相矛盾的历史（证据在故障记录中）",
            "the author has signed two histories that contradict each other; the evidence is among the faults",
            *_KEEP,
        ),
        "lie_proven": Meaning(
            "tampered",
            "故障记录中的证据证实有人说谎（huiyin verify evidence 可单独核验）",
            "evidence among the faults proves a lie; huiyin verify evidence judges it by itself",
            *_KEEP,
        ),
        "fault_kept": Meaning(
            "notice",
            "该节点保存有故障记录及其证据",
            "the node keeps faults with their evidence",
            "请逐项查看 faults.jsonl",
            "look through faults.jsonl",
        ),
        # the lawful state machine
        "without_right": Meaning(
            "unlawful",
            "作者无权写此事件：无效力",
            "its author had no right to write this event: it is without effect",
            *_OFFICE,
        ),
        "not_decidable": Meaning(
            "unlawful",
            "该节点自己的规则不可能作出此事件：程序被改动或绕过",
            "the rules of that very node could not have let this event be written: its program was altered or evaded",
            *_OFFICE,
        ),
        "cases_not_judged": Meaning(
            "notice",
            "本包只含一个日志，案件状态须连同下级一并导出后才能核验",
            "the bundle holds one log alone: what was lawful in a case is judged where all below is exported too",
            "请加 --below 重新导出",
            "export again with --below",
        ),
        # personal data
        "one_person": Meaning(
            "unlawful",
            "销毁未经第二人同意",
            "an erasure was not agreed to by a second person",
            *_OFFICE,
        ),
        "destroyed_unordered": Meaning(
            "unlawful",
            "未经两人决定即销毁密钥",
            "a key was destroyed though no two persons had agreed to it",
            *_OFFICE,
        ),
        "opening_wrong": Meaning(
            "tampered",
            "开示的内容与登记的承诺不符：内容被调换或改动",
            "an opened text is not what was committed to: swapped or altered",
            *_KEEP,
        ),
        "opening_missing": Meaning(
            "tampered",
            "应能开示的内容缺失，且没有销毁记录",
            "a text that the node must be able to open is missing, and no erasure says why",
            *_OFFICE,
        ),
        "opening_after_erasure": Meaning(
            "unlawful",
            "已销毁的内容仍可开示：密钥并未销毁",
            "a text can still be opened though its erasure is in force: the key was kept",
            *_OFFICE,
        ),
        "opening_unasked": Meaning(
            "tampered",
            "开示了并不存在的内容",
            "something is opened that no event has sealed",
            *_KEEP,
        ),
        "reading_unnoted": Meaning(
            "unlawful",
            "开示没有审计查阅记录",
            "texts were opened for this bundle and no event notes the reading",
            *_OFFICE,
        ),
        "salt_reused": Meaning(
            "unlawful",
            "同一盐值用了两次：可被试猜",
            "a salt was used twice: the texts could be guessed",
            *_OFFICE,
        ),
        # the evidence of one case
        "excerpt": Meaning(
            "notice",
            "由他人自证据包摘出：所列各步均可核验，是否摘全须与原证据包核对",
            "somebody took it out of a bundle: each step in it is proven, and not that there is none beside them",
            "请用 --against 指定原证据包一并核验，或向该单位索取其签名的事项证据",
            "name that bundle with --against, or ask the office for evidence that it signs itself",
        ),
        "excerpt_other": Meaning(
            "tampered",
            "摘录所依的并不是这个证据包",
            "it was not taken from this bundle",
            *_ASK,
        ),
        "step_left_out": Meaning(
            "tampered",
            "原证据包中该事项的一步未收入",
            "a step of the case that stands in the bundle was left out",
            *_KEEP,
        ),
        "file_foreign": Meaning(
            "tampered",
            "卷宗混入既非证据、也非由证据生成的文件",
            "a file lies among the evidence that is none, nor made from it",
            *_ASK,
        ),
        "maker_false": Meaning(
            "tampered",
            "所称出具单位的名称、区划与日志和证书不符",
            "the office that is said to have made it bears another name or log by its certificate",
            *_KEEP,
        ),
        "version_absent": Meaning(
            "notice",
            "自上级得知的流有缺版：上级只下发需知的事件，是否另有抽去须查上级的证据",
            "versions of a stream that came from above are absent: only what must be known comes down",
            "请以上级的证据核对",
            "compare it with the evidence of the tier above",
        ),
        "leaf_foreign": Meaning(
            "tampered",
            "卷宗混入另一事项的事件",
            "an event of another case was put among its steps",
            *_KEEP,
        ),
        "heads_not_linked": Meaning(
            "notice",
            "同一日志的两个检查点之间没有一致性证明（仅持有零散条目的上级日志即如此）",
            "nothing proves that one checkpoint of the log continues the other: so it is with single leaves from above",
            *_COMPARE,
        ),
        "cover_false": Meaning(
            "tampered",
            "封面、文书或说明与证据不符：由证据重新生成的并非如此",
            "the cover, a paper or a text is not what the evidence makes: it was altered",
            *_KEEP,
        ),
        "not_made_again": Meaning(
            "notice",
            "封面与文书由另一版本的排版程序生成，未能重新生成比对，仅核对了清单",
            "another edition of the setting program made the cover and the papers: they were not made again to compare",
            "请用该版本的程序核验，或以 events 目录中的事件为准",
            "verify it with that edition, or go by the events themselves",
        ),
    }
)
"""Every code there is. docs/auditing.md lists them; a test holds the two to each other."""
