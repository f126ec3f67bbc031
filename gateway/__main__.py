"""The command line `huiyin`: found, enrol, run and back up nodes, verify receipts, rebuild views, play the demo."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import typer

from domain.divisions import division as valid_division
from domain.divisions import tier_of
from gateway.auditing.command_line import audit
from gateway.loading import EXIT_INTERRUPTED, Loading

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
node = typer.Typer(no_args_is_help=True, help="一个节点 / one node")
verify = typer.Typer(no_args_is_help=True, help="离线核验 / check offline")
projections = typer.Typer(no_args_is_help=True, help="视图 / views")
account = typer.Typer(no_args_is_help=True, help="账户 / accounts")
witness = typer.Typer(no_args_is_help=True, help="外部见证 / the outside witness")
policy = typer.Typer(no_args_is_help=True, help="信任策略 / trust policies")
escrow = typer.Typer(no_args_is_help=True, help="密钥托管 / the escrow")
demo = typer.Typer(invoke_without_command=True, help="演示城市 / a living city")
for name, group in {
    "audit": audit, "node": node, "verify": verify, "projections": projections, "account": account, "witness": witness,
    "policy": policy, "escrow": escrow, "demo": demo,
}.items():  # fmt: skip
    app.add_typer(group, name=name)

Folder = Annotated[Path, typer.Argument(help="节点目录 / the node's folder")]


def main() -> None:
    """Run the command line; a named refusal is told in one line and ends with 1, Ctrl-C with 130: never a traceback."""
    # Nothing that is loaded at start is garbage; looking through it again and again is a third of the start.
    gc.disable()
    try:
        with _refusals_told():
            app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        from gateway.named import told  # not before: it loads the whole program

        words = told(error)
        if words is None:
            raise
        typer.echo(words, err=True)
        sys.exit(1)


@node.command("init")
def node_init(
    folder: Folder,
    division: Annotated[str, typer.Option(help="12 位区划代码 / 12-digit division code")],
    name: Annotated[str, typer.Option(help="单位名称 / the office's name")],
    trust_domain: Annotated[str, typer.Option(help="日志名前缀 / first part of every log origin")],
    parent: Annotated[str | None, typer.Option(help="上级区划代码 / the superior's code")] = None,
    shard: Annotated[int, typer.Option(min=1, help="磁盘丢失后：下一个分片号 / the next shard, after a lost disk")] = 1,
    root: Annotated[bool, typer.Option("--root", help="作为根节点 / as the root")] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="监听端口 / where it listens")] = 8410,
    channel_up: Annotated[str, typer.Option(help="上行通道 DSN / channel to the parent")] = "",
    channel_down: Annotated[str, typer.Option(help="下行通道 DSN / channel to the children")] = "",
    witness_url: Annotated[str, typer.Option(help="外部见证地址 / outside witness of a root")] = "",
    witness_key: Annotated[str, typer.Option(help="外部见证公钥 / its public key")] = "",
) -> None:
    """建立节点：生成密钥和配置 / make a node's folder, keys and configuration."""
    from gateway.hosting import config, founding

    if root == (parent is not None):
        raise typer.BadParameter("--parent 与 --root 二者必居其一 / give either --parent or --root")
    if root and shard > 1:
        raise typer.BadParameter("根节点只能由备份恢复 / a root comes back from its backup alone")
    code = valid_division(division)
    settings = config.NodeConfig(
        node=config.Identity(
            division=code,
            name=name,
            tier=tier_of(code),
            trust_domain=trust_domain,
            parent=valid_division(parent) if parent else None,
            shard=shard,
        ),
        http=config.Http(port=port),
        channel=config.Channels(
            up=config.ChannelEnd(dsn=channel_up) if channel_up else None,
            down=config.ChannelEnd(dsn=channel_down) if channel_down else None,
        ),
        witness=config.OutsideWitness(url=witness_url, key=witness_key) if witness_url else None,
    )
    if root:
        from gateway.hosting.clock import SystemClock

        log_key = founding.found_root(folder, settings, SystemClock().now_us())
        typer.echo(f"{folder}：已建立根节点，日志公钥 / founded the root; the key of its log: {log_key}")
    else:
        founding.found(folder, settings)
        typer.echo(f"{folder / founding.REQUEST}：请交上级登记 / have the superior enrol this request")


@node.command("backup")
def node_backup(folder: Folder, out: Annotated[Path, typer.Option(help="备份文件 / the file to make")]) -> None:
    """备份节点的数据库和密钥；口令从标准输入读取 / save database and keys in one sealed file."""
    from gateway.backup.saving import save

    manifest = save(folder, out, _secret("备份口令 / passphrase"), lambda table, _: typer.echo(f"  {table}", err=True))
    typer.echo(f"{out}：{manifest.division}，账本 {manifest.pos} 位 / ledger position {manifest.pos}")


@node.command("restore")
def node_restore(
    folder: Folder,
    source: Annotated[Path, typer.Option("--from", help="备份文件 / the backup")],
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="改用的端口 / another port")] = None,
    dsn: Annotated[str | None, typer.Option(help="改用的空数据库 / another, empty database")] = None,
    embedded: Annotated[bool, typer.Option("--embedded", help="改用自带数据库 / use the embedded one")] = False,
) -> None:
    """由备份恢复到新目录；先向上级核对，再恢复办理 / start from a backup; it asks its superior before it writes."""
    from gateway.backup.saving import put_back

    manifest = put_back(source, folder, _secret("备份口令 / passphrase"), port, "" if embedded else dsn)
    typer.echo(f"{folder}：{manifest.division}，账本 {manifest.pos} 位 / ledger position {manifest.pos}")


def _secret(prompt: str) -> str:
    """A secret from the terminal or from standard input, never from the command line."""
    return str(typer.prompt(prompt, hide_input=True)) if sys.stdin.isatty() else sys.stdin.readline().strip()


@node.command("enrol")
def node_enrol(
    folder: Folder,
    request: Annotated[Path | None, typer.Option(help="下级的登记申请 / a child's request")] = None,
    out: Annotated[Path, typer.Option(help="登记结果写入 / where to write what the child installs")] = Path(
        "bundle.json"
    ),
    bundle: Annotated[Path | None, typer.Option(help="上级给的登记结果 / what the superior gave back")] = None,
    channel_up: Annotated[str, typer.Option(help="改隶后的上行通道 / channel to another superior")] = "",
) -> None:
    """上级：签发下级证书；下级：装入登记结果 / sign a child's request, or install what the superior gave back."""
    from gateway import enrolling
    from gateway.hosting import founding

    if (request is None) == (bundle is None):
        raise typer.BadParameter("--request 与 --bundle 二者必居其一 / give either --request or --bundle")
    if bundle is not None:
        if founding.is_elsewhere(folder, bundle):
            founding.install_elsewhere(folder, bundle, channel_up)
        else:
            founding.install_from(folder, bundle)
        typer.echo(f"{folder}：已登记 / enrolled")
    elif request is not None:
        granted = enrolling.enrol_child(folder, request.read_text("utf-8", "replace"))
        out.write_bytes(msgspec.json.encode(granted))
        typer.echo(f"{out}：请交下级装入 / have the child install it")


@node.command("renew")
def node_renew(
    folder: Folder,
    new_recipient_key: Annotated[
        bool, typer.Option("--new-recipient-key", help="同时更换收件密钥 / with another recipient key")
    ] = False,
) -> None:
    """申请续期证书，可同时更换收件密钥 / ask the superior for the next certificate."""
    from gateway.hosting import founding

    founding.renew(folder, new_recipient_key=new_recipient_key)
    if new_recipient_key:
        typer.echo("请先重启节点，再送交申请 / start the node anew before you hand the request in")
    typer.echo(f"{folder / founding.REQUEST}：请交上级登记 / have the superior enrol this request")


@node.command("rotate")
def node_rotate(
    folder: Folder,
    after_theft: Annotated[
        bool, typer.Option("--after-theft", help="旧密钥已被上级收回 / the superior took the old ones back")
    ] = False,
) -> None:
    """更换签名密钥；中断后再次运行即可继续 / change the signing keys; run it again where it broke off."""
    from gateway.hosting import founding
    from gateway.node import held
    from gateway.rotating import rotate

    if after_theft:
        with held(folder):
            founding.ask_after_theft(folder)
        log_key = None
    else:
        log_key = rotate(folder)
    if log_key is not None:
        typer.echo(f"{folder}：已换钥，请告知外部见证 / done; tell the outside witness: huiyin witness watch {log_key}")
    else:
        typer.echo(f"{folder / founding.REQUEST}：请交上级登记 / have the superior enrol this request")


@node.command("revoke")
def node_revoke(
    folder: Folder,
    division: Annotated[str, typer.Option(help="密钥被盗的下级 / the subordinate whose keys were stolen")],
    size: Annotated[int | None, typer.Option(min=0, help="其日志最后可信的条数 / last good size of its log")] = None,
) -> None:
    """上级：收回下级被盗的密钥 / take back the keys of a subordinate that others have."""
    from gateway.casework.orders import TakeBack
    from gateway.enrolling import take_back
    from sync.trust.statements import Revocation, read_statement

    said = read_statement(take_back(folder, TakeBack(valid_division(division), "stolen", size=size)))
    if isinstance(said, Revocation):
        typer.echo(f"{said.division}：{said.origin} 至第 {said.size} 条可信 / good up to size {said.size}")


@node.command("move")
def node_move(
    folder: Folder,
    division: Annotated[str, typer.Option(help="改隶的节点 / the node that is placed elsewhere")],
    parent: Annotated[str, typer.Option(help="新的上级 / its new superior")],
    out: Annotated[Path, typer.Option(help="登记结果写入 / where to write what it installs")] = Path("bundle.json"),
) -> None:
    """共同上级：变更下级的隶属关系 / place a node below another superior, both below this one."""
    from gateway.casework.orders import Move
    from gateway.enrolling import move

    granted = move(folder, Move(valid_division(division), valid_division(parent)))
    out.write_bytes(msgspec.json.encode(granted))
    typer.echo(f"{out}：请交该节点装入（--channel-up） / have that node install it, with --channel-up")


@node.command("abolish")
def node_abolish(
    folder: Folder,
    division: Annotated[str, typer.Option(help="撤销的节点 / the node that is no more")],
    successor: Annotated[str, typer.Option(help="承接的节点 / who goes on with what is open")],
    merged: Annotated[bool, typer.Option("--merged", help="并入承接节点 / it was merged into the successor")] = False,
) -> None:
    """上级：撤销或合并一个已无下级的节点 / a node without any below it is no more; its legs are then taken over."""
    from gateway.casework.orders import TakeBack
    from gateway.enrolling import take_back
    from sync.trust.statements import Revocation, read_statement

    code, heir = valid_division(division), valid_division(successor)
    said = read_statement(take_back(folder, TakeBack(code, "merged" if merged else "abolished", heir)))
    if isinstance(said, Revocation):
        typer.echo(f"{said.division}：{said.origin} 至第 {said.size} 条有效 / stands up to size {said.size}")


@node.command("freeze")
def node_freeze(folder: Folder) -> None:
    """年度封存：全部联署后结束本分片，另开新分片 / end this shard of the stopped node's log and open the next."""
    from gateway.freezing import freeze

    passed = freeze(folder)
    typer.echo(f"{passed.ended}：封存于 {passed.size} 条 / ended with {passed.size} leaves")
    typer.echo(f"{passed.begun}：新分片，日志公钥 / the next shard; its log key: {passed.log_key}")


@node.command("run")
def node_run(folder: Folder) -> None:
    """运行节点 / run the node until it is told to stop."""
    from gateway.serving import run_node

    sys.exit(run_node(folder))


@node.command("status")
def node_status(
    folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / as JSON")] = False
) -> None:
    """查看节点状态 / ask a running node how it is."""
    from gateway.hosting import config
    from gateway.serving import ask_status, shown

    status = ask_status(config.load(folder).url)
    typer.echo(msgspec.json.encode(status).decode() if as_json else shown([status]))


@node.command("evidence")
def node_evidence(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="导出目录 / folder to write a file of each into")] = None,
) -> None:
    """列出所存的故障证据，或导出供第三方核验 / list what is kept of lies, or export it for a third party to check."""
    from gateway.evidencing import list_evidence

    for line in list_evidence(folder, out):
        typer.echo(line)


@node.command("clock")
def node_clock(
    folder: Folder,
    accept: Annotated[bool, typer.Option("--accept", help="确认本机时钟无误 / confirm that it is right")] = False,
) -> None:
    """显示本机时钟；核对无误后加 --accept 确认 / show the machine's clock; confirm it once it is compared."""
    from gateway.hosting.clock import SystemClock
    from gateway.hosting.clock_doubt import shown
    from gateway.hosting.clock_watch import accept_clock

    machine_us = SystemClock().now_us()
    if accept:
        accept_clock(folder, machine_us)
    told = "已确认本机时钟 / confirmed" if accept else "本机时钟 / the machine's clock"
    typer.echo(f"{told}: {shown(machine_us)}")


@verify.command("receipt")
def verify_receipt(
    file: Annotated[Path, typer.Argument(help="回执文件 / the receipt")],
    policy: Annotated[Path, typer.Option(help="公布的信任策略 / the published policy")],
    publisher: Annotated[str, typer.Option(help="策略发布者公钥 / the key that must have signed the policy")] = "",
    known: Annotated[Path | None, typer.Option(help="已知策略文件 / file of the policies believed before")] = None,
    accept_weaker_policy: Annotated[
        bool, typer.Option("--accept-weaker-policy", help="接受见证更少的新策略 / accept one with fewer witnesses")
    ] = False,
    accept_simulated_clock: Annotated[
        bool, typer.Option("--accept-simulated-clock", help="接受演示时钟 / accept a demo's clock")
    ] = False,
) -> None:
    """仅凭公布的策略离线核验回执 / check a receipt offline, with the published policy alone."""
    from gateway.checking import Believed, tell_receipt
    from gateway.hosting.clock import SystemClock

    now_us = SystemClock().now_us()
    data, published = file.read_bytes(), policy.read_text("utf-8", "replace")
    believed = Believed(publisher, known, accept_weaker_policy)
    told = tell_receipt(data, published, now_us, accept_simulated_clock=accept_simulated_clock, believed=believed)
    typer.echo(told)


@verify.command("evidence")
def verify_evidence(
    file: Annotated[Path, typer.Argument(help="证据文件 / a file of evidence")],
    root: Annotated[str | None, typer.Option(help="根证书指纹（64 位十六进制）/ the root's fingerprint")] = None,
    policy: Annotated[list[Path] | None, typer.Option(help="策略文件，可多次 / a policy; may be repeated")] = None,
) -> None:
    """核验证据：0 定责，1 不能定责，2 无法读取 / judge evidence: exit 0 convicts, 1 nobody, 2 unreadable."""
    from gateway.auditing.trusting import PinInvalid
    from gateway.evidencing import UNREADABLE, judge_file
    from sync.exchange.evidence import MAX_FILE_BYTES, EvidenceUnreadable
    from sync.proofs.policy import PolicyInvalid

    if root is None and not policy:
        raise typer.BadParameter("须给出 --root 或 --policy / give --root or --policy: whose keys are to count")
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        told = judge_file(data, root, [path.read_text("utf-8", "replace") for path in policy or []])
    except (EvidenceUnreadable, PinInvalid, PolicyInvalid, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNREADABLE) from None
    typer.echo(told.text)
    raise typer.Exit(told.exit_code)


@account.command("add")
def account_add(
    folder: Folder,
    login: Annotated[str, typer.Argument(help="登录名 / login")],
    role: Annotated[str, typer.Option(help="clerk|handler|leader|supervisor|auditor|operator")],
    unit: Annotated[str, typer.Option(help="单位代码 / unit code; the node's office by default")] = "",
    discipline: Annotated[bool, typer.Option("--discipline", help="保密岗位 / confidential desk")] = False,
) -> None:
    """添加账户；口令从标准输入读取 / add an account; the password is read from standard input."""
    from gateway.serving import add_account

    add_account(folder, login, role, unit, _secret("口令 / password"), discipline=discipline)
    typer.echo(f"{login}：已添加 / added")


@account.command("token")
def account_token(
    folder: Folder,
    login: Annotated[str, typer.Argument(help="审计员账户 / an auditor's login")],
    days: Annotated[int, typer.Option(help="有效天数 / good for how many days")] = 30,
) -> None:
    """签发审计令牌，只显示一次 / make a token with which an auditor's programs read this node's logs; shown once."""
    from gateway.serving import tokens_of

    with tokens_of(folder) as tokens:
        made = tokens.make(login, days, None)
    typer.echo(f"{made.row.id}：请立即转交审计员，不再显示 / hand it over now, it is not shown again", err=True)
    typer.echo(made.token)


@account.command("tokens")
def account_tokens(folder: Folder) -> None:
    """列出审计令牌 / list the tokens of auditors."""
    from domain.clocks import shanghai_date
    from gateway.serving import tokens_of

    with tokens_of(folder) as tokens:
        for row in tokens.all():
            state = f"有效至 / good until {shanghai_date(row.ends_us)}" if tokens.is_good(row) else "已失效 / ended"
            last = shanghai_date(row.seen_us) if row.seen_us else "-"
            typer.echo(f"{row.id}  {row.login}  {state}  最近使用 / last used {last}")


@account.command("revoke")
def account_revoke(
    folder: Folder,
    token: Annotated[UUID, typer.Argument(help="令牌编号 / the token's id")],
) -> None:
    """撤销审计令牌，立即生效 / revoke a token at once."""
    from gateway.serving import tokens_of

    with tokens_of(folder) as tokens:
        row = tokens.revoke(token, None)
    typer.echo(f"{row.id}：已撤销 / revoked")


@witness.command("init")
def witness_init(
    folder: Folder,
    name: Annotated[str, typer.Option(help="见证名称 / its name, such as audit.example/witness")],
    port: Annotated[int, typer.Option(min=1, max=65_535, help="监听端口 / where it listens")] = 8420,
) -> None:
    """建立外部见证：生成密钥 / make a witness's folder and key."""
    from gateway.hosting.outside_witness import WitnessConfig, found_witness

    key = found_witness(folder, WitnessConfig(name=name, port=port))
    typer.echo(f"{folder}：见证公钥 / the witness's key: {key}")


@witness.command("watch")
def witness_watch(folder: Folder, key: Annotated[str, typer.Argument(help="日志公钥 / the key of a log")]) -> None:
    """由见证会签此日志，下次启动起生效 / have the witness cosign this log from its next start."""
    from gateway.hosting.outside_witness import watch

    watch(folder, key)
    typer.echo(f"{folder}：将会签 / will cosign {key}")


@witness.command("status")
def witness_status(folder: Folder) -> None:
    """各日志最近会签的规模和时间 / what it has cosigned last of each log."""
    from datetime import datetime

    from domain.clocks import SHANGHAI
    from gateway.hosting.outside_witness import held_of

    for name, size, time_s in held_of(folder):
        at = datetime.fromtimestamp(time_s, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") if time_s else "-"
        typer.echo(f"{size:>12}  {at:<19}  {name}")


@witness.command("run")
def witness_run(folder: Folder) -> None:
    """运行外部见证 / run the witness until it is told to stop."""
    from gateway.serving import run_witness

    sys.exit(run_witness(folder))


@policy.command("show")
def policy_show(
    folder: Folder, out: Annotated[Path | None, typer.Option(help="写入文件 / write it to this file")] = None
) -> None:
    """按配置和证书生成本节点日志的策略，供送签 / draft the policy of the node's log, to be signed."""
    from gateway.policing import draft_of

    draft = draft_of(folder)
    if out is None:
        typer.echo(draft, nl=False)
    else:
        out.write_text(draft, "utf-8")


@policy.command("sign")
def policy_sign(
    folder: Folder,
    draft: Annotated[Path, typer.Option(help="下级的策略稿 / a subordinate's draft")],
    out: Annotated[Path, typer.Option(help="签发的策略写入 / where to write what is signed")],
    accept_weaker: Annotated[
        bool, typer.Option("--accept-weaker", help="见证少于前一号也签 / though it asks for fewer witnesses")
    ] = False,
) -> None:
    """上级或根节点：核对并签发策略 / at the superior or the root: check a draft and sign it under its next number."""
    from gateway.policing import sign_draft

    key = sign_draft(folder, draft.read_text("utf-8", "replace"), out, accept_weaker=accept_weaker)
    typer.echo(f"{out}：已签发，发布者公钥 / signed; the publisher's key: {key}")


@policy.command("install")
def policy_install(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="签发的策略 / the signed policy")],
    accept_weaker: Annotated[
        bool, typer.Option("--accept-weaker", help="见证少于前一号也装入 / though it asks for fewer witnesses")
    ] = False,
) -> None:
    """装入签发的策略，下次启动起公布 / publish the signed policy from the next start."""
    from gateway.policing import install_signed

    serial = install_signed(folder, file.read_text("utf-8", "replace"), accept_weaker=accept_weaker)
    typer.echo(f"{folder}：策略第 {serial} 号，下次启动起公布 / number {serial}, published from the next start")


@escrow.command("lock")
def escrow_lock(
    share: Annotated[Path, typer.Argument(help="建立根节点时生成的份额 / a share made with the root")],
    out: Annotated[Path, typer.Option(help="加口令后写入 / the locked share")],
) -> None:
    """托管人为份额加口令；之后应销毁原文件 / put a share under its holder's passphrase; destroy the first file then."""
    from gateway.escrowing import lock

    lock(share, out, _secret("口令 / passphrase"))
    typer.echo(f"{out}：已加口令，请销毁 {share} / locked; destroy {share}")


@escrow.command("request")
def escrow_request(
    folder: Folder,
    case: Annotated[str, typer.Option(help="事项编号 / the case's id")],
    ground: Annotated[str, typer.Option(help="holder_gone|holder_silent|key_lost|lawful_order")],
    by: Annotated[str, typer.Option(help="申请人（领导或督查）登录名 / login of the leader or supervisor who asks")],
    out: Annotated[Path, typer.Option(help="申请写入 / where to write the request")],
    receiver: Annotated[str, typer.Option(help="现承办节点，默认自动确定 / who has the matter; found by itself")] = "",
) -> None:
    """根节点：申请开启托管 / at the root: ask for a case's keys, for the node that has the matter."""
    from uuid import UUID

    from domain.events import EscrowGround
    from gateway.escrowing import in_words, request_keys

    try:
        wanted, why = UUID(case), msgspec.convert(ground, EscrowGround)
    except ValueError as error:
        raise typer.BadParameter(f"--case 或 --ground 有误 / is wrong: {error}") from error
    request_keys(folder, wanted, valid_division(receiver) if receiver else "", why, by, out)
    typer.echo(f"{out}：请交两名托管人签署 / have both officers approve it\n{in_words(out)}")


@escrow.command("approve")
def escrow_approve(
    request: Annotated[Path, typer.Argument(help="申请 / the request")],
    share: Annotated[Path, typer.Option(help="本人的份额 / your own share")],
    out: Annotated[Path, typer.Option(help="签署写入 / where to write the approval")],
) -> None:
    """托管人：核对并签署 / as an officer: look at the request, and agree to it alone."""
    from gateway.escrowing import approve_request, in_words

    typer.echo(in_words(request))
    approve_request(request, share, out, lambda: _secret("份额口令 / passphrase of the share"))
    typer.echo(f"{out}：已签署，请交回根节点 / approved; give it back to the root")


@escrow.command("open")
def escrow_open(
    folder: Folder,
    approval: Annotated[list[Path], typer.Option(help="托管人的签署，共两份 / an officer's approval; give both")],
) -> None:
    """根节点：凭两份签署开启，密钥改授现承办节点 / at the root: give the keys to who has the matter."""
    from gateway.escrowing import open_escrow

    typer.echo(open_escrow(folder, approval))


@projections.command("rebuild")
def projections_rebuild(
    name: Annotated[str | None, typer.Argument(help="视图名，默认全部 / a view; all by default")] = None,
    folder: Annotated[Path, typer.Option("--node", help="节点目录 / the node's folder")] = Path(),
    check: Annotated[bool, typer.Option("--check", help="只比较 / compare only")] = False,
) -> None:
    """旁路重建视图并比较或替换 / build views beside the live ones; compare, or put them in their place."""
    from gateway.rebuilding import rebuild

    sys.exit(rebuild(folder, name, check_only=check, tell=typer.echo))


@projections.command("retry")
def projections_retry(
    name: Annotated[str | None, typer.Argument(help="视图名，默认全部 / a view; all by default")] = None,
    folder: Annotated[Path, typer.Option("--node", help="节点目录 / the node's folder")] = Path(),
) -> None:
    """重试被搁置的事项 / fold once more what is parked; exit code 1 where something stays so."""
    from gateway.rebuilding import retry

    sys.exit(retry(folder, name, tell=typer.echo))


@demo.callback()
def demo_run(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help="演示目录 / the demo's folder")] = Path("demo-city"),
    file: Annotated[Path | None, typer.Option("--input", help="真实来信 CSV / real messages")] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="全部共签后退出 / end once all is cosigned at the city")
    ] = False,
) -> None:
    """启动一座四级城市 / start a living city of four tiers; Ctrl-C stops it, again continues it."""
    if context.invoked_subcommand is not None:
        context.obj = folder
        return
    with Loading():
        from gateway.demo.performance import run_demo

    sys.exit(run_demo(folder, file, leave=leave, tell=typer.echo))


@demo.command("status")
def demo_status(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Option("--dir", help="演示目录 / the demo's folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / as JSON")] = False,
) -> None:
    """各节点的状态 / how every node of the city is."""
    from gateway.demo.performance import city_status
    from gateway.serving import shown

    nodes = city_status(folder or context.obj or Path("demo-city"))
    typer.echo(msgspec.json.encode({"nodes": nodes}).decode() if as_json else shown(nodes))


if __name__ == "__main__":
    main()
