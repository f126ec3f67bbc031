"""Opens a stopped node for an audit that reads sealed texts: its writer records each reading before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.accounts import Accounts
from gateway.auditing.exporting import ExportRefused
from gateway.auditing.reading_texts import NodeTexts
from gateway.node import Node


class NotAuditor(ExportRefused):
    """Only an account with the role of an auditor has sealed texts opened for a bundle. Have one sign in."""

    code = "export_not_auditor"

    def __init__(self) -> None:
        super().__init__(
            "只有审计角色的账户可以导出开示内容，请由审计人登录",
            "only an auditor has sealed texts opened; have an account with that role sign in",
        )


@contextmanager
def opened_texts(folder: Path, login: str, password: Callable[[], str]) -> Iterator[tuple[NodeTexts, str]]:
    """What opens the texts of the node in `folder` for this account, and the node's database, inside the block.

    The node must be stopped: one writer alone records. Raises FolderInUse, WrongPassword, TooManyAttempts, NotAuditor,
    AwaitingSuperior and what a node's start raises.
    """
    node = Node(folder)
    node.open()
    try:
        accounts = Accounts(node.pool, node.here, node.clock.now_us)
        signed = accounts.log_in(login, password(), "audit")
        accounts.log_out(signed.token)
        account = signed.visitor.account
        if account.role != "auditor":
            raise NotAuditor
        yield NodeTexts(node, account), node.dsn
    finally:
        node.stop()
