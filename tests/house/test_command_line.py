"""The command line's frame: quick, complete, and of one manner."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gateway.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
STOREKEEPER = [str(Path(sys.executable).parent / "storekeeper")]


def every_command() -> list[tuple[str, click.Command]]:
    """ "stock why" and its command, groups included."""
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        attribute = name.replace("-", "_")
        command = getattr(import_module(f"gateway.cli.{attribute}"), attribute)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
    return found


def test_help_comes_at_once() -> None:
    """In processor time, so that a busy machine does not count: 0.15 s is what a person calls at once."""
    took_s = min(processor_time_of_help_s() for _ in range(5))

    assert took_s < 0.150


def processor_time_of_help_s() -> float:
    before = os.times()
    subprocess.run([*STOREKEEPER, "--help"], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_help_fits_a_screen() -> None:
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()

    assert len(lines) <= 40
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_each_command_says_of_itself(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.get_short_help_str(limit=100) == COMMANDS[name]


def test_no_module_of_commands_is_left_out_of_the_table() -> None:
    modules = {path.stem.replace("_", "-") for path in (ROOT / "gateway" / "cli").glob("*.py")}
    commands = {
        name
        for name in modules - {"--init--"}
        if isinstance(
            getattr(import_module(f"gateway.cli.{name.replace('-', '_')}"), name.replace("-", "_"), None),
            click.Command,
        )
    }

    assert commands == set(COMMANDS)


def examples_of(command: click.Command) -> list[str]:
    """What stands behind `storekeeper` in each line of the examples."""
    return re.findall(r"^  .*?\bstorekeeper (.*)$", command.epilog or "", re.MULTILINE)


def test_every_command_has_a_sentence_and_two_examples() -> None:
    without = [name for name, command in every_command() if not command.help or len(examples_of(command)) < 2]

    assert without == []


def test_every_example_names_a_command_and_options_that_exist() -> None:
    known = dict(every_command())
    wrong = []
    for line in (line for command in known.values() for line in examples_of(command)):
        words = line.split(" | ")[0].split()
        named = [
            known[name] for name in [words[0], *(f"{words[0]} {word}" for word in words)] if name in known
        ]
        options = {option for command in named for one in command.params for option in one.opts}
        options |= {option for command in named for one in command.params for option in one.secondary_opts}
        wrong += [line for word in words if word.startswith("--") and word not in options | {"--help"}]
        wrong += [] if named else [line]

    assert wrong == []


def test_a_wrong_command_gets_the_nearest_one() -> None:
    answer = CliRunner().invoke(main, ["stcok"])

    assert answer.exit_code == 2
    assert 'did you mean "stock"?' in answer.output


def test_wrong_usage_is_exit_code_2() -> None:
    assert CliRunner().invoke(main, ["check", "--jsn"]).exit_code == 2


def test_a_wrong_config_is_exit_code_3(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[web]\nport = 0\n")

    answer = CliRunner().invoke(main, ["check", str(path)])

    assert answer.exit_code == 3
    assert "config.toml:2:8" in answer.output


def test_the_daemon_refuses_a_wrong_config_with_exit_code_3(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[web]\nport = 0\n")

    answer = subprocess.run([*STOREKEEPER, "run", "-c", str(path)], capture_output=True, text=True)

    assert answer.returncode == 3
    assert "config.toml:2:8" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_without_any_config_file_the_places_are_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "STOREKEEPER_CONFIG"}

    answer = subprocess.run(
        [*STOREKEEPER, "run"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    assert answer.returncode == 3
    assert "/etc/storekeeper/config.toml" in answer.stderr


def test_every_code_in_a_message_has_its_page_and_every_page_its_title() -> None:
    sources = [
        path
        for folder in ("gateway", "drivers", "models", "backoffice")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".toml", ".html", ".js")
    ]
    used = {
        code for path in sources for code in re.findall(r"SK-[A-Z]\d\d", path.read_text(encoding="utf-8"))
    }
    pages = {path.stem for path in (ROOT / "gateway" / "help").glob("*.md")}

    assert used <= pages
    for page in pages:
        answer = CliRunner().invoke(main, ["help", page])
        assert answer.exit_code == 0
        assert re.match(rf"# {page} \w.*\n\n.*What to do: ", answer.output, re.DOTALL), page
