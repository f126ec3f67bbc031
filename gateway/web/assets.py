"""Copies the few npm files that the pages need into the git-ignored `gateway/static/vendor`."""

import shutil
import sys
from pathlib import Path
from typing import Final

VENDOR: Final = Path(__file__).parents[1] / "static" / "vendor"

FILES: Final = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
}
"""Path below node_modules -> name served; versions are pinned by package-lock.json."""


class AssetsMissing(RuntimeError):
    """The npm packages are not installed. Run `npm ci` in the project folder, then this again."""


def copy(modules: Path, vendor: Path = VENDOR) -> list[Path]:
    """The files copied from the folder `modules` (node_modules); AssetsMissing names the first absent one."""
    for source in FILES:
        if not (modules / source).is_file():
            raise AssetsMissing(f"{modules / source} 不存在，请先运行 npm ci / run npm ci first")
    vendor.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(modules / source, vendor / name)) for source, name in FILES.items()]


def main() -> int:
    """0 after copying, 2 where npm has not been run."""
    try:
        copied = copy(Path(__file__).parents[2] / "node_modules")
    except AssetsMissing as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{path}\n" for path in copied)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
