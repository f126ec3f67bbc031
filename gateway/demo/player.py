"""Plays stories against a running city through its HTTP API, in the order of simulated time, once each.

Every act carries a command id made from its story and step, so after any crash the player begins again from the
first step and the nodes answer what they had recorded. Nothing is kept here but how far each story has come.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple
from uuid import UUID

import httpx2
import msgspec

from domain.divisions import Division
from domain.events import AnyEvent, CaseId, Role
from gateway.demo.ending import Interrupted
from gateway.demo.story import HOUR_US, Act, Denounce, MixedLetter, RateByReceipt, Recorded, Story, act_id
from gateway.hosting.clock import SharedClock

WORKERS = 8
SLACK_US = 48 * HOUR_US
"""How far simulated time may run ahead of an act that still waits for its case to arrive."""

ARRIVAL_S = 120.0
"""How long an act may wait for a directive to reach its node, restarts of nodes included."""

_LOOK_S = 0.2

# What needs no account.
_PUBLIC: dict[type, str] = {Denounce: "/api/denunciations", RateByReceipt: "/api/public/rate"}

# What a node says while something that the act rests on has not reached it yet: the case, its leg, a claim added
# elsewhere (all it knows of is accepted already), an order, a reply to it, an objection, the ruling on it.
NOT_YET = frozenset(
    {
        "accepted_already",
        "case_unknown",
        "leg_unknown",
        "not_found",
        "not_holder",
        "not_opened",
        "objection_stands",
        "objection_unknown",
        "order_unknown",
        "reply_missing",
    }
)


class DemoFailed(RuntimeError):
    """A node refused an act that the story says is lawful: a fault of the program, shown with the node's own words."""


class Place(NamedTuple):
    """Where a node is reached."""

    url: str


class Desks:
    """Logs in where it is needed and sends acts; a node that is down or restarting is asked again."""

    def __init__(self, places: dict[Division, Place], password: str) -> None:
        self._places = places
        self._password = password
        self._tokens: dict[tuple[Division, Role], str] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = httpx2.Client(timeout=30.0)

    def close(self) -> None:
        """Let the connections go; an act that still waits for its turn is given up with Interrupted."""
        self._closing.set()
        self._http.close()

    def perform(self, act: Act, command_id: UUID) -> Recorded:
        """Do it, waiting until its case has reached the node. Raises DemoFailed on a refusal."""
        give_up = time.monotonic() + ARRIVAL_S
        for pause_s in itertools.chain((0.01, 0.02, 0.03, 0.05), itertools.repeat(0.1)):
            if self._closing.is_set():
                raise Interrupted
            code, answer = self._attempt(act, command_id)
            if code is None:
                return _recorded(answer)
            if time.monotonic() > give_up or code not in NOT_YET | {"unreachable", "busy", "session_ended"}:
                raise DemoFailed(
                    f"{act.node} {act.role} {type(act.command).__name__}: {answer.decode(errors='replace')}"
                )
            if code == "session_ended":
                self._tokens.pop((act.node, act.role), None)
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _attempt(self, act: Act, command_id: UUID) -> tuple[str | None, bytes]:
        url = self._places[act.node].url
        path = _PUBLIC.get(type(act.command), "/api/commands")
        headers = {"Idempotency-Key": str(command_id), "Content-Type": "application/json"}
        try:
            if type(act.command) not in _PUBLIC:
                headers["Authorization"] = f"Bearer {self._token(act.node, act.role)}"
            response = self._http.post(url + path, content=_body(act), headers=headers)
        except httpx2.TransportError as error:
            return "unreachable", str(error).encode()
        if response.status_code < 300:
            return None, response.content
        return _code(response), response.content

    def _token(self, node: Division, role: Role) -> str:
        with self._lock:
            found = self._tokens.get((node, role))
            if found is None:
                body = {"username": role, "password": self._password}
                response = self._http.post(self._places[node].url + "/api/login", json=body)
                if response.status_code >= 500:
                    raise httpx2.ConnectError(f"{node} is not ready")
                if response.status_code != 200:
                    raise DemoFailed(f"{node} {role}: {response.text}")
                found = self._tokens[node, role] = str(response.json()["token"])
            return found


def _body(act: Act) -> bytes:
    if isinstance(act.command, Denounce | RateByReceipt):
        return msgspec.json.encode(act.command._asdict())
    if isinstance(act.command, MixedLetter):
        register = msgspec.structs.replace(act.command.register, occurred_us=act.at_us)
        denunciation = act.command.denunciation._asdict()
        return msgspec.json.encode({"command": "mixed_letter", "register": register, "denunciation": denunciation})
    return msgspec.json.encode(msgspec.structs.replace(act.command, occurred_us=act.at_us))


def _code(response: httpx2.Response) -> str:
    if response.status_code == 401:
        return "session_ended"
    if response.status_code in (429, 502, 503):
        return "busy"
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError):
        return "unreachable" if response.status_code >= 500 else "unnamed"


class _Answer(msgspec.Struct):
    case: CaseId | None = None
    events: tuple[AnyEvent, ...] = ()
    rating_code: str | None = None


_answers = msgspec.json.Decoder(_Answer)


def _recorded(answer: bytes) -> Recorded:
    found = _answers.decode(answer)
    return Recorded(found.case, found.events, found.rating_code)


class _Thread(NamedTuple):
    """One story under way."""

    name: str
    story: Story
    step: int
    act: Act


def play(
    stories: Iterable[tuple[str, int, Story]],
    desks: Desks,
    clock: SharedClock,
    progress: Callable[[int, int], None],
    stopped: threading.Event,
) -> int:
    """Play all stories to their end, or until `stopped`; returns how many acts were done.

    progress: told how many stories have ended and how many have begun. Nothing is waited for that is under way when
    it is stopped, or when one act fails: close the desks to end that too.
    """
    pending = iter(stories)
    upcoming = next(pending, None)
    heap: list[tuple[int, int, _Thread]] = []
    order = itertools.count()
    running: dict[Future[Recorded], _Thread] = {}
    acts = ended = begun = 0
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while (upcoming or heap or running) and not stopped.is_set():
            while upcoming and (not heap or upcoming[1] <= heap[0][0]):
                name, _, story = upcoming
                act = next(story)
                heapq.heappush(heap, (act.at_us, next(order), _Thread(name, story, 0, act)))
                begun += 1
                upcoming = next(pending, None)
            horizon = min((thread.act.at_us for thread in running.values()), default=None)
            if heap and len(running) < WORKERS and (horizon is None or heap[0][0] <= horizon + SLACK_US):
                at_us, _, thread = heapq.heappop(heap)
                clock.advance_to(at_us)
                running[pool.submit(desks.perform, thread.act, act_id(thread.name, thread.step))] = thread
                continue
            done, _ = wait(running, _LOOK_S, FIRST_COMPLETED)
            for future in done:
                thread = running.pop(future)
                acts += 1
                try:
                    act = thread.story.send(future.result())
                except StopIteration:
                    ended += 1
                    progress(ended, begun)
                else:
                    following = _Thread(thread.name, thread.story, thread.step + 1, act)
                    heapq.heappush(heap, (act.at_us, next(order), following))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return acts
