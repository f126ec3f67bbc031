"""The articles that acts and refusals rest on, by what they are about; a blank where no article was found."""

import re
from typing import Final

_LAW = "《信访工作条例》"

REGISTER = f"{_LAW}第22条"
ROUTE = f"{_LAW}第22条第1款"
REPORT = f"{_LAW}第22条第1款第3项"
ACCEPT = f"{_LAW}第23条"
OBJECT = f"{_LAW}第23条第3款"
DISPUTE = f"{_LAW}第24条"
SUGGESTION = f"{_LAW}第29条"
CLASSES = f"{_LAW}第31条"
OPINION = f"{_LAW}第32条"
PERIOD = f"{_LAW}第34条"
SUPERVISE = f"{_LAW}第40条"
SIMPLE = "《信访事项简易办理办法》第5条"
EVALUATE = "《信访事项办理群众满意度评价工作办法》"

_ENGLISH: Final = {
    _LAW: "Regulations on Petition Work",
    "《信访事项简易办理办法》": "Measures for Handling Petitions by Simple Procedure",
    EVALUATE: "Measures for Evaluating Satisfaction with the Handling of Petitions",
}
_PLACE: Final = re.compile(r"^(?P<law>《.+?》)(?:第(?P<art>\d+)条)?(?:第(?P<para>\d+)款)?(?:第(?P<item>\d+)项)?$")


def in_english(article: str) -> str:
    """What the article is called in English; the Chinese where this table has no name for its law."""
    found = _PLACE.match(article)
    if found is None or found["law"] not in _ENGLISH:
        return article
    place = f", Art. {found['art']}" if found["art"] else ""
    inner = "".join(f"({number})" for number in (found["para"], found["item"]) if number)
    return f"{_ENGLISH[found['law']]}{place}{inner}"
