"""A case's history on a terminal: one step at a time, forwards and backwards, or all of it at once."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from domain.clocks import SHANGHAI
from domain.events import Unknown
from gateway.auditing.findings import harmless
from gateway.auditing.replaying import Replay, Step

FORWARD: Final = ("n", " ", "\r", "\n", "\x1b[C", "\x1b[B")
BACKWARD: Final = ("p", "b", "\x1b[D", "\x1b[A")
FIRST, LAST, QUIT = "g", "G", ("q", "\x1b", "\x03", "\x04")

_HOW: Final = {
    "wrote": "所写 / wrote it",
    "order": "按其账本次序 / by its own order",
    "note": "至迟，按其日志登记 / at the latest, by the heads it noted",
}


def told_step(replay: Replay, number: int) -> Iterator[str]:
    """Step `number`, from 0, and how matters stood once it was recorded."""
    step = replay.steps[number]
    yield f"[{number + 1}/{len(replay.steps)}] {_event(step)}"
    yield f"  {harmless(step.log)}#{step.seq}"
    if step.occurred_us != step.recorded_us:
        yield f"  所称时间 / said to have happened {_local(step.occurred_us)}"
    yield "  谁知道 / who knew:"
    for division, knew in sorted(step.known.items(), key=lambda item: item[1].at_us):
        yield f"    {division} {_local(knew.at_us)} {_HOW[knew.how]}"
    yield f"  此刻责任单位 / accountable then: {replay.accountable(step.recorded_us) or '-'}"


def told_moment(replay: Replay, at_us: int) -> Iterator[str]:
    """How the case stood at a moment: what had happened, what each tier knew of it, who answered."""
    happened = replay.happened(at_us)
    yield f"{_local(at_us)}：已发生 {len(happened)} 步 / {len(happened)} of {len(replay.steps)} steps had happened"
    for step in happened:
        yield f"  {_event(step)}"
    yield f"责任单位 / accountable: {replay.accountable(at_us) or '-'}"
    for division, view in replay.views(at_us).items():
        yield (
            f"{division} 至少知道 {view.known} 步，据此责任单位是 {view.accountable or '-'} / "
            f"knew {view.known} steps at least, by which {view.accountable or 'nobody'} was accountable"
        )


def walk(replay: Replay, key: Callable[[], str], say: Callable[[str], None]) -> None:
    """Step through the case as the keys say, until one says to stop. key: the next key pressed."""
    number = 0
    while True:
        for line in told_step(replay, number):
            say(line)
        say("n 下一步 next · p 上一步 previous · g 首 first · G 末 last · q 结束 quit")
        pressed = key()
        if pressed in QUIT:
            return
        if pressed in FORWARD:
            number = min(number + 1, len(replay.steps) - 1)
        elif pressed in BACKWARD:
            number = max(number - 1, 0)
        elif pressed in (FIRST, LAST):
            number = 0 if pressed == FIRST else len(replay.steps) - 1


def _event(step: Step) -> str:
    who = step.event.node if isinstance(step.event, Unknown) else f"{step.event.actor.unit} {step.event.actor.role}"
    void = "" if step.has_effect else " 【无效力 / without effect】"
    return f"{_local(step.recorded_us)} {harmless(step.tag)} {who or '?'}{void}"


def _local(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
