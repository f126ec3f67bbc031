"""What a node's own ledger tells of a history: its events, and what shows which other tier knew them by when."""

from collections.abc import Iterable, Sequence
from typing import Final, LiteralString
from uuid import UUID

from domain.divisions import Division
from domain.events import HeadsNoted, NotCanonical, read
from domain.shards import place
from gateway.node import Node
from gateway.reading.history import History, Knew, Step, history, step_of
from gateway.refusals import NotFound
from sync.ledger.rows import Row
from sync.proofs.note import parse_signature_lines
from sync.proofs.postgres_trees import columns

NOTES_LOOKED_AT: Final = 8
"""So many notes of a node after an event are looked at: the first that speaks of a log that has grown comes soon. Of a
tier that noted it later still, only its cosignature shows that it knew."""

_COSIGNED: Final[LiteralString] = """
    select leaf.number, c.line
    from unnest(%b::int[], %b::int[], %b::bigint[], %b::text[]) as leaf (number, log_id, seq, witness)
    cross join lateral (
        select line from cosignature c
        where c.log_id = leaf.log_id and c.witness = leaf.witness and c.size > leaf.seq order by c.size limit 1
    ) c"""

_NOTED: Final[LiteralString] = """
    select distinct on (noted.pos) noted.pos, noted.body
    from unnest(%b::bigint[]) as step (pos)
    cross join log
    cross join lateral (
        select pos, body from ledger
        where topic = 'node.heads.v0' and ledger.log_id = log.id and ledger.pos > step.pos order by pos limit %b
    ) noted where log.division = any(%b) order by noted.pos"""


def case_history(node: Node, case: UUID) -> History:
    """The history of a case as the node tells it now. NotFound where it knows nothing of it."""
    steps = steps_of(node, node.reader.read_case(case))
    if not steps:
        raise NotFound
    return history(node.here, case, steps)


def steps_of(node: Node, rows: Sequence[Row]) -> list[Step]:
    """Rows of its ledger as steps, in that order; without those whose bytes are no event."""
    steps: list[Step] = []
    stood: list[Row] = []
    for row in rows:
        try:
            event = read(row.body)
        except NotCanonical:
            continue  # kept and proven in the ledger, recorded as a fault; it says nothing that could be told
        if event.case is None or event.stream is None or event.version is None:
            continue
        origin, at = node.around.origin(row.log_id), place(row.log_id, row.seq)
        steps.append(step_of(node.here, origin, row.seq, at, len(steps), row.via, event, row.known_us))
        stood.append(row)
    _add_cosigned(node, steps, stood)
    _add_noted(node, steps, stood)
    return steps


def _add_cosigned(node: Node, steps: Sequence[Step], rows: Sequence[Row]) -> None:
    """Every superior has seen every leaf under a head that it cosigned, by the end of that second."""
    directory = node.around.directory()
    above = {log: directory.witnesses_above(directory.division_of(log) or Division("")) for log in _logs(steps)}
    asked = [
        (number, row.log_id, row.seq, name)
        for number, (row, step) in enumerate(zip(rows, steps, strict=True))
        for name in above[step.log]
    ]
    for number, text in node.reader.fetch(_COSIGNED, columns(asked, 4)):
        step = steps[number]
        tier, keys = above[step.log][_name_in(text)]
        for line in parse_signature_lines(text.encode()):
            if any(key.key_id == line.key_id for key in keys):
                step.learn(tier, Knew((line.time_s + 1) * 1_000_000, "cosigned"))


def _logs(steps: Iterable[Step]) -> set[str]:
    return {step.log for step in steps}


def _name_in(line: str) -> str:
    return line.split(" ")[1]


def _add_noted(node: Node, steps: Sequence[Step], rows: Sequence[Row]) -> None:
    """Its author has accepted every leaf under the heads that it notes by then."""
    by_log: dict[str, list[Step]] = {}
    for step in steps:
        by_log.setdefault(step.log, []).append(step)
    between = _between(node, {step.event.node for step in steps if step.event.node})
    if not between:
        return
    for _, body in node.reader.fetch(_NOTED, ([row.pos for row in rows], NOTES_LOOKED_AT, between)):
        event = read(body)
        if isinstance(event, HeadsNoted):
            _note(by_log, event)


def _between(node: Node, authors: Iterable[str]) -> list[str]:
    """The tiers on the way from these authors up to the node: those whose notes of their logs come here."""
    tree = node.around.topology()
    found: set[str] = set()
    for author in authors:
        code = Division(author)
        if code != node.here and code in tree.parents and tree.is_below(code, node.here):
            line = tree.path_up(code)
            found.update(line[1 : line.index(node.here)])
    return sorted(found)


def _note(by_log: dict[str, list[Step]], event: HeadsNoted) -> None:
    for head in event.heads:
        for step in by_log.get(head.log, ()):
            if step.seq < head.size:
                step.learn(Division(event.node), Knew(event.recorded_us, "note"))
