"""Runs the demo from the command line: found or go on, play, wait until all is cosigned, sum up, stay or leave."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import psycopg

from domain.divisions import Division
from domain.events import CaseId, Declined, OpinionIssued, Registered, Replied, decode
from gateway.demo import messages, scripted_day
from gateway.demo.city import PASSWORD, ROLES, City, Member, Tell, found_city
from gateway.demo.ending import Ending, Interrupted
from gateway.demo.keeper import Keeper
from gateway.demo.messages import Way
from gateway.demo.player import DemoFailed, Desks, Place, play
from gateway.demo.story import CHINA, DAY_US, Story, moment_us
from gateway.hosting.clock import SharedClock
from gateway.hosting.status import NodeStatus
from gateway.loading import EXIT_INTERRUPTED
from gateway.node import held
from gateway.serving import NodeUnreachable, ask_status
from projections.tables_postgres import LIVE
from sync.ledger.connections import connect

SCRIPTED_START_US: Final = moment_us("2026-03-02 08:30")
ANSWERS: Final = (OpinionIssued, Replied, Declined)
SETTLE_S: Final = 600.0
_SAY_EVERY_S: Final = 1.0


def run_demo(folder: Path, file: Path | None, *, leave: bool, tell: Tell) -> int:
    """Exit code 0, or EXIT_INTERRUPTED where Ctrl-C came before the city had come to rest.

    Raises InputInvalid, DemoFailed, and what founding and starting raise.
    """
    wanted = messages.read(file) if file else None
    start_us = wanted[0].received_us - DAY_US if wanted else SCRIPTED_START_US
    ending = Ending()
    ending.listen()
    city = City(folder)
    city.folder.mkdir(parents=True, exist_ok=True)
    try:
        with held(city.folder):
            ending.kills(city.server.kill)
            _live(city, wanted, start_us, tell, ending, leave=leave)
    except Interrupted:
        tell("已停止，再次运行继续 / stopped; run it again to go on")
        return EXIT_INTERRUPTED
    return 0


def _live(
    city: City, wanted: list[messages.Message] | None, start_us: int, tell: Tell, ending: Ending, *, leave: bool
) -> None:
    began = time.monotonic()
    with city.server:
        ending.check()
        clock = found_city(city, start_us, tell, ending.check)
        if wanted:
            _take_up(city, wanted, clock)
        with Keeper(city, tell, ending):
            _introduce(city, tell, time.monotonic() - began)
            _play(city, wanted, clock, tell, ending)
            _settle(city, ending)
            tell(_summary(city, time.monotonic() - began))
            if not leave:
                tell(
                    "城市在运行；按 Ctrl-C 停止，再次运行继续 / the city is alive; Ctrl-C stops it, again continues it"
                )
                ending.asked.wait()


def _take_up(city: City, wanted: list[messages.Message], clock: SharedClock) -> None:
    """Note that these messages are played here. Raises InputInvalid where the city's time is past the first of them."""
    mine = messages.digest(wanted)
    first_us = wanted[0].received_us
    if mine not in city.inputs and first_us < clock.now_us():
        first, now = (datetime.fromtimestamp(us / 1_000_000, CHINA).date() for us in (first_us, clock.now_us()))
        raise messages.InputInvalid(
            f"这座城市的时间已到 {now}，而来信始于 {first}，请用 --dir 另选目录 / this city has come to {now} and the "
            f"messages begin on {first}; choose another folder with --dir"
        )
    city.note_input(mine)


def _play(city: City, wanted: list[messages.Message] | None, clock: SharedClock, tell: Tell, ending: Ending) -> None:
    desks = Desks({member.division: Place(city.url(member)) for member in city.plan.members}, PASSWORD)
    try:
        play(_stories(city, wanted), desks, clock, _Progress(tell), ending.asked)
    finally:
        desks.close()
        clock.save()
    ending.check()


def city_status(folder: Path) -> list[NodeStatus]:
    """Every node's own word on itself, superiors first. Raises NodeUnreachable."""
    city = City(folder)
    return [ask_status(city.url(member)) for member in city.plan.members]


def _introduce(city: City, tell: Tell, seconds: float) -> None:
    tell(f"\n城市已启动，用时 {seconds:.0f} 秒 / the city is alive after {seconds:.0f} s\n")
    depth = {None: -1} | {member.division: 0 for member in city.plan.members}
    for member in city.plan.members:
        depth[member.division] = depth[member.parent] + 1
        tell(f"  {'    ' * depth[member.division]}{city.url(member)}  {member.name}")
    tell(f"\n账户 / accounts: {', '.join((*ROLES, 'discipline'))}    口令 / password: {PASSWORD}\n")


def _stories(city: City, wanted: list[messages.Message] | None) -> Iterator[tuple[str, int, Story]]:
    if wanted is None:
        return scripted_day.stories(SCRIPTED_START_US)
    return messages.stories(wanted, _ways(city.plan.members))


def _ways(members: tuple[Member, ...]) -> list[Way]:
    """For each village: kept by its township, passed on to the county, and sent down again by it."""
    parent = {member.division: member.parent for member in members}
    above = set(parent.values())
    villages = [member.division for member in members if member.division not in above]
    ways: list[Way] = []
    for village in villages:
        township = _certain(parent[village])
        county = _certain(parent[township])
        ways += [Way((village, township)), Way((village, county)), Way((village, county, township))]
    return ways


def _certain(division: Division | None) -> Division:
    if division is None:
        raise DemoFailed("the city needs four tiers")
    return division


class _Progress:
    """Says at most once a second how many cases have come to their end."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._said_s = 0.0

    def __call__(self, ended: int, begun: int) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAY_EVERY_S:
            self._said_s = now_s
            self._tell(f"  已办 {ended} 件，在办 {begun - ended} 件 / {ended} cases done, {begun - ended} under way")


def _settle(city: City, ending: Ending) -> None:
    """Return once every event of every node is cosigned by the one above and shown by its views."""
    give_up = time.monotonic() + SETTLE_S
    calm = 0
    while calm < 2:
        ending.asked.wait(0.2)
        calm = calm + 1 if _is_calm(city, ending) else 0
        if time.monotonic() > give_up:
            raise DemoFailed(
                "未能全部共签，请查看 huiyin demo status / not everything was cosigned; see `huiyin demo status`"
            )


def _is_calm(city: City, ending: Ending) -> bool:
    try:
        for member in city.plan.members:
            ending.check()
            status = ask_status(city.url(member))
            if status.lag or status.projection_lag:
                return False
    except NodeUnreachable:
        return False
    return True


def _summary(city: City, seconds: float) -> str:
    with connect(city.dsn(city.plan.members[0])) as conn:
        events = conn.execute("select pos from head").fetchone()
        cases = conn.execute(f"select count(*), count(closed_us) from {LIVE}.case_file").fetchone()
        days = _days_to_reply(conn)
    (count,), (seen, closed) = events or (0,), cases or (0, 0)
    spread = ""
    if len(days) > 1:
        late, p90 = sum(one > 60 for one in days), quantiles(days, n=10, method="inclusive")[8]
        spread = (
            f"；答复天数中位 {median(days):.1f}，九成 {p90:.1f}，超过 60 天 {late} 件 / "
            f"days to reply: median {median(days):.1f}, p90 {p90:.1f}, beyond 60: {late}"
        )
    return (
        f"市级可见 {seen} 件，办结 {closed} 件，事件 {count} 条{spread}；用时 {seconds:.0f} 秒 / "
        f"{seen} cases at the city, {closed} closed, {count} events, {seconds:.0f} s"
    )


def _days_to_reply(conn: psycopg.Connection) -> list[float]:
    """Of every case that was answered, from its receipt to its first answer."""
    received: dict[CaseId, int] = {}
    answered: dict[CaseId, int] = {}
    topics = [str(kind.__struct_config__.tag) for kind in (Registered, *ANSWERS)]
    for (body,) in conn.execute("select body from ledger where topic = any(%s) order by pos", (topics,)):
        event = decode(body)
        if isinstance(event, Registered):
            received[CaseId(event.id)] = event.occurred_us
        elif isinstance(event, ANSWERS) and event.case is not None:
            answered.setdefault(event.case, event.occurred_us)
    return sorted((at_us - received[case]) / DAY_US for case, at_us in answered.items() if case in received)
