"""What passes by itself where a node meets its database and its channels: it is told, waited out, and tried again."""

from typing import Final

import psycopg

from sync.exchange.channel import ChannelDown
from sync.exchange.store_postgres import is_refusal
from sync.ledger.append import Busy, LedgerUnavailable
from sync.proofs.tree import TreeMoved

TROUBLE: Final = (ChannelDown, LedgerUnavailable, Busy, TreeMoved, psycopg.OperationalError, psycopg.InterfaceError)
"""What a database or a channel that is away raises, and a writer that is behind. But see `is_refusal`."""


def passes(trouble: BaseException) -> bool:
    """Whether it is enough to try the same again later."""
    return isinstance(trouble, TROUBLE) and not is_refusal(trouble)
