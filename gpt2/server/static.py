"""The files of the page: what a browser may get, and nothing else.

Out: a table from name to (bytes, media type), read once. A path that is not a key of it is never opened, so no
spelling of `..` leads out of the folder. Read next: app.py, bundle.py.
"""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("web")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Every shipped file by its path below web/, such as `details/lens.js`."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TYPES:
            media_type = f"{TYPES[path.suffix]}; charset=utf-8"
            found[path.relative_to(FOLDER).as_posix()] = (path.read_bytes(), media_type)
    return found
