"""Generated requests against every route of a running node: what its OpenAPI promises is what it does."""

import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig

from tests.gateway.conftest import BASE, VILLAGE, Office, Town

CONFIG: Final = {
    "seed": 20260315,
    "generation": {"max-examples": 8, "deterministic": True, "no-shrink": True},
    "checks": {
        # A rule may refuse what the shape allows (422), and 1.0 is no whole number here (400).
        "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401", "403", "404", "409", "422", "429"]},
        "negative_data_rejection": {
            "expected-statuses": ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
        },
    },
    # Every boundary of each of the 28 commands would be 1,300 requests; a sample of them is as good a test.
    "operations": [
        {
            "include-name": "POST /api/commands",
            "generation": {"max-examples": 150},
            "phases": {"coverage": {"enabled": False}},
        }
    ],
}

ROLE_BY_PREFIX: Final = {"/api/admin": "operator", "/api/board": "supervisor", "/api/logout": "auditor"}
TOKEN: Final = "a token, no session"
OWN_LOG: Final = {"domain": "test.example", "division": str(VILLAGE), "shard": "1", "level": "0"}
ROLE_BY_COMMAND: Final = {"register": "clerk", "extend": "leader", "issue_order": "supervisor", "take_over": "leader"}
CASES: Final = 16


class Known(NamedTuple):
    """A case that is really there, so that a request gets past the question whether it is."""

    case: str
    leg: str
    events: list[str]
    receipt: str
    code: str

    def __repr__(self) -> str:
        return self.case  # hypothesis writes its arguments down for every example

    def about(self, names: dict[str, Any]) -> None:
        """Turn every id among `names` into one of this case."""
        own = {"case": self.case, "leg": self.leg, "receipt": self.receipt, "code": self.code}
        names.update({name: value for name, value in own.items() if isinstance(names.get(name), str)})
        for name in ("event", "directive", "objection", "paper"):
            if isinstance(names.get(name), str):
                names[name] = one_of(self.events, names[name])
        if OWN_LOG.keys() & names.keys():
            names.update({name: OWN_LOG[name] for name in OWN_LOG if name in names})
            names.update({"path": one_of(["000.p/1", "000.p/2"], names["path"])} if "path" in names else {})
        if isinstance(names.get("events"), list):
            names["events"] = [one_of(self.events, drawn) for drawn in names["events"]]


def one_of(choices: Sequence[Any], drawn: object) -> Any:
    """The same one each time for the same draw."""
    return choices[zlib.crc32(repr(drawn).encode()) % len(choices)]


@pytest.fixture(scope="module")
def village(town: Town) -> Office:
    return town.village


@pytest.fixture(scope="module")
def known(village: Office) -> list[Known]:
    handler = village.api("handler")

    def file_one() -> Known:
        petition = {"title": "浇地水源", "body": "渠道断水。", "claims": [{"claim": str(uuid4()), "text": "恢复供水"}]}
        key = {"Idempotency-Key": str(uuid4())}
        filed = village.client().post("/api/public/petitions", json=petition, headers=key).json()
        lines = handler.get(f"/api/cases/{filed['case']}/timeline").json()["lines"]
        events = [line["entry"]["event"] for line in lines]
        leg = next(event["leg"] for event in events if "leg" in event)
        return Known(filed["case"], leg, [event["id"] for event in events], filed["receipt"], filed["code"])

    return [file_one() for _ in range(CASES)]


@pytest.fixture(scope="module")
def tokens(village: Office) -> dict[str, str]:
    roles = {*ROLE_BY_PREFIX.values(), *ROLE_BY_COMMAND.values(), "handler"}
    by_role = {role: str(village.api(role).http.headers["authorization"]) for role in roles}
    auditor = village.app.state.auditor_tokens.make("auditor", 1, None)
    return by_role | {TOKEN: f"Bearer {auditor.token}"}


@pytest.fixture(scope="module")
def described(village: Office) -> schemathesis.BaseSchema:
    """The node's own description of itself."""
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/openapi.json", village.app, config=config)


@pytest.fixture(autouse=True)
def node_id(request: pytest.FixtureRequest) -> None:
    """Schemathesis 4.32 reads and writes the id of a test where pytest 9.2 no longer keeps it."""
    request.node._nodeid = request.node.nodeid


def role_for(case: schemathesis.Case) -> str:
    if case.operation.path.startswith("/tlog"):
        return TOKEN
    for prefix, role in ROLE_BY_PREFIX.items():
        if case.operation.path.startswith(prefix):
            return role
    command = case.body.get("command") if isinstance(case.body, dict) else None
    return ROLE_BY_COMMAND.get(command, "handler") if isinstance(command, str) else "handler"


@schemathesis.pytest.from_fixture("described").parametrize()
def test_every_route_answers_as_its_openapi_says(
    case: schemathesis.Case, known: list[Known], tokens: dict[str, str]
) -> None:
    if case.meta is None or case.meta.generation.mode.is_positive:
        chosen = one_of(known, (case.path_parameters, case.body))
        chosen.about(case.path_parameters)
        if isinstance(case.body, dict):
            chosen.about(case.body)
    case.call_and_validate(base_url=BASE, headers={"Authorization": tokens[role_for(case)]})
