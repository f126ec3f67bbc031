"""`python -m bench [NAME ...]`: every module here that has a `measure(server)` is run, or only the named ones."""

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import bench
from bench.report import table
from gateway.hosting.postgres_server import PostgresServer


def main(names: list[str]) -> None:
    """Measure on a fresh embedded PostgreSQL with its durable settings, and print one table for each module."""
    found = [
        module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in ("__main__", "report")
    ]
    with tempfile.TemporaryDirectory(prefix="huiyin-bench-") as folder, PostgresServer(Path(folder)) as server:
        for name in names or found:
            module = importlib.import_module(f"bench.{name}")
            print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}\n")
            print(table(module.measure(server)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
