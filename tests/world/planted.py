"""Faults that somebody could put into the program, to show that the world finds them: each is planted by itself."""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import pytest
import structlog

from domain.divisions import Division
from gateway.casework import sealer
from gateway.casework.desk import Desk
from gateway.casework.numbers import Numbers
from gateway.casework.steward import Steward
from gateway.hosting.clock import HeldClock
from projections.catalogue import PROJECTIONS
from projections.following import Follower
from sync.exchange import arrivals, inbox
from sync.exchange.dispatch import _Page
from sync.exchange.exchange import Exchange
from sync.exchange.lanes import Lanes
from sync.exchange.opening import OpenFrame
from sync.exchange.outbox import Outbox
from sync.exchange.wire import Cosigned
from sync.ledger.batch import Batch
from sync.proofs.note import Checkpoint, cosign
from sync.sealed import sealing
from sync.sealed.acts import Destruction
from tests.gateway.memory_node import MemoryNode
from tests.sync import memory_acts, memory_ledger
from tests.sync.memory_ledger import MemoryLedger
from tests.sync.memory_links import MemoryLinks
from tests.sync.memory_tables import Tables

Patch = pytest.MonkeyPatch


class Planted(NamedTuple):
    """A fault: its name, what it does to the promises, and how it is put in."""

    name: str
    breaks: str
    put_in: Callable[[Patch], None]


def _commands_are_not_remembered(patch: Patch) -> None:
    patch.setattr(Batch, "_repeat", lambda self, append: None)
    patch.setattr(Desk, "_recorded_before", lambda self, command_id, digest: None)
    patch.setattr(MemoryLedger, "_keep_command", lambda self, command_id, command: None)


def _no_fence(patch: Patch) -> None:
    patch.setattr(MemoryLedger, "_fence", lambda self, head: None)


def _views_move_first(patch: Patch) -> None:
    fold = Follower._fold

    def moved_first(self: Follower, rows: Sequence[Any]) -> int:
        before = self.pos
        with self._views.transaction():
            self._views.move([projection.name for projection in PROJECTIONS], rows[-1].pos)
        with self._views.transaction():
            self._views.move([projection.name for projection in PROJECTIONS], before)
            return fold(self, rows)

    patch.setattr(Follower, "_fold", moved_first)


def _cosigned_before_stored(patch: Patch) -> None:
    take_in = Exchange._take_in

    def cosigned_first(
        self: Exchange, opened: Sequence[Any], delivered: Sequence[Any], children: Mapping[str, Division]
    ) -> Callable[[], None]:
        now_us, signer = self._now_us(), self.station.cosigner
        with self._store.transaction() as tx:
            for one in opened:
                if isinstance(one, OpenFrame) and one.trouble is None:
                    text = Checkpoint(one.frame.log, one.head.size, one.head.root).text()
                    line = str(cosign(text, signer, now_us // 1_000_000))
                    tx.enqueue(one.child, [Cosigned(one.frame.log, one.head.size, one.head.root, line)], now_us)
        return take_in(self, opened, delivered, children)

    patch.setattr(Exchange, "_take_in", cosigned_first)


def _gaps_from_above_are_skipped(patch: Patch) -> None:
    take_number = arrivals._Batch._take_number

    def skip(self: Any, down: Any) -> None:
        if down.after > self.down_seq:
            self.down_seq = down.after
        take_number(self, down)

    patch.setattr(arrivals._Batch, "_take_number", skip)


def _causes_are_not_waited_for(patch: Patch) -> None:
    patch.setattr(inbox._Batch, "_missing_cause", lambda self, opened, tree: None)


def _restored_without_asking(patch: Patch) -> None:
    restore = MemoryNode.restore

    def unasked(self: MemoryNode, backup: Tables) -> None:
        restore(self, backup)
        self.is_restored = False
        self.crash()
        self.start()

    patch.setattr(MemoryNode, "restore", unasked)


def _what_waits_is_forgotten(patch: Patch) -> None:
    patch.setattr(inbox._Batch, "take_up_parked", lambda self: self._grown.clear())


def _crossed_is_not_sent(patch: Patch) -> None:
    patch.setattr(_Page, "send_own_side", lambda self, rows, receivers: None)


def _spoiled_parts_are_taken(patch: Patch) -> None:
    patch.setattr(inbox, "PART_TRIES", 0)


def _nothing_is_sent_again(patch: Patch) -> None:
    patch.setattr(Outbox, "is_unsure", lambda self, elapsed_s: False)


def _one_acknowledgement_is_all(patch: Patch) -> None:
    acknowledge = MemoryLinks.acknowledge_log
    patch.setattr(
        MemoryLinks,
        "acknowledge_log",
        lambda self, log_id, size: acknowledge(self, log_id, self.tables.trees[log_id].size),
    )


def _next_holder_gets_no_key(patch: Patch) -> None:
    patch.setattr(sealer, "_new_readers", lambda events: frozenset())


def _words_left(form: Callable[[bytes], bytes]) -> Callable[[Patch], None]:
    """What is written lies beside its event in this form, behind what is sealed."""

    def put_in(patch: Patch) -> None:
        seal_texts = sealer.seal_texts

        def clear(key: Any, event: Any, texts: Mapping[str, str], random: Any) -> Any:
            sealed, part = seal_texts(key, event, texts, random)
            part += form(json.dumps(dict(texts), ensure_ascii=False).encode())
            return msgspec.structs.replace(sealed, ciphertext=sealing.digest_text(part)), part

        patch.setattr(sealer, "seal_texts", clear)

    return put_in


def _phones_are_logged(patch: Patch) -> None:
    seal_texts = sealer.seal_texts

    def told(key: Any, event: Any, texts: Mapping[str, str], random: Any) -> Any:
        structlog.get_logger("planted").info("sealed", phone=texts.get("petitioner.phone"))
        return seal_texts(key, event, texts, random)

    patch.setattr(sealer, "seal_texts", told)


def _the_city_gets_every_key(patch: Patch) -> None:
    new_readers = sealer._new_readers
    patch.setattr(sealer, "_new_readers", lambda events: new_readers(events) | {Division("410200000000")})


def _destroyed_in_word_only(patch: Patch) -> None:
    carry_out = memory_acts.carry_out

    def keep(act: Any, tables: Tables) -> None:
        if not isinstance(act, Destruction):
            carry_out(act, tables)

    patch.setattr(memory_ledger, "carry_out", keep)


def _clock_runs_back(patch: Patch) -> None:
    patch.setattr(HeldClock, "now_us", lambda self: self._clock.now_us())
    patch.setattr(HeldClock, "sure_us", lambda self: self._clock.now_us())


def _new_lane_is_not_read(patch: Patch) -> None:
    patch.setattr(Lanes, "restart", lambda self, lane: None)


def _steward_moves_first(patch: Patch) -> None:
    go_through = Steward._go_through

    def moved(self: Steward, rows: Sequence[Any]) -> list[Any]:
        if rows:
            self._store.move(rows[-1].pos)
        return go_through(self, rows)

    patch.setattr(Steward, "_go_through", moved)


def _numbers_are_not_kept(patch: Patch) -> None:
    patch.setattr(Numbers, "__init__", _forgetful(Numbers.__init__))


def _forgetful(init: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Numbers, here: Division, last: Mapping[tuple[str, int], int]) -> None:
        init(self, here, {})

    return begin


PLANTED: Final = (
    Planted("commands are not remembered", "a command that is sent again is done twice", _commands_are_not_remembered),
    Planted("no fence", "a process that was replaced goes on writing", _no_fence),
    Planted("views move before their rows", "a view loses what a crash interrupts", _views_move_first),
    Planted("cosigned before stored", "what is acknowledged may be lost", _cosigned_before_stored),
    Planted("gaps from above are skipped", "a directive that was lost is never missed", _gaps_from_above_are_skipped),
    Planted("causes are not waited for", "an answer stands before its question", _causes_are_not_waited_for),
    Planted("restored without asking", "places of a log are given twice", _restored_without_asking),
    Planted("what waits is forgotten", "frames that came early are never taken up", _what_waits_is_forgotten),
    Planted("what crossed is not sent", "the new holder never sees what was added meanwhile", _crossed_is_not_sent),
    Planted("spoiled parts are taken", "a sealed text is missing above", _spoiled_parts_are_taken),
    Planted("nothing is sent again", "what the channel lost never arrives", _nothing_is_sent_again),
    Planted("one acknowledgement is all", "what was never received counts as secured", _one_acknowledgement_is_all),
    Planted("the next holder gets no key", "whoever has to act cannot read", _next_holder_gets_no_key),
    Planted("words in clear", "what people wrote is open to everybody on the way", _words_left(bytes)),
    Planted("words in base64", "what people wrote is open to who can decode it", _words_left(base64.b64encode)),
    Planted("words compressed", "what people wrote is open to who can unfold it", _words_left(zlib.compress)),
    Planted("phone numbers are logged", "who reads the log knows who petitions", _phones_are_logged),
    Planted("the city gets every key", "a tier reads what it has no duty to read", _the_city_gets_every_key),
    Planted("destroyed in word only", "what was erased stays readable", _destroyed_in_word_only),
    Planted("the clock runs back", "a log says that later things happened earlier", _clock_runs_back),
    Planted("a new lane is not read", "a link that was made anew stays silent", _new_lane_is_not_read),
    Planted("the steward moves first", "a matter that was handed over is never opened", _steward_moves_first),
    Planted("numbers are not kept", "two papers bear one number", _numbers_are_not_kept),
)


@contextmanager
def planted(fault: Planted) -> Iterator[None]:
    """The program has this fault inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        fault.put_in(patch)
        yield
