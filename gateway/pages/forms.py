"""What a browser's form sent, read with the same care as JSON, and what is wrong with it, field by field."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import python_multipart
from fastapi import Depends, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from domain.errors import DomainError
from gateway.accounts import Visitor
from gateway.catalog import words
from gateway.refusals import BodyInvalid, ContentTypeWrong, InputInvalid
from gateway.web.strict import tidy
from gateway.web.visits import check_csrf, check_origin, visitor_or_none

FIELDS_MAX: Final = 400
_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


class Form:
    """Fields by name, each text tidied; files by name as bytes."""

    def __init__(self, fields: list[tuple[str, str]], files: dict[str, bytes]) -> None:
        """fields: names and texts as sent. Raises TextUnsafe for text that hides something."""
        self.fields = [(tidy(name, name), tidy(text, name)) for name, text in fields]
        self.files = files

    def get(self, name: str) -> str:
        """The last text of this name; empty where there is none."""
        return next((text for given, text in reversed(self.fields) if given == name), "")

    def all(self, name: str) -> list[str]:
        """Every text of this name that is not empty, in order."""
        return [text for given, text in self.fields if given == name and text]

    def filled(self) -> dict[str, Any]:
        """The fields that were filled in."""
        return {name: text for name, text in self.fields if text}


def read_form(request: Request) -> Form:
    """The form in the body. ContentTypeWrong, BodyInvalid, TextUnsafe; CrossSite where no page of ours sent it."""
    visitor = visitor_or_none(request)
    request.state.visitor = visitor
    check_origin(request, required=visitor is not None)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _URLENCODED:
        form = _urlencoded(request.state.body)
    elif kind == _MULTIPART:
        form = _multipart(request)
    else:
        raise ContentTypeWrong(_URLENCODED)
    if visitor is not None:
        check_csrf(visitor, form.get("csrf"))
    return form


SentForm = Annotated[Form, Depends(read_form)]


def visitor_of(request: Request) -> Visitor | None:
    """Whom the form's session belongs to, once `read_form` has run."""
    found: Visitor | None = request.state.visitor
    return found


class Given(dict[str, str]):
    """What a form was filled with, so that it can be shown again; a field that was not sent is empty."""

    def __missing__(self, name: str) -> str:
        return ""


class FormInvalid(Exception):
    """Some fields of a form have to be corrected; `errors` has one refusal for each, in the words of the page."""

    def __init__(self, errors: list[InputInvalid]) -> None:
        super().__init__(", ".join(error.field or "" for error in errors))
        self.errors = errors


def require(form: Form, names: Mapping[str, str]) -> None:
    """FormInvalid with every field that is empty. names: field -> what the page calls it, in Chinese."""
    empty = [InputInvalid(*_both("请填写“%s”", text), field=name) for name, text in names.items() if not form.get(name)]
    if empty:
        raise FormInvalid(empty)


def renamed(refusal: InputInvalid, field: str) -> InputInvalid:
    """`refusal` about the same input under the name that the form gives it."""
    was = refusal.field or ""
    zh, en = refusal.zh.replace(f"“{was}”", f"“{field}”"), refusal.en.replace(f'"{was}"', f'"{field}"')
    return InputInvalid(zh, en, field=field or None)


def in_page_words(refusal: InputInvalid, names: Mapping[str, str]) -> FormInvalid:
    """`refusal` with its field called what the page calls it."""
    field = refusal.field or ""
    if field not in names:
        return FormInvalid([refusal])
    zh, en = names[field], words("en").gettext(names[field])
    told = InputInvalid(
        refusal.zh.replace(f"“{field}”", f"“{zh}”"), refusal.en.replace(f'"{field}"', f'"{en}"'), field=field
    )
    return FormInvalid([told])


def _both(text: str, name: str) -> tuple[str, str]:
    return text % name, f'"{words("en").gettext(name).strip()}" is missing; fill it in'


class Problems:
    """What a form's reader has to correct, one line a field: for the summary on top and beside each field."""

    def __init__(self, *errors: DomainError | FormInvalid) -> None:
        self.errors: list[DomainError] = []
        for error in errors:
            self.errors += error.errors if isinstance(error, FormInvalid) else [error]

    def __bool__(self) -> bool:
        return bool(self.errors)

    def at(self, field: str) -> DomainError | None:
        """The refusal about `field`, if any."""
        return next((error for error in self.errors if error.field == field), None)


def _urlencoded(body: bytes) -> Form:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise _unreadable() from error
    return Form(pairs, {})


def _multipart(request: Request) -> Form:
    fields: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}

    def on_field(field: Field) -> None:
        _count(fields, files)
        fields.append(((field.field_name or b"").decode(), (field.value or b"").decode()))

    def on_file(file: File) -> None:
        _count(fields, files)
        file.file_object.seek(0)
        files[(file.field_name or b"").decode()] = file.file_object.read()

    headers = {"Content-Type": request.headers.get("content-type", "").encode()}
    try:
        parser = python_multipart.create_form_parser(headers, on_field, on_file, config={"MAX_MEMORY_FILE_SIZE": 2**21})
        parser.write(request.state.body)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable() from error
    return Form(fields, files)


def _count(fields: list[tuple[str, str]], files: dict[str, bytes]) -> None:
    if len(fields) + len(files) >= FIELDS_MAX:
        raise _unreadable()


def _unreadable() -> BodyInvalid:
    return BodyInvalid(
        "表单内容无法读取，请重新打开页面填写", "the form cannot be read; open the page again and fill it in"
    )
