"""Style sheets, scripts and pictures: read once, compressed once, named by their content."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    media_type: str
    plain: bytes
    packed: bytes
    version: str


@cache
def asset(name: str) -> Asset | None:
    """The file behind `/static/<name>`; None for anything that is not one of ours."""
    path = STATIC / name
    if path.suffix not in TYPES or name not in names():
        return None
    plain = path.read_bytes()
    return Asset(
        TYPES[path.suffix], plain, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:10]
    )


@cache
def names() -> frozenset[str]:
    return frozenset(str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file())


def address(name: str) -> str:
    """The address that a page links to; it changes with the content, so a browser may keep it for ever."""
    found = asset(name)
    if found is None:
        raise KeyError(f"no static file {name!r}")
    return f"/static/{name}?v={found.version}"
