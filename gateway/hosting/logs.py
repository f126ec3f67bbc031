"""Structured logs: one JSON object a line, never with a name, a text, a number of a case or a raw address."""

import logging
import sys
import traceback
from typing import TextIO

import structlog


def configure(stream: TextIO | None = None) -> None:
    """Write this process's log to `stream` (default: standard error), from level info on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def frames(error: BaseException) -> list[str]:
    """Where `error` came from as `file:line function`, innermost last, without its message: that may hold a person."""
    return [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-12:]
    ]
