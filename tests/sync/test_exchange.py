from collections.abc import Iterator

import pytest

from gateway.postgres_server import PostgresServer
from tests.sync.hierarchy import CITY, COUNTY, TOWNSHIP, VILLAGE, Hierarchy, hierarchy


@pytest.fixture
def chain(postgres: PostgresServer) -> Iterator[Hierarchy]:
    with hierarchy(postgres, "chain", CITY, COUNTY, TOWNSHIP, VILLAGE) as nodes:
        yield nodes


def test_what_a_village_says_reaches_the_city_once_in_the_same_bytes_and_is_cosigned_back(chain: Hierarchy) -> None:
    village = chain[VILLAGE]
    village.chat(30)

    chain.settle()

    said = village.log(village.origin)
    assert len(said) == 31
    for above in (TOWNSHIP, COUNTY, CITY):
        assert chain[above].log(village.origin) == said
        assert chain[above].faults() == {}
    assert chain.all_secured()
    witnesses = village.query("select distinct witness from cosignature where log_id = 1 and size = 31 order by 1")
    assert witnesses == [(chain[above].cosigner.verifier.name,) for above in (CITY, COUNTY, TOWNSHIP)]
