"""One poison event parks its case with everything after it, by name; what cannot be read is parked alone."""

from collections.abc import Collection, Sequence
from uuid import UUID

from projections.projection import Fact, Projection
from projections.store import Store
from projections.views import Views, Waiting

_REASON_LENGTH = 500


def fold_or_park(views: Views, projection: Projection, batch: Sequence[Fact], only: UUID | None = None) -> None:
    """Fold `batch` into `views`; what cannot be folded is parked with its key, the rest is folded.

    Runs inside the caller's transaction. only: the one case that may be touched, for a retry. Raises what is
    no event's fault: a lost connection, a missing table.
    """
    keys = {fact.key.int: fact.key for fact in batch}  # the hash of a UUID is Python code
    gate = Gate(views, projection.name, keys.values())
    _fold(views, projection, gate, batch, only)


class Gate:
    """Holds back the events of parked keys and those that cannot be read, and parks more."""

    def __init__(self, views: Views, projection: str, keys: Collection[UUID] | None = None) -> None:
        """keys: all that will come to this gate, if that is known."""
        self._views = views
        self._projection = projection
        self._waiting = set(views.waiting(projection, None if keys is None else list(keys)))

    def flowing(self, batch: Sequence[Fact]) -> list[Fact]:
        """The events that may be folded; the others are parked."""
        if not self._waiting and all(fact.fault is None for fact in batch):
            return list(batch)
        return [fact for fact in batch if not self._is_held(fact)]

    def park(self, fact: Fact, reason: str) -> None:
        """Park one event; whatever else of its key comes to this gate is parked behind it."""
        self._waiting.add(fact.key)
        topic, why = fact.topic.replace("\0", ""), reason.replace("\0", "")[:_REASON_LENGTH]
        waiting = Waiting(pos=fact.pos, key=fact.key, topic=topic, reason=why, known_us=fact.known_us)
        self._views.park(self._projection, waiting)

    def _is_held(self, fact: Fact) -> bool:
        if fact.key in self._waiting:
            self.park(fact, "")
            return True
        if fact.fault is not None:
            self.park(fact, fact.fault)
            return True
        return False


def _fold(views: Views, projection: Projection, gate: Gate, batch: Sequence[Fact], only: UUID | None) -> None:
    """Fold all at once; if that fails, each half, down to the one event that is to blame."""
    flowing = gate.flowing(batch)
    if not flowing:
        return
    try:
        with views.transaction():
            store = Store(views, projection.tables, only=only)
            projection.fold(flowing, store)
            store.flush()
    except Exception as error:
        if not views.is_poison(error):
            raise
        if len(flowing) == 1:
            gate.park(flowing[0], f"{type(error).__name__}: {error}")
            return
        middle = len(flowing) // 2
        for half in (flowing[:middle], flowing[middle:]):
            _fold(views, projection, gate, half, only)
