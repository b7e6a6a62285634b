"""Documents that cannot drift: what they name exists, and what exists is named."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PLACES_OF_ONE_MACHINE = re.compile(
    r"/(?:root|home/[a-z]\w*|work|Users/\w+)/[\w.]|/tmp/\w+venv|/opt/(?:pypi|wheels)"
)
REGISTRIES = re.compile(
    r"\b(?:files\.pythonhosted|registry\.npmjs|test\.pypi|pypi)\.org\b|\bproxy\.golang\.org\b"
)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    """What a clone gets; without git, what lies here."""
    answer = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode:
        pytest.skip("this is no git clone")
    return [ROOT / line for line in answer.stdout.splitlines() if (ROOT / line).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    inside = [target for target in targets if "://" not in target and not target.startswith("mailto:")]

    assert [target for target in inside if not (document.parent / target).exists()] == []


def test_every_path_of_the_tour_exists() -> None:
    tour = (ROOT / "docs" / "tour.md").read_text()
    paths = re.findall(r"`((?:gateway|drivers|models|backoffice|tests|systemd|hw_fixtures)/[\w./*-]*)`", tour)

    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_command_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()

    commands = re.findall(r"^(?:\$ )?storekeeper (\w+)", readme, re.MULTILINE)
    targets = re.findall(r"(?:^|`)make (\w+)", readme, re.MULTILINE)

    assert [name for name in commands if name not in COMMANDS] == []
    assert [name for name in targets if f"\n{name}:" not in makefile] == []


def test_every_driver_has_its_card() -> None:
    drivers = project()["project"]["entry-points"]["storekeeper.drivers"]

    assert [name for name in drivers if not (ROOT / "docs" / "drivers" / f"{name}.md").exists()] == []


def test_the_readme_names_every_driver() -> None:
    readme = (ROOT / "README.md").read_text()
    drivers = project()["project"]["entry-points"]["storekeeper.drivers"]

    assert [name for name in drivers if f"`{name}`" not in readme] == []


def test_the_core_is_forbidden_to_import_each_bundled_driver() -> None:
    configured = project()
    drivers = configured["project"]["entry-points"]["storekeeper.drivers"].values()
    (contract,) = [
        one
        for one in configured["tool"]["importlinter"]["contracts"]
        if one["name"] == "the core never imports a concrete driver"
    ]

    modules = {target.partition(":")[0] for target in drivers}
    assert modules <= set(contract["forbidden_modules"])


def test_the_changelog_names_this_version() -> None:
    assert f"\n## {project()['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_place_of_one_machine_and_no_registry_is_written_down() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in (".png", ".onnx", ".bytes", ".npz", ".woff2"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for pattern in (PLACES_OF_ONE_MACHINE, REGISTRIES):
            if match := pattern.search(text):
                found.append(f"{path.relative_to(ROOT)}: {match[0]}")

    assert found == []


def pins(lock: str) -> dict[str, set[str]]:
    """name -> versions; a package may have one a Python version."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!;\[ ]", one, maxsplit=1)[0].lower() for one in requirements}


def test_what_a_shop_installs_is_what_was_tested() -> None:
    tested = pins("requirements-dev.lock")

    assert {
        name: versions for name, versions in pins("requirements.lock").items() if tested[name] != versions
    } == {}


def test_the_locks_have_every_dependency_with_hashes_and_no_addresses() -> None:
    configured = project()["project"]
    extras = configured["optional-dependencies"]

    shop = requirement_names(configured["dependencies"] + extras["models"] + extras["build"])
    everything = shop | requirement_names([one for extra in extras.values() for one in extra])

    assert shop <= set(pins("requirements.lock"))
    assert everything <= set(pins("requirements-dev.lock"))
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert all(
            "--hash=sha256:" in block for block in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
        )
