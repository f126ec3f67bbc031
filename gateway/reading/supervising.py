"""The supervision board as a question: of which unit or subtree, at which moment, from whose point of view."""

from typing import Final
from uuid import UUID

import msgspec

from domain.divisions import Division, DivisionUnknown, division
from gateway.node import Node
from gateway.refusals import InputInvalid, NotFound
from projections import board
from projections.board import About, After, CaseLine, NodeLine, UnitLine
from projections.moment import Moment, moment

PERIOD_US: Final = 30 * 86_400_000_000
PAGE_SIZE: Final = 50


class BoardView(msgspec.Struct, frozen=True, kw_only=True):
    """How the units below handle what they hold. as_of_us, pos: the moment and the point of view that was asked for.

    total: the counts of `units` added up. ended: nodes whose keys were taken back by then, and who goes on with what
    they had open, or an empty text: a leader takes that over, case by case.
    """

    division: Division
    name: str
    as_of_us: int
    pos: int
    nodes: list[NodeLine]
    units: list[UnitLine]
    total: dict[str, int]
    ended: dict[str, str]


class UnitCases(msgspec.Struct, frozen=True, kw_only=True):
    """The cases behind one number of a unit. next: what to ask for as `after` to have the rest; null at the end."""

    unit: str
    about: About
    as_of_us: int
    pos: int
    cases: list[CaseLine]
    next: str | None


def whole_view(node: Node, at: Moment | None) -> Moment:
    """`at`, or now with everything that the views show."""
    return at or moment(node.reader.read, node.reader.head().pos, node.clock.now_us())


def board_view(node: Node, root: str | None, at: Moment | None) -> BoardView:
    """The units of the node `root` (default: this one) and of all below it. NotFound for a node that is elsewhere."""
    top = division(root) if root else node.here
    require_here_or_below(node, top)
    when = whole_view(node, at)
    with node.pool.connection() as conn:
        nodes = board.subtree(conn, top, when)
        units = board.units(conn, [line.division for line in nodes], when, when.as_of_us - PERIOD_US)
    return BoardView(
        division=top,
        name=node.around.name_of(top),
        as_of_us=when.as_of_us,
        pos=when.pos,
        nodes=nodes,
        units=units,
        total=board.total(units),
        ended=_ended(node, nodes, when.as_of_us),
    )


def _ended(node: Node, lines: list[NodeLine], as_of_us: int) -> dict[str, str]:
    directory = node.around.directory()
    found = {line.division: directory.revocation(line.division) for line in lines}
    said = {code: one.revocation for code, one in found.items() if one and one.revocation.at_us <= as_of_us}
    return {code: node.around.name_of(one.successor) if one.successor else "" for code, one in said.items()}


def unit_cases(node: Node, unit: str, about: About, at: Moment | None, after: str | None = None) -> UnitCases:
    """The cases behind one number of the board, the most urgent first, PAGE_SIZE at a time.

    after: `next` of the page before. NotFound as the board, InputInvalid.
    """
    require_here_or_below(node, division(unit[:12]))
    when = whole_view(node, at)
    with node.pool.connection() as conn:
        found = board.cases_of(conn, unit, about, when, after=_after(after), limit=PAGE_SIZE)
    following = f"{found.next.rank_us}_{found.next.case_id}" if found.next else None
    return UnitCases(unit=unit, about=about, as_of_us=when.as_of_us, pos=when.pos, cases=found.cases, next=following)


def _after(text: str | None) -> After | None:
    if not text:
        return None
    rank_us, _, case = text.partition("_")
    try:
        return After(int(rank_us[:18]), UUID(case))
    except ValueError:
        raise InputInvalid("“after”不正确，请从第一页重新查看", "after is wrong; start again", field="after") from None


def require_here_or_below(node: Node, of: Division) -> None:
    try:
        is_seen = of == node.here or node.around.topology().is_below(of, node.here)
    except DivisionUnknown:
        is_seen = False
    if not is_seen:
        raise NotFound
