"""A denunciation that was registered as an ordinary petition goes sealed to the organ after all, with its readers."""

from uuid import UUID

import pytest

from domain.events import Actor, CaseId
from gateway.casework.denunciations import Denunciation
from tests.gateway.conftest import VILLAGE, Browser, Office, Town, wait_until
from tests.gateway.test_denunciations import officer, sealed
from tests.gateway.test_mixed_letters import number_on
from tests.gateway.test_pages import form, register, registration

ACCUSED = {"accused_unit": f"{VILLAGE}.office"}


def letters(town: Town, *items: UUID) -> list[Denunciation]:
    """What the county's desk finds in these, once they are there."""
    desk = town.county.node.denunciations

    def found() -> dict[UUID, Denunciation]:
        waiting = [one for one in desk.waiting() if one.item in items]
        return {one.item: desk.open(one.leaf, officer(town.county.node)) for one in waiting}

    wait_until(lambda: {one.item for one in desk.waiting()} >= set(items))
    return [found()[item] for item in items]


def readings(office: Office, case: str) -> int:
    query = "select count(*) from ledger where case_id = %b and topic = 'sealed.read.v0'"
    return int(office.node.reader.fetch(query, (UUID(case.removeprefix("/cases/")),))[0][0])


@pytest.fixture
def clerk(town: Town) -> Browser:
    return town.village.browser("clerk")


def test_all_that_was_written_and_who_has_read_it_reaches_the_managing_organ(town: Town, clerk: Browser) -> None:
    case = register(clerk)
    leader = town.village.browser("leader")
    leader.post(f"{case}/read", form(leader.get(case), f"{case}/read"))
    assert f'href="{case}/reseal"' in clerk.get(case).text

    told = clerk.post(f"{case}/reseal", form(clerk.get(f"{case}/reseal"), f"{case}/reseal") | ACCUSED)

    assert told.status_code == 200, told.text
    (letter,) = letters(town, number_on(told.text))
    assert letter.accused_unit == ACCUSED["accused_unit"]
    for said in ("修路占用大棚。", "补偿大棚", "张桂兰", "13900000000", "此前查阅过原文的人员"):
        assert said in letter.text
    known = town.village.node.desk.file(CaseId(UUID(case.removeprefix("/cases/"))))
    assert known is not None
    for role in ("leader", "clerk"):
        assert str(account(town.village, role).account) in letter.text
    assert "修路占用大棚" not in told.text


def account(office: Office, role: str) -> Actor:
    with office.node.pool.connection() as conn:
        ((id_, unit),) = conn.execute("select id, unit from web.account where login = %s", (role,)).fetchall()
    return Actor(account=id_, role="clerk", unit=unit)


def test_nothing_but_the_reading_is_recorded_of_it_and_a_repeat_records_nothing(town: Town, clerk: Browser) -> None:
    case = register(clerk)
    node, filled = town.village.node, form(clerk.get(f"{case}/reseal"), f"{case}/reseal") | ACCUSED
    before, items = node.reader.head().own_size, len(sealed(node))

    first, again = (clerk.post(f"{case}/reseal", filled) for _ in range(2))

    assert number_on(first.text) == number_on(again.text)
    assert readings(town.village, case) == 1
    assert len(sealed(node)) == items + 1
    assert node.reader.head().own_size == before + 2


def test_a_long_file_goes_in_several_numbered_letters(town: Town, clerk: Browser) -> None:
    filled = registration(clerk.get("/register"), body="长" * 19_000, claim_0="求" * 19_000)
    page = clerk.post("/register", filled)
    case = page.text.partition('href="/cases/')[2].partition('"')[0]
    path = f"/cases/{case}/reseal"

    told = clerk.post(path, form(clerk.get(path), path) | ACCUSED)

    numbers = [UUID(part.partition("<")[0]) for part in told.text.split('密件编号 <span class="mono">')[1:]]
    parts = letters(town, *numbers)
    assert [part.text[:5] for part in parts] == ["（1/3）", "（2/3）", "（3/3）"]
    assert sum(part.text.count("长") for part in parts) == 19_000
    assert sum(part.text.count("求") for part in parts) >= 19_000


def test_who_may_not_see_the_case_or_names_no_official_seals_nothing(town: Town, clerk: Browser) -> None:
    case = register(clerk)
    path, node = f"{case}/reseal", town.village.node
    filled = form(clerk.get(path), path)
    items = len(sealed(node))
    assert town.village.browser("auditor").get(path).status_code == 403
    assert clerk.get(f"/cases/{UUID(int=7)}/reseal").status_code == 404
    assert clerk.post(path, filled).status_code == 422
    assert "没有找到您填写的被反映单位" in clerk.post(path, filled | {"accused_unit": "419001000000.office"}).text
    assert len(sealed(node)) == items
