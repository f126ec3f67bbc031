"""The history of an office, or of a division, over a period, as the ledger of this node tells it."""

from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from domain.divisions import Division
from domain.events import NotCanonical, Unknown, read
from gateway.node import Node
from gateway.reading.history import History, Step, UnitHistory, history, unit_history
from gateway.reading.knowing import steps_of
from projections import dealings

CASES_MAX: Final = 200
LEAVES_MAX: Final = 20_000
"""So many cases, and so many leaves of the division's own logs, one page looks through; a longer period is cut."""

_LOGS: Final[LiteralString] = """
    select log.id, coalesce((select max(seq) + 1 from ledger where ledger.log_id = log.id), 0)
    from log where division = %b order by shard"""

_LEAF: Final[LiteralString] = (
    "select seq, known_us, body from ledger where log_id = %b and seq >= %b order by seq limit 1"
)

_CASES: Final[LiteralString] = """
    select distinct case_id from (
        select case_id from ledger where log_id = %b and seq >= %b order by seq limit %b
    ) leaves where case_id is not null limit %b"""


class Office(NamedTuple):
    """The history of an office. is_cut: more than CASES_MAX cases or LEAVES_MAX leaves; ask for a shorter period."""

    history: UnitHistory
    is_cut: bool


def office_history(node: Node, unit: str, from_us: int, to_us: int) -> Office:
    """What it did and was given in [from_us, to_us), and the whole of the cases concerned."""
    cases, is_cut = _cases(node, unit, from_us, to_us)
    told = _by_case(node.here, steps_of(node, node.reader.read_cases(cases)))
    return Office(unit_history(node.here, unit, told, from_us, to_us), is_cut)


def _cases(node: Node, unit: str, from_us: int, to_us: int) -> tuple[list[UUID], bool]:
    with node.pool.connection() as conn:
        found = set(dealings.of_unit(conn, unit, from_us, to_us, CASES_MAX + 1))
    is_cut = False
    for log_id, size in node.reader.fetch(_LOGS, (unit[:12],)):
        first, end = _first_since(node, log_id, size, from_us), _first_since(node, log_id, size, to_us)
        is_cut = is_cut or end - first > LEAVES_MAX
        asked = (log_id, first, min(end - first, LEAVES_MAX), CASES_MAX + 1)
        found.update(case for (case,) in node.reader.fetch(_CASES, asked))
    return sorted(found)[:CASES_MAX], is_cut or len(found) > CASES_MAX


def _first_since(node: Node, log_id: int, size: int, at_us: int) -> int:
    """The first leaf of a log that was recorded at a moment or later: a binary search, for times never run backwards
    in a log."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        ((seq, known_us, body),) = node.reader.fetch(_LEAF, (log_id, middle))
        if _recorded_us(bytes(body), known_us) < at_us:
            low = seq + 1
        else:
            high = middle
    return low


def _recorded_us(body: bytes, known_us: int) -> int:
    try:
        event = read(body)
    except NotCanonical:
        return known_us
    return known_us if isinstance(event, Unknown) else event.recorded_us


def _by_case(here: Division, steps: list[Step]) -> list[History]:
    by_case: dict[UUID, list[Step]] = {}
    for step in steps:
        if step.event.case is not None:
            by_case.setdefault(step.event.case, []).append(step)
    return [history(here, case, found) for case, found in by_case.items()]
