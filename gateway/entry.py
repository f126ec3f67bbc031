"""Where `huiyin` begins, so that Ctrl-C ends it cleanly from its first moment on."""

from gateway.loading import Loading, leave


def main() -> None:
    """Load the command line and run it."""
    try:
        with Loading():
            from gateway.__main__ import main as run
        run()
    except KeyboardInterrupt:
        leave()
