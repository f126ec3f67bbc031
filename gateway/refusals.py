"""What the gateway itself refuses before any rule is asked, and which HTTP status every refusal gets."""

from typing import ClassVar, Final

from domain.errors import DomainError


class Refusal(DomainError):
    """A request that goes no further. status: its HTTP status; retry_after_s: when trying again may help."""

    code = "refused"
    status: ClassVar[int] = 400

    def __init__(
        self,
        zh: str,
        en: str,
        *,
        field: str | None = None,
        article: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(zh, en, field=field, article=article)
        self.retry_after_s = retry_after_s


class NotSignedIn(Refusal):
    """No session, or one that has ended. Sign in, then repeat the request."""

    code = "not_signed_in"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "尚未登录或登录已过期，请先登录", "you are not signed in or the session has ended; sign in first"
        )


class WrongPassword(Refusal):
    """The pair of name and password is not known; deliberately not said which of the two."""

    code = "wrong_password"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "用户名或密码不正确，请核对后重试", "name or password is wrong; check both and try again", field="password"
        )


class RoleForbidden(Refusal):
    """The account's role does not include this. Ask a colleague who has it, or the operator."""

    code = "role_forbidden"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "您的角色不能进行此项操作，请由有权限的同事办理",
            "your role does not include this; ask a colleague whose role does",
        )


class CrossSite(Refusal):
    """An unsafe request that this site's own pages did not send. Open the page again and send the form from there."""

    code = "cross_site"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "请求不是由本站页面发出的，请重新打开页面后再提交",
            "the request did not come from a page of this site; open the page again and send its form",
        )


class InsecureConnection(Refusal):
    """Signing in over plain HTTP from another machine. Use the https address of the node."""

    code = "insecure_connection"
    status = 403

    def __init__(self) -> None:
        super().__init__(
            "非加密连接不能登录，请改用本节点的 https 地址",
            "signing in needs an encrypted connection; use the https address of this node",
        )


class NotFound(Refusal):
    """Not here, or not for this account: deliberately the same answer for both."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(
            "没有找到，或者不属于您的办理范围，请核对编号",
            "not found, or not within your remit; check the number",
        )


class BodyTooLarge(Refusal):
    """More bytes than one request may carry. Send less, long attachments apart."""

    code = "body_too_large"
    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"提交内容超过{limit_bytes}字节的上限，请精简后再提交",
            f"the request exceeds {limit_bytes} bytes; shorten it and send it again",
        )


class BodyTooSlow(Refusal):
    """The body did not arrive in time. Send it again over a better link."""

    code = "body_too_slow"
    status = 408

    def __init__(self) -> None:
        super().__init__("提交内容传输超时，请重新提交", "the request took too long to arrive; send it again")


class ContentTypeWrong(Refusal):
    """A body of a kind this route does not read. Set Content-Type as the OpenAPI says, without compression."""

    code = "content_type_wrong"
    status = 415

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"请求的 Content-Type 应为 {wanted}，且不压缩",
            f"the request's Content-Type must be {wanted}, without compression",
        )


class BodyInvalid(Refusal):
    """Bytes that are no JSON text that can be read in one way only. Correct the client."""

    code = "body_invalid"
    status = 400


class InputInvalid(Refusal):
    """A value that is missing, too long, of the wrong kind or unknown. Correct the field that is named."""

    code = "input_invalid"
    status = 422


class TextUnsafe(Refusal):
    """Text with characters that would not show as what they are. Type it again as plain text."""

    code = "text_unsafe"
    status = 422


class KeyMissing(Refusal):
    """A command without its own key, so that a retry could do it twice. Send a fresh UUID as Idempotency-Key."""

    code = "idempotency_key_missing"
    status = 400

    def __init__(self) -> None:
        super().__init__(
            "缺少 Idempotency-Key 请求头，请为每个命令附上一个新的 UUID，重试时保持不变",
            "the Idempotency-Key header is missing; send a fresh UUID with each command and keep it when retrying",
            field="Idempotency-Key",
        )


class TooManyAttempts(Refusal):
    """Too many failed or simultaneous attempts. Wait as long as Retry-After says."""

    code = "too_many_attempts"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"尝试次数过多，请在{retry_after_s}秒后再试",
            f"too many attempts; try again in {retry_after_s} seconds",
            retry_after_s=retry_after_s,
        )


_STATUS: Final = {
    "role_not_allowed": 403,
    "unit_not_here": 403,
    "confidential_desk": 403,
    "case_unknown": 404,
    "receipt_unknown": 404,
    "item_unknown": 404,
    "stale_version": 409,
    "command_reused": 409,
    "body_too_large": 413,
    "texts_too_long": 413,
    "busy": 503,
    "ledger_unavailable": 503,
    "fenced": 503,
    "writer_closed": 503,
    "clock_in_doubt": 503,
}
"""Refusals of the other rooms, which know no HTTP, by their code; every other one is a rule's: 422."""


def status_by_code(code: str) -> int:
    """The HTTP status of a refusal that was made in another room."""
    return _STATUS.get(code, 422)


def status_of(error: DomainError) -> int:
    """The HTTP status of any refusal."""
    return error.status if isinstance(error, Refusal) else status_by_code(error.code)
