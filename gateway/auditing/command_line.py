"""`huiyin audit`: make a bundle of a node's history, and verify one without trusting anybody."""

import gc
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

if TYPE_CHECKING:
    from gateway.auditing.trusting import Pins

audit = typer.Typer(no_args_is_help=True, help="审计 / for auditors")

_STAGES: Final = {
    "files": "核对文件 / files",
    "leaves": "条目 / leaves",
    "order": "获知次序与案件 / order and cases",
}
_STEP: Final = 2_000


@audit.command("export")
def audit_export(
    folder: Annotated[Path, typer.Argument(help="节点目录 / the node's folder")],
    out: Annotated[Path, typer.Option(help="证据包目录 / the folder to make")],
    below: Annotated[bool, typer.Option("--below", help="连同全部下级 / with everything below")] = False,
    openings: Annotated[
        bool, typer.Option("--openings", help="开示本节点可读的内容，逐项记录 / with sealed texts, each reading noted")
    ] = False,
    reader: Annotated[str, typer.Option("--as", help="审计人登录名 / login of the auditor who reads")] = "",
) -> None:
    """导出可离线核验的证据包 / make a bundle that anybody can verify offline."""
    from gateway.auditing.exporting import export_bundle
    from gateway.auditing.opening_node import opened_texts
    from gateway.hosting.clock import SystemClock

    if openings != bool(reader):
        raise typer.BadParameter("--openings 须与 --as 同用 / --openings and --as go together")
    made_us = SystemClock().now_us()
    with _bar() as progress:
        if openings:
            with opened_texts(folder, reader, _password) as (texts, dsn):
                manifest = export_bundle(folder, out, made_us, progress, below=below, texts=texts, dsn=dsn)
        else:
            manifest = export_bundle(folder, out, made_us, progress, below=below)
    typer.echo(f"{out}：{manifest.division}，账本 {manifest.pos} 位 / ledger position {manifest.pos}")
    if manifest.left_out:
        left = manifest.left_out
        typer.echo(f"另有 {left} 条尚未封入检查点，未导出 / {left} events under no checkpoint yet are left out")


@audit.command("case")
def audit_case(
    bundle: Annotated[Path, typer.Argument(help="证据包目录 / a bundle")],
    case: Annotated[str, typer.Argument(help="事项编号（UUID）/ the case's id")],
    out: Annotated[Path, typer.Option(help="要生成的 .zip / the zip file to make")],
    openings: Annotated[
        bool, typer.Option("--openings", help="连同证据包中开示的内容 / with the texts that the bundle opens")
    ] = False,
) -> None:
    """自证据包摘出一件事项的证据，附卷宗封面 / take the evidence of one case out of a bundle, with a cover."""
    from domain.errors import DomainError
    from gateway.auditing.bundle import BundleUnreadable, FileUnreadable
    from gateway.auditing.excerpting import OpeningsAbsent, excerpt
    from gateway.auditing.telling import UNREADABLE
    from gateway.dossier.shape import zipped

    if out.exists():
        raise typer.BadParameter(f"{out} 已存在，请另选文件名 / it is there already; choose another name")
    id_ = _uuid(case, "CASE")
    try:
        files = excerpt(bundle, id_, with_texts=openings)
        out.write_bytes(zipped(files))
    except OpeningsAbsent as error:
        raise typer.BadParameter(str(error)) from None
    except (BundleUnreadable, FileUnreadable, OSError, DomainError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNREADABLE) from None
    typer.echo(f"{out}：{len(files)} 个文件 / files")


@audit.command("verify")
def audit_verify(
    bundles: Annotated[
        list[Path],
        typer.Argument(help="一个或多个证据包，或事项证据 / bundles of one tree, or a case's evidence"),
    ],
    root: Annotated[
        str | None, typer.Option(help="根证书指纹（64 位十六进制）/ the root's fingerprint, 64 hex digits")
    ] = None,
    policy: Annotated[
        list[Path] | None, typer.Option(help="自行取得的策略文件 / a policy got by another way; may be repeated")
    ] = None,
    accept_simulated_clock: Annotated[
        bool, typer.Option("--accept-simulated-clock", help="仅用于演示 / for demonstrations only")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / as JSON")] = False,
    room: Annotated[Path | None, typer.Option(help="临时文件目录 / where temporary files may lie")] = None,
    against: Annotated[
        Path | None, typer.Option(help="事项证据所摘自的证据包 / the bundle that a case's evidence was taken from")
    ] = None,
) -> None:
    """离线核验证据包：0 可信，1 不可信，2 无法读取 / verify offline: exit 0 sound, 1 tampered, 2 unreadable."""
    gc.enable()  # millions of short-lived values; what the program itself loaded is looked through once
    gc.freeze()
    from domain.errors import DomainError
    from gateway.auditing.bundle import BundleUnreadable
    from gateway.auditing.telling import UNREADABLE, exit_code, in_words
    from gateway.auditing.telling import as_json as told_as_json
    from gateway.auditing.trusting import PinInvalid, pins_from
    from gateway.auditing.verifying import verify_bundles
    from gateway.dossier.shape import DossierUnreadable, is_dossier
    from sync.proofs.policy import PolicyInvalid

    try:
        texts = [path.read_text("utf-8", "replace") for path in policy or []]
        pins = pins_from(root, texts, is_demonstration=accept_simulated_clock)
        if len(bundles) == 1 and is_dossier(bundles[0]):
            raise typer.Exit(_judge(bundles[0], pins, against, as_json=as_json))
        with _bar() as progress:
            reports, between = verify_bundles(bundles, pins, progress, room)
    except (BundleUnreadable, DossierUnreadable, PinInvalid, PolicyInvalid, DomainError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNREADABLE) from None
    except sqlite3.Error as error:  # only the temporary files are kept so
        typer.echo(
            f"临时文件无法写入（{error}），核验未完成；请用 --room 指定有足够空间的目录 / the temporary files cannot "
            "be written, so nothing was found out; name a folder with enough room by --room",
            err=True,
        )
        raise typer.Exit(UNREADABLE) from None
    _say([told_as_json(reports, between)] if as_json else in_words(reports, between))
    raise typer.Exit(exit_code(reports, between))


@audit.command("replay")
def audit_replay(
    bundles: Annotated[list[Path], typer.Argument(help="证据包，可附其他层级的 / a bundle, and those of other tiers")],
    case: Annotated[str | None, typer.Option(help="事项编号（UUID）/ a case's id")] = None,
    unit: Annotated[
        str | None, typer.Option(help="单位或区划，如 410221100201.office / an office or a division")
    ] = None,
    at: Annotated[str | None, typer.Option(help="某一时刻，如 2026-11-22T15:00 / a moment, China's time")] = None,
    step: Annotated[int, typer.Option(min=1, help="从第几步开始 / the step to begin with, from 1")] = 1,
    from_: Annotated[str | None, typer.Option("--from", help="单位：从何时 / of an office: from when on")] = None,
    to: Annotated[str | None, typer.Option(help="单位：到何时止 / of an office: up to when")] = None,
) -> None:
    """逐步回放一件事项或一个单位：n 前进，p 后退 / step through a case or an office, or see it as of a moment."""
    from gateway.auditing.bundle import BundleUnreadable, FileUnreadable
    from gateway.auditing.replaying import read_case, read_unit
    from gateway.auditing.telling import UNREADABLE
    from gateway.auditing.telling_replay import told, walk

    if (case is None) == (unit is None):
        raise typer.BadParameter("请指定 --case 或 --unit 之一 / name either --case or --unit")
    at_us = None if at is None else _moment_us(at, "--at")
    begin_us, end_us = (_moment_us(from_, "--from") if from_ else 0), (_moment_us(to, "--to") if to else 1 << 62)
    try:
        if case is not None:
            story = told(read_case(bundles, _uuid(case, "--case")))
        else:
            story = told(read_unit(bundles, str(unit), begin_us, end_us))
    except (BundleUnreadable, FileUnreadable, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNREADABLE) from None
    if not story.steps:
        raise typer.BadParameter("证据包中没有该事项或单位，请核对 / the bundle holds nothing of it; check its id")
    if step > len(story.steps):
        raise typer.BadParameter(f"--step 不得大于 {len(story.steps)} / --step is at most {len(story.steps)}")
    if at_us is not None:
        _say(story.moment(at_us))
    elif sys.stdin.isatty() and sys.stdout.isatty():
        walk(story, typer.getchar, typer.echo, step - 1)
    else:
        _say(line for number in range(step - 1, len(story.steps)) for line in story.step(number))


def _judge(path: Path, pins: "Pins", against: Path | None, *, as_json: bool) -> int:
    """Say what was found of a case's evidence; the exit code."""
    from gateway.auditing import telling_case
    from gateway.auditing.judging import judge
    from gateway.auditing.telling import SOUND, TAMPERED

    judged = judge(path, pins, against)
    _say([telling_case.as_json(judged)] if as_json else telling_case.in_words(judged))
    return SOUND if judged.is_sound else TAMPERED


def _uuid(text: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{name} 须为事项编号（UUID）/ {name} takes a case's id, a UUID") from None


def _moment_us(text: str, option: str) -> int:
    from gateway.reading.moments import moment_us
    from gateway.refusals import InputInvalid

    try:
        return moment_us(text, option)
    except InputInvalid as error:
        raise typer.BadParameter(str(error)) from None


def _password() -> str:
    """From the terminal or from standard input, never from the command line."""
    return str(typer.prompt("口令 / password", hide_input=True)) if sys.stdin.isatty() else sys.stdin.readline().strip()


def _say(lines: Iterable[str]) -> None:
    """Print, also where nobody reads on: the exit code is the verdict all the same."""
    try:
        for line in lines:
            typer.echo(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is it tried again at exit


@contextmanager
def _bar() -> "Iterator[_Bar]":
    bar = _Bar()
    try:
        yield bar
    finally:
        bar.end()


class _Bar:
    """How far it is, on standard error, where somebody looks."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._stage = ""
        self._done = 0
        self._told = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """One step further."""
        if not self._is_shown:
            return
        if stage != self._stage:
            self.end()
            self._stage, self._done, self._told = stage, 0, 0
        self._done += done
        step = _STEP if total else _STEP << 10
        if self._done - self._told >= step or self._done == total:
            self._told = self._done
            share = f"{self._done * 100 // total:3d}% " if total else ""
            unit = f"{self._done}/{total}" if total else f"{self._done >> 20} MiB"
            typer.echo(f"\r{_STAGES[stage]}: {share}{unit}", nl=False, err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown and self._stage:
            typer.echo("", err=True)
