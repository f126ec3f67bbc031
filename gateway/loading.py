"""Ctrl-C while the program is being loaded: one line and exit code 130."""

import os
import signal
from typing import Final, NoReturn

EXIT_INTERRUPTED: Final = 130
"""What a shell expects of a program that was ended by Ctrl-C."""

_STANDARD_ERROR: Final = 2


class Loading:
    """A block in which only modules are loaded, so that there is nothing yet to let go of. Main thread only."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, leave)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def leave(*_: object) -> NoReturn:
    """Not by an exception, which whatever is half loaded might catch, or tell of in a traceback."""
    os.write(_STANDARD_ERROR, "已停止 / stopped\n".encode())
    os._exit(EXIT_INTERRUPTED)
