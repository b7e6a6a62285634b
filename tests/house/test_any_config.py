"""Whatever is done to config.toml: an answer in words with a place, never a traceback."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.check import check
from gateway.config import Verdict, decode, encode

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text()
LINES = [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")]
VALUES = [
    "-1",
    "0",
    "1e999",
    "nan",
    '""',
    '"x"',
    "true",
    "[]",
    "{}",
    "[{a = 1}]",
    "2026-11-24",
    "99999999999999999999",
]
SCRAPS = st.sampled_from(
    ["[", "]", "[[device]]", "=", '"', "'''", "\n", "\t", "#", ".", ",", "{", "\\", "\x00", "é", "😀"]
)


def verdict_of(source: bytes) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.toml")
        path.write_bytes(source)
        return check(path)


def assert_is_an_answer(source: bytes) -> None:
    verdict = verdict_of(source)

    lines = source.decode("utf-8", errors="replace").split("\n")
    assert decode(encode(verdict), Verdict) == verdict
    assert verdict.settings is not None or verdict.problems
    for problem in verdict.problems:
        assert problem.text and "\n" not in problem.text
        assert problem.code.startswith("SK-C")
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_value_of_any_kind_in_any_option_gets_an_answer(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[number].partition("=")
        lines[number] = f"{key}{equals} {data.draw(st.sampled_from(VALUES))}" if equals else lines[number]

    assert_is_an_answer("\n".join(lines).encode())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_lines_lost_doubled_and_moved_get_an_answer(data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from(LINES), max_size=25))

    assert_is_an_answer("\n".join(lines).encode())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 40), SCRAPS)
def test_a_scrap_typed_over_the_file_gets_an_answer(at: int, length: int, scrap: str) -> None:
    assert_is_an_answer((EXAMPLE[:at] + scrap + EXAMPLE[at + length :]).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(source: bytes) -> None:
    assert_is_an_answer(source)
