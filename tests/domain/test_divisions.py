"""Division codes and the tree of superiors."""

import pytest

from domain.divisions import (
    Division,
    DivisionInvalid,
    DivisionNotBelow,
    DivisionUnknown,
    Topology,
    TopologyLoop,
    division,
    is_below,
    parent_of,
    tier_of,
)

CITY = Division("410200000000")
COUNTY = Division("410221000000")
OTHER_COUNTY = Division("410222000000")
TOWNSHIP = Division("410221100000")
VILLAGE = Division("410221100201")
OTHER_VILLAGE = Division("410222100201")

TREE = Topology.by_digits([CITY, COUNTY, OTHER_COUNTY, TOWNSHIP, VILLAGE, OTHER_VILLAGE])


@pytest.mark.parametrize(
    ("code", "tier", "parent"),
    [
        (CITY, "city", None),
        (COUNTY, "county", CITY),
        (TOWNSHIP, "township", COUNTY),
        (VILLAGE, "village", TOWNSHIP),
        ("441900003000", "township", "441900000000"),
    ],
)
def test_digits_name_a_tier_and_suggest_a_superior(code: str, tier: str, parent: str | None) -> None:
    assert tier_of(code) == tier
    assert parent_of(code) == parent


@pytest.mark.parametrize(
    "text",
    ["", "41022110020", "4102211002011", "41022110020x", "４１０２２１１００２０１", "410000000000", "000000000000"],
)
def test_what_is_no_division_code_is_refused_by_name(text: str) -> None:
    with pytest.raises(DivisionInvalid) as refused:
        division(text)
    assert refused.value.code == "division_invalid"
    assert refused.value.field == "division"
    assert str(refused.value) == f"{refused.value.zh} / {refused.value.en}"


def test_below_is_strict_and_goes_by_digits() -> None:
    assert is_below(VILLAGE, CITY)
    assert is_below(VILLAGE, TOWNSHIP)
    assert not is_below(VILLAGE, OTHER_COUNTY)
    assert not is_below(CITY, CITY)
    assert not is_below(CITY, VILLAGE)


def test_the_path_up_ends_at_the_root() -> None:
    assert TREE.path_up(VILLAGE) == (VILLAGE, TOWNSHIP, COUNTY, CITY)
    assert TREE.path_up(CITY) == (CITY,)


def test_a_missing_tier_is_skipped_over() -> None:
    assert TREE.path_up(OTHER_VILLAGE) == (OTHER_VILLAGE, OTHER_COUNTY, CITY)


def test_the_next_hop_is_the_child_on_the_way_down() -> None:
    assert TREE.next_hop(CITY, VILLAGE) == COUNTY
    assert TREE.next_hop(TOWNSHIP, VILLAGE) == VILLAGE


@pytest.mark.parametrize(("above", "below"), [(COUNTY, OTHER_VILLAGE), (VILLAGE, CITY), (CITY, CITY)])
def test_there_is_no_way_down_to_what_is_not_below(above: Division, below: Division) -> None:
    with pytest.raises(DivisionNotBelow):
        TREE.next_hop(above, below)


def test_the_common_superior_stands_above_both_parties() -> None:
    assert TREE.common_superior(VILLAGE, OTHER_VILLAGE) == CITY
    assert TREE.common_superior(COUNTY, TOWNSHIP) == CITY
    assert TREE.common_superior(VILLAGE, VILLAGE) == TOWNSHIP
    assert TREE.common_superior(CITY, VILLAGE) is None


def test_an_enrolled_superior_overrules_the_digits() -> None:
    moved = Topology({COUNTY: CITY, OTHER_COUNTY: CITY, TOWNSHIP: OTHER_COUNTY, VILLAGE: TOWNSHIP})
    assert moved.next_hop(CITY, VILLAGE) == OTHER_COUNTY
    assert not moved.is_below(VILLAGE, COUNTY)
    assert is_below(VILLAGE, COUNTY)


def test_a_division_outside_the_topology_is_unknown_even_with_plausible_digits() -> None:
    with pytest.raises(DivisionUnknown):
        TREE.path_up(Division("410221100202"))


def test_nobody_can_become_their_own_superior() -> None:
    with pytest.raises(TopologyLoop):
        Topology({COUNTY: TOWNSHIP, TOWNSHIP: COUNTY})
    with pytest.raises(TopologyLoop):
        Topology({CITY: CITY})


def test_a_topology_does_not_follow_later_changes_of_what_it_was_made_from() -> None:
    parents = {VILLAGE: TOWNSHIP}
    tree = Topology(parents)
    parents[TOWNSHIP] = VILLAGE
    assert tree.path_up(VILLAGE) == (VILLAGE, TOWNSHIP)
