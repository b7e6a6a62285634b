"""The pages of message codes: the same files that `storekeeper help SK-xxx` prints."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

HELP = Path(__file__).parent.parent / "help"


@dataclass(frozen=True, slots=True)
class Page:
    """A help text: its title, and its paragraphs, of which those with `shown` True are to be kept as set."""

    title: str
    parts: tuple[tuple[str, bool], ...]


@cache
def codes() -> tuple[str, ...]:
    """The codes that have a page."""
    return tuple(sorted(path.stem for path in HELP.glob("SK-*.md")))


def page(code: str) -> Page | None:
    """The page of a code; None when there is none."""
    if code not in codes():
        return None
    title, _, text = (HELP / f"{code}.md").read_text(encoding="utf-8").partition("\n")
    return Page(title.removeprefix(f"# {code}").strip(), tuple(paragraphs(text)))


@cache
def pages() -> tuple[tuple[str, str], ...]:
    """Every code with the title of its page."""
    return tuple((code, found.title) for code in codes() if (found := page(code)) is not None)


def paragraphs(text: str) -> list[tuple[str, bool]]:
    """Text cut at empty lines and where the indentation of an example begins or ends."""
    parts: list[tuple[list[str], bool]] = []
    for line in text.splitlines():
        example = line.startswith("    ")
        if not line.strip():
            parts.append(([], False))
        elif parts and parts[-1][1] == example and parts[-1][0]:
            parts[-1][0].append(line)
        else:
            parts.append(([line], example))
    return [("\n".join(lines), example) for lines, example in parts if lines]
