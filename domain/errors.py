"""The one base of every error that a person can cause and a person must be able to act on."""

from typing import ClassVar


class DomainError(Exception):
    """Something the law or the case does not allow; nothing was recorded.

    code: stable snake_case name that clients may match on; each child sets its own.
    zh, en: one sentence each, saying what is wrong and what to do next.
    field: the input it is about, as the caller named it. article: the provision it rests on.
    """

    code: ClassVar[str] = "domain_error"

    def __init__(self, zh: str, en: str, *, field: str | None = None, article: str | None = None) -> None:
        super().__init__(zh, en)
        self.zh = zh
        self.en = en
        self.field = field
        self.article = article

    def __str__(self) -> str:
        return f"{self.zh} / {self.en}"
