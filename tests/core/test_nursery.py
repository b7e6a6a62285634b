"""The nursery: what children need is imported once, and none of it by the daemon."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from gateway import VERSION

REPOSITORY = Path(__file__).parents[2]

CHILDREN = """
import sys
from gateway.nursery import Nursery, Spawn
nursery = Nursery(["drivers.scale_cas", "drivers.no_such_driver"])
nursery.spawn(Spawn("scale", "tests.core.test_nursery:what_is_there", [sys.argv[1]]))
while not any(hasattr(news, "status") for news in nursery.news(10.0)):
    pass
assert "drivers.scale_cas" not in sys.modules
nursery.close()
"""


def what_is_there(file: str) -> None:
    """In a child: what it was born with, and that no collection will touch it."""
    import gc

    Path(file).write_text(f"{'drivers.scale_cas' in sys.modules} {gc.get_freeze_count() > 10_000}")


def test_a_driver_s_module_is_there_when_its_process_is_born_and_never_in_the_daemon(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", CHILDREN, tmp_path / "said"], env=environment, check=True)

    assert (tmp_path / "said").read_text() == "True True"


def test_the_version_in_the_code_is_that_of_the_distribution():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
