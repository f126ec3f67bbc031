"""What the law's articles are called in English."""

import pytest

from domain import articles
from domain.articles import in_english


@pytest.mark.parametrize(
    ("article", "english"),
    [
        (articles.REGISTER, "Regulations on Petition Work, Art. 22"),
        (articles.REPORT, "Regulations on Petition Work, Art. 22(1)(3)"),
        (articles.SIMPLE, "Measures for Handling Petitions by Simple Procedure, Art. 5"),
        ("某省条例第3条", "某省条例第3条"),
    ],
)
def test_an_article_is_named_by_law_and_number_and_an_unknown_law_keeps_its_name(article: str, english: str) -> None:
    assert in_english(article) == english


def test_every_article_that_a_refusal_rests_on_has_its_english() -> None:
    for name, article in vars(articles).items():
        if name.isupper() and not name.startswith("_"):
            assert in_english(article) != article, name
