"""Who reads what is said against an official: never the accused, and nobody who does not manage them."""

import pytest

from domain.divisions import Division, DivisionUnknown, Topology
from domain.managing import ManagedAbove, first_stop, managing_organ

CITY = Division("410200000000")
COUNTY, OTHER_COUNTY = Division("410221000000"), Division("410222000000")
TOWNSHIP, OTHER_TOWNSHIP = Division("410221100000"), Division("410222100000")
VILLAGE, OTHER_VILLAGE = Division("410221100201"), Division("410222100201")
CITY_TOWN, CITY_VILLAGE = Division("410200001000"), Division("410200001201")

TREE = Topology(
    {
        COUNTY: CITY,
        OTHER_COUNTY: CITY,
        TOWNSHIP: COUNTY,
        OTHER_TOWNSHIP: OTHER_COUNTY,
        VILLAGE: TOWNSHIP,
        OTHER_VILLAGE: OTHER_TOWNSHIP,
        CITY_TOWN: CITY,
        CITY_VILLAGE: CITY_TOWN,
    }
)


@pytest.mark.parametrize(
    ("accused", "organ"),
    [
        (VILLAGE, COUNTY),
        (TOWNSHIP, COUNTY),
        (OTHER_VILLAGE, OTHER_COUNTY),
        (COUNTY, CITY),
        (CITY_TOWN, CITY),
        (CITY_VILLAGE, CITY),
    ],
)
def test_an_official_is_managed_by_the_county_or_from_the_county_up_by_the_city(accused: str, organ: str) -> None:
    assert managing_organ(Division(accused), TREE) == organ


def test_a_village_that_answers_to_the_county_directly_is_managed_by_it_too() -> None:
    assert managing_organ(VILLAGE, Topology({VILLAGE: COUNTY, COUNTY: CITY})) == COUNTY


@pytest.mark.parametrize(
    ("accused", "tree"),
    [
        (CITY, TREE),
        (COUNTY, Topology({VILLAGE: COUNTY})),
        (TOWNSHIP, Topology({VILLAGE: TOWNSHIP})),
        (VILLAGE, Topology({VILLAGE: TOWNSHIP})),
    ],
)
def test_where_no_node_stands_high_enough_the_letter_is_refused_and_told_where_to_go(
    accused: Division, tree: Topology
) -> None:
    with pytest.raises(ManagedAbove) as refusal:
        managing_organ(accused, tree)
    assert "12388" in refusal.value.zh
    assert refusal.value.field == "accused_unit"


def test_an_office_that_nobody_enrolled_is_unknown() -> None:
    with pytest.raises(DivisionUnknown):
        managing_organ(Division("410221100999"), TREE)


@pytest.mark.parametrize(
    ("organ", "here", "stop"),
    [
        (COUNTY, VILLAGE, COUNTY),
        (COUNTY, COUNTY, COUNTY),
        (CITY, VILLAGE, CITY),
        (COUNTY, OTHER_VILLAGE, CITY),
        (COUNTY, CITY, CITY),
        (COUNTY, CITY_VILLAGE, CITY),
    ],
)
def test_a_letter_climbs_to_the_organ_or_to_the_first_superior_that_can_send_it_down(
    organ: Division, here: Division, stop: Division
) -> None:
    assert first_stop(organ, here, TREE) == stop
