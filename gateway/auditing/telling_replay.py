"""A history on a terminal: one step at a time, forwards and backwards, or a moment, or all of it at once."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final, Protocol

from domain.clocks import SHANGHAI
from domain.events import Unknown
from gateway.auditing.findings import harmless
from gateway.auditing.replaying import Replay, UnitReplay
from gateway.reading.case_view import ClockView
from gateway.reading.history import History, Step
from gateway.reading.labels import EVENTS

FORWARD: Final = ("n", " ", "\r", "\n", "\x1b[C", "\x1b[B")
BACKWARD: Final = ("p", "b", "\x1b[D", "\x1b[A")
FIRST, LAST, QUIT = "g", "G", ("q", "\x1b", "\x03", "\x04")
NAMED: Final = 3
"""So many of the steps that a tier is not shown to have known are named by number; the rest are counted."""

_HOW: Final = {
    "wrote": "所写 / wrote it",
    "order": "按其账本次序 / by its own order",
    "note": "至迟，按其日志登记 / at the latest, by the heads it noted",
    "cosigned": "至迟，按其会签 / at the latest, by what it cosigned",
    "cause": "至迟，其后所写以此为由 / at the latest, by what it wrote because of it",
}


class Told(Protocol):
    """What can be walked through."""

    @property
    def steps(self) -> Sequence[Step]:
        """Its steps."""

    def step(self, number: int) -> Iterator[str]:
        """Step `number`, from 0, and how matters stood once it was recorded."""

    def moment(self, at_us: int) -> Iterator[str]:
        """How matters stood at a moment."""


class ToldCase:
    """A case in words."""

    def __init__(self, replay: Replay) -> None:
        self._history, self._calendar = replay.history, replay.calendar
        self.steps = replay.history.steps

    def step(self, number: int) -> Iterator[str]:
        """See Told."""
        step = self.steps[number]
        yield from _told(step, number, len(self.steps))
        yield from self._stood(step.at_us)

    def moment(self, at_us: int) -> Iterator[str]:
        """How the case stood: what had happened, what each tier knew of it, who answered, which clocks ran."""
        happened = self._history.happened(at_us)
        count = len(self.steps)
        yield f"{_local(at_us)}：已发生 {len(happened)} 步 / {len(happened)} of {count} steps had happened"
        for step in happened:
            yield f"  {_event(step)}"
        yield from self._stood(at_us)

    def _stood(self, at_us: int) -> Iterator[str]:
        yield f"  此刻责任单位 / accountable then: {self._history.accountable(at_us) or '-'}"
        yield from _legs(self._history, at_us)
        yield from map(_clock, self._history.clocks(at_us, self._calendar))
        for division, view in self._history.views(at_us).items():
            yield (
                f"  {division} 至少知道 {view.known} 步，据此责任单位是 {view.accountable or '-'} / "
                f"knew {view.known} steps at least, by which {view.accountable or 'nobody'} was accountable"
            )
            if view.missing:
                named = ", ".join(f"[{number + 1}]" for number in view.missing[:NAMED])
                more = "…" if len(view.missing) > NAMED else ""
                said = "尚不知道 / did not yet know" if view.is_sure else "无证据知道 / is not shown to have known"
                yield f"    {said}: {len(view.missing)} ({named}{more})"


class ToldUnit:
    """An office in words."""

    def __init__(self, replay: UnitReplay) -> None:
        self._history, self._calendar = replay.history, replay.calendar
        self.steps = replay.history.steps

    def step(self, number: int) -> Iterator[str]:
        """See Told."""
        step = self.steps[number]
        yield from _told(step, number, len(self.steps))
        yield f"  事项 / case {step.event.case}"
        yield from self._stood(step.at_us)

    def moment(self, at_us: int) -> Iterator[str]:
        """What it answered for, and which of its clocks ran."""
        number = self._history.number_at(at_us)
        yield f"{_local(at_us)}：期内第 {number + 1} 步之后 / after step {number + 1} of {len(self.steps)}"
        yield from self._stood(at_us)

    def _stood(self, at_us: int) -> Iterator[str]:
        held = self._history.held(at_us)
        yield f"  此刻由其负责的事项 / it answered for {len(held)}:"
        for one in held:
            yield f"    {one.case}"
        for case, clock in self._history.clocks(at_us, self._calendar):
            yield f"{_clock(clock)} · {case}"


def walk(told: Told, key: Callable[[], str], say: Callable[[str], None], number: int = 0) -> None:
    """Step through as the keys say, from step `number` on, until one says to stop. key: the next key pressed."""
    while True:
        for line in told.step(number):
            say(line)
        say("n 下一步 next · p 上一步 previous · g 首 first · G 末 last · q 结束 quit")
        pressed = key()
        if pressed in QUIT:
            return
        if pressed in FORWARD:
            number = min(number + 1, len(told.steps) - 1)
        elif pressed in BACKWARD:
            number = max(number - 1, 0)
        elif pressed in (FIRST, LAST):
            number = 0 if pressed == FIRST else len(told.steps) - 1


def _told(step: Step, number: int, count: int) -> Iterator[str]:
    yield f"[{number + 1}/{count}] {_event(step)}"
    law = getattr(step.event, "law", None)
    yield f"  {harmless(step.log)}#{step.seq}{f' · {law}' if law else ''}"
    if step.occurred_us != step.recorded_us:
        yield f"  所称时间 / said to have happened {_local(step.occurred_us)}"
    yield "  谁知道 / who knew:"
    for division, knew in sorted(step.known.items(), key=lambda item: item[1].at_us):
        yield f"    {division} {_local(knew.at_us)} {_HOW[knew.how]}"


def _event(step: Step) -> str:
    who = step.event.node if isinstance(step.event, Unknown) else f"{step.event.actor.unit} {step.event.actor.role}"
    void = "" if step.has_effect else " 【无效力 / without effect】"
    tag = harmless(step.tag)
    return f"{_local(step.recorded_us)} {EVENTS.get(tag, '')} {tag} {who or '?'}{void}"


def _legs(history: History, at_us: int) -> Iterator[str]:
    file = history.file(at_us)
    for leg in file.legs.values() if file else ():
        state = "办结 / closed" if leg.closed else "未接收 / not opened" if leg.opened_us is None else "已接收 / opened"
        yield f"  经办 / leg {leg.unit}: {state}"


def _clock(clock: ClockView) -> str:
    return (
        f"  时限 / clock {clock.zh} / {clock.en} {clock.unit or '-'}：{clock.due_date} "
        f"（{clock.days} 天 / days left）{clock.article}"
    )


def told(replay: Replay | UnitReplay) -> Told:
    """Its words."""
    return ToldCase(replay) if isinstance(replay, Replay) else ToldUnit(replay)


def _local(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
