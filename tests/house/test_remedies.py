"""No message sends anybody to a command that does not exist."""

import re
from pathlib import Path

import pytest

from gateway.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    path
    for folder, ending in (
        ("gateway", "*.py"),
        ("gateway/help", "*.md"),
        ("drivers", "*.py"),
        ("backoffice", "*.py"),
    )
    for path in sorted((ROOT / folder).rglob(ending))
]
NAMED = re.compile(r"(?:: |`|run: |sudo |\$ )storekeeper ([a-z][a-z-]+)\b")
PROSE = {"and", "writes", "again", "is", "unit", "user"}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_text_names_exists(path):
    named = set(NAMED.findall(path.read_text())) - PROSE

    assert named <= set(COMMANDS)
