"""The pages of message codes: the same files that `storekeeper help SK-xxx` prints."""

import re
from functools import cache
from pathlib import Path

HELP = Path(__file__).parent.parent / "help"
CODE = re.compile(r"SK-[A-Z]\d{2}")


@cache
def codes() -> tuple[str, ...]:
    """The codes that have a page."""
    return tuple(sorted(path.stem for path in HELP.glob("SK-*.md") if CODE.fullmatch(path.stem)))


def text_of(code: str) -> str | None:
    """The page of a code as plain text; None when there is none."""
    if code not in codes():
        return None
    return (HELP / f"{code}.md").read_text()
