"""Python loads this before anything else where PYTHONPATH begins with its folder: the process can be told to die."""

import os

if os.environ.get("HUIYIN_TEST_ORDERS"):
    from tests.crash import dying

    dying.install()
