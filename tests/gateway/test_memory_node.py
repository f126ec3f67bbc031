"""Whole nodes in memory: the very writer, exchange, desk, steward and custody, wherever the power or the line fails."""

import os
import subprocess
import sys
from datetime import date
from functools import partial
from uuid import UUID

import pytest

from domain.case import CaseFile
from domain.commands import Accept, AddMaterial, HandOver, IssueOrder, Object, ReplyOrder, TakeOver
from domain.events import ErasureConfirmed, EventId, KeyDestroyed, decode
from domain.refusals import UpgradeNeeded
from gateway.backup.probation import AwaitingSuperior, SuperiorKnowsMore
from gateway.casework.readings import Opened
from sync.ledger.append import Append, Fenced
from tests.gateway.memory_node import MemoryNode
from tests.gateway.story_in_memory import NAME, REGISTRATION, PowerCut, Story, leg_of
from tests.sync.hierarchy import CITY, NEIGHBOUR, TOWNSHIP, VILLAGE
from tests.sync.memory_ledger import ConnectionLost, MemoryLedger, MemoryWriter
from tests.sync.seeded_hpke import seeded_hpke
from tests.world.older import older_program

SEED = 7


def told(strikes_at: int | None = None, blow: type[BaseException] = PowerCut, *, has_city: bool = True) -> Story:
    with seeded_hpke(SEED):
        return Story(SEED, strikes_at, blow, has_city=has_city).tell()


def written(story: Story) -> dict[str, list[str]]:
    """What each node has written, in order, by type."""
    return {node.here: [row.topic for row in node.log(node.origin)] for node in story.nodes}


def assert_all_is_well(story: Story, whole: Story) -> None:
    """Everything was done once, stands above as it was written, is understood the same everywhere, and is erased."""
    assert written(story) == written(whole)
    for node in story.nodes:
        above = node
        while above.parent is not None:
            above = above.parent
            assert [row.body for row in above.log(node.origin)] == [row.body for row in node.log(node.origin)]
        assert node.faults() == {}
        assert node.tables.beside == {}
        file = node.casework.desk.file(story.case)
        assert file is not None
        assert file.is_ended
        (erasure,) = file.erasures.values()
        assert erasure.destroyed_by == {VILLAGE, TOWNSHIP}


def test_a_case_goes_from_its_registration_to_its_erasure_on_whole_nodes_in_memory() -> None:
    story = told()

    assert_all_is_well(story, story)
    kinds = written(story)
    assert kinds[VILLAGE][2:] == [
        "case.registered.v0",
        "leg.opened.v0",
        "key.granted.v0",
        "leg.handed_over.v0",
        "key.granted.v0",
        "objection.ruled.v0",
        "key.destroyed.v0",
    ]
    assert kinds[TOWNSHIP][3:] == [
        "leg.opened.v0",
        "leg.objected.v0",
        "directive.answered.v0",
        "leg.accepted.v0",
        "opinion.issued.v0",
        "paper.served.v0",
        "leg.closed.v0",
        "erasure.ordered.v0",
        "erasure.confirmed.v0",
        "key.destroyed.v0",
    ]
    events = [decode(row.body) for row in story.city.tables.ledger.rows]
    (confirmed,) = [event for event in events if isinstance(event, ErasureConfirmed)]
    signed = [event.custodian for event in events if isinstance(event, KeyDestroyed)]
    assert sorted(signed) == sorted(confirmed.custodians) == sorted([TOWNSHIP, VILLAGE])


def test_before_its_erasure_a_custodian_reads_the_text_and_after_it_nobody_does() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED).tell_until_closed()
        clerk = story.township.actor("handler")
        first = EventId(story.case)  # which is the registration's id

        def read(node: MemoryNode, key: int) -> Opened:
            return node.casework.readings.texts(story.case, [first], clerk, "handle", UUID(int=key))

        assert read(story.township, 1).texts[first]["petitioner.name"] == NAME
        assert read(story.city, 2).withheld == {first: "no_key"}
        story.erase()
        assert read(story.township, 3).withheld == {first: "erased"}


def test_a_superior_supervises_and_at_last_takes_the_matter_over_with_its_keys() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        township, city = story.township, story.city
        case = story.case = story.do(story.village, "clerk", lambda _: REGISTRATION).case
        assert case is not None
        story.hand_over()
        story.do(township, "handler", lambda file: Accept(case=case, leg=leg_of(file)))
        story.settle()
        by, demand = date(2026, 3, 2), "请说明进度"
        story.do(
            city,
            "supervisor",
            lambda file: IssueOrder(case=case, leg=leg_of(file), trigger="delay", reply_by=by, demand=demand),
        )
        story.settle()
        story.do(township, "handler", lambda file: ReplyOrder(case=case, order=next(iter(file.orders)), text="已安排"))
        story.settle()
        read = partial(city.casework.readings.texts, case, [EventId(case)], city.actor("handler"), "supervise")
        assert read(UUID(int=1)).withheld == {EventId(case): "no_key"}
        story.do(
            city,
            "leader",
            lambda file: TakeOver(case=case, leg=leg_of(file), unit=city.office, reason="久拖不决"),
        )
        story.settle()
        assert read(UUID(int=2)).texts[EventId(case)]["petitioner.name"] == NAME
    for node in story.nodes:
        file = node.casework.desk.file(case)
        assert file is not None
        assert file.accountable == city.office
        assert node.faults() == {}


def test_a_key_that_comes_when_the_matter_was_given_on_twice_reaches_whoever_has_it_now() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        city, township, village = story.nodes
        neighbour = MemoryNode(NEIGHBOUR, village.above, story.clock, township)
        neighbour.begin()
        story.nodes.append(neighbour)
        story.case = case = story.do(village, "clerk", lambda _: REGISTRATION).case
        assert case is not None
        story.settle()

        story.nodes = [city, township, neighbour]  # the village is away
        office = township.office
        story.do(township, "leader", lambda file: TakeOver(case=case, leg=leg_of(file), unit=office, reason="久拖不决"))
        for sender, to in ((township, neighbour.office), (neighbour, city.office)):
            work_for_a_minute(story)
            story.do(sender, "handler", partial(hands_over, to))
        work_for_a_minute(story)
        assert city.casework.desk.file(case).present_leg.unit == city.office  # type: ignore[union-attr]
        clerk, first = city.actor("handler"), EventId(case)
        withheld = city.casework.readings.texts(case, [first], clerk, "handle", UUID(int=1)).withheld
        assert withheld == {first: "no_key"}

        story.nodes = [city, township, neighbour, village]
        story.settle()
        opened = city.casework.readings.texts(case, [first], clerk, "handle", UUID(int=2))
        assert opened.texts[first]["petitioner.name"] == NAME


def work_for_a_minute(story: Story) -> None:
    for _ in range(6):
        story.work()
        story.clock.pass_s(10)


def hands_over(to: str, file: CaseFile) -> HandOver:
    leg = leg_of(file)
    return HandOver(case=file.case, leg=leg, to=to, mode="transfer", report_by=None, reason="属其职责")


def test_a_command_that_a_later_program_had_done_is_refused_by_name_where_the_present_one_cannot_read_it() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        village = story.village
        case = story.do(village, "clerk", lambda _: REGISTRATION).case
        assert case is not None
        clerk = village.actor("clerk")
        command = AddMaterial(case=case, note="补充照片")
        done = village.casework.desk.do(command, clerk, village.journal.of_account(clerk.account, UUID(int=5)))
        village.crash()
        with older_program():
            village.start()
            again = village.journal.of_account(clerk.account, UUID(int=5))
            with pytest.raises(UpgradeNeeded):
                village.casework.desk.do(command, clerk, again)
        village.crash()
        village.start()
        again = village.journal.of_account(clerk.account, UUID(int=5))
        assert village.casework.desk.do(command, clerk, again).events == done.events


def test_an_objection_that_nobody_answers_ends_by_itself_when_its_days_are_over() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.case = story.do(story.village, "clerk", lambda _: REGISTRATION).case
        story.hand_over()
        story.do(story.township, "handler", lambda file: Object(case=file.case, leg=leg_of(file), reason="不属本单位"))
        story.settle()
        assert "objection.lapsed.v0" not in written(story)[TOWNSHIP]
        story.clock.pass_s(12 * 86_400)
        story.settle()
    assert written(story)[TOWNSHIP].count("objection.lapsed.v0") == 1


def test_a_letter_about_an_official_is_read_on_the_desk_of_the_organ_above_and_nowhere_else() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        story.denounce()
        desks = {node.here: node.casework.denunciations for node in story.nodes}
        assert {here: len(desk.waiting()) for here, desk in desks.items()} == {CITY: 1, TOWNSHIP: 0, VILLAGE: 0}
        (letter,) = desks[CITY].waiting()
        assert desks[CITY].open(letter.leaf, story.city.actor("leader")).text == "收受礼金"


def test_the_same_seed_gives_the_same_bytes_in_another_process_too() -> None:
    again = subprocess.run(
        [sys.executable, "-m", "tests.gateway.story_in_memory", str(SEED)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    with seeded_hpke(SEED):
        here = Story(SEED).tell().denounce().digest()
    with seeded_hpke(SEED + 1):
        other = Story(SEED + 1).tell().denounce().digest()
    assert again.stdout.strip() == here != other


def test_a_node_from_a_backup_asks_its_parent_and_writes_only_where_that_holds_no_more() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        village = story.village
        early = village.tables.copied()
        story.tell_until_closed()
        late = village.tables.copied()

        village.restore(early)
        with pytest.raises(AwaitingSuperior):
            story.do(village, "clerk", lambda _: REGISTRATION)
        story.work()
        with pytest.raises(SuperiorKnowsMore):
            story.do(village, "clerk", lambda _: REGISTRATION)
        assert "behind" in village.faults()

        village.restore(late)
        story.settle()
        again = story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()
        assert again.case is not None
        assert story.city.casework.desk.file(again.case) is not None
        assert village.faults() == {}


def test_a_restored_node_that_lacked_leaves_from_below_is_behind_only_until_it_has_them_again() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        township, village = story.township, story.village
        early = township.tables.copied()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()

        township.restore(early)
        for _ in range(6):  # it hears from the city what that has cosigned, and takes in nothing from below yet
            township.step()
            story.city.step()
            story.clock.pass_s(3)
            if "behind" in township.faults():
                break
        assert township.faults()["behind"] == village.origin
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()

    assert township.faults() == {}
    assert [row.body for row in township.log(village.origin)] == [row.body for row in village.log(village.origin)]


def test_a_restored_node_has_again_what_it_lacked_from_below_though_nobody_there_writes_any_more() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        township, village = story.township, story.village
        early = township.tables.copied()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()

        township.restore(early)
        work_for_a_minute(story)

    assert [row.body for row in township.log(village.origin)] == [row.body for row in village.log(village.origin)]
    assert township.faults() == {}


def test_a_node_whose_database_lost_what_had_left_it_asks_before_it_writes() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        village = story.village
        flushed = village.tables.copied()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()
        lost = village.tables.copied()

        village.crash()
        village.tables = flushed.copied()
        village.start()
        assert village.faults() == {"database_put_back": village.origin}
        with pytest.raises(AwaitingSuperior):
            story.do(village, "clerk", lambda _: REGISTRATION)
        story.work()
        with pytest.raises(SuperiorKnowsMore):
            story.do(village, "clerk", lambda _: REGISTRATION)

        village.restore(lost)
        story.settle()
    assert village.faults() == {}
    assert story.township.faults() == {}


def test_what_a_node_lost_before_anything_of_it_had_left_holds_nobody_up() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        village = story.village
        flushed = village.tables.copied()
        story.do(village, "clerk", lambda _: REGISTRATION)

        village.crash()
        village.tables = flushed
        village.start()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()
    assert [node.faults() for node in story.nodes] == [{}, {}, {}]


def test_a_superior_whose_database_lost_letters_gives_their_numbers_to_no_others() -> None:
    with seeded_hpke(SEED):
        story = Story(SEED)
        story.settle()
        township, village = story.township, story.village
        flushed = township.tables.copied()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()
        had = village.tables.tracking["down"]

        township.crash()
        township.tables = flushed
        township.start()
        assert "database_put_back" in township.faults()
        story.settle()
        story.do(village, "clerk", lambda _: REGISTRATION)
        story.settle()
    assert min(seq for child, seq in township.tables.down if child == VILLAGE and seq > had) > had + 1
    assert township.faults() == {}
    assert village.is_secured()


def test_a_second_process_on_the_tables_of_a_node_fences_the_first() -> None:
    story = Story(SEED)
    second = MemoryWriter(MemoryLedger(story.village.tables), story.clock.now_us)
    with pytest.raises(Fenced):
        story.do(story.village, "clerk", lambda _: REGISTRATION)
    assert len(second.append(Append([])).result().positions) == 0
    assert written(story)[VILLAGE] == ["node.opened.v0", "unit.opened.v0"]
    story.village.crash()
    story.village.start()
    assert story.do(story.village, "clerk", lambda _: REGISTRATION).case is not None


@pytest.mark.parametrize("share", range(3))
def test_wherever_a_node_loses_power_around_a_commit_all_is_done_once(share: int) -> None:
    whole = told(has_city=False)
    assert len(whole.points) > 150
    for point in range(share, len(whole.points), 3):
        assert_all_is_well(told(point, has_city=False), whole)


def test_wherever_a_connection_to_the_database_is_lost_around_a_commit_all_is_done_once() -> None:
    whole = told()
    for point in range(0, len(whole.points), 7):
        assert_all_is_well(told(point, ConnectionLost), whole)
