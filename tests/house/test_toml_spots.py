"""Positions in a TOML file: every value that tomllib finds has its place, and nothing else has one."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.toml_spots import KeyPath, Spot, spots

SOURCE = '''\
a = 1  # [no.section]
"with space" = "x # y"
[shop]
text = """
port = 3
[web]"""
point = { x = 1, "y.z" = [ 2, 3 ] }
mqtt.port = 1883
[[device]]
name = 'C:\\dir'
[device.more]
at = 1979-05-27 07:32:00
[[device]]
list = [
  1,  # one
  [ "a]", 'b' ],
]
'''


def test_a_value_is_found_where_a_person_would_point_at_it() -> None:
    found = spots(SOURCE)

    assert found[("a",)] == Spot(1, 5)
    assert found[("with space",)] == Spot(2, 16)
    assert found[("shop",)] == Spot(3, 1)
    assert found[("shop", "text")] == Spot(4, 8)
    assert found[("shop", "point", "x")] == Spot(7, 15)
    assert found[("shop", "point", "y.z", 1)] == Spot(7, 31)
    assert found[("shop", "mqtt", "port")] == Spot(8, 13)
    assert found[("device", 0)] == Spot(9, 1)
    assert found[("device", 0, "name")] == Spot(10, 8)
    assert found[("device", 0, "more", "at")] == Spot(12, 6)
    assert found[("device", 1, "list", 1, 0)] == Spot(16, 5)


def leaves(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Where tomllib has a value that is no table and no list."""
    if isinstance(value, dict):
        return {leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))}
    if isinstance(value, list):
        return {leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))}
    return {path}


KEYS = st.sampled_from(["a", "b-1", "c_", '"d e"', "'f.g'", '"h\\"i"'])
BLANKS = st.sampled_from(["", " ", "\t"])
BARE = ["0", "-1.5e3", "true", "2026-11-24T01:02:03Z", "0x1F", "inf"]
TEXTS = [
    '""',
    '"a # b"',
    '"\\\\"',
    "'\\'",
    '"""x\n[y]\n"z" = 1"""',
    "'''a\n'b''''",
    '"""q""""',
    '"[,]"',
    '"é😀"',
]
SCALARS = st.sampled_from(BARE + TEXTS)


@st.composite
def lists(draw: st.DrawFn) -> str:
    parts = draw(st.lists(SCALARS, max_size=3))
    gap = draw(st.sampled_from([", ", ",\n  ", ",  # c ] }\n"]))
    return f"[{gap.join(parts)}{',' if parts and draw(st.booleans()) else ''}]"


@st.composite
def inline_tables(draw: st.DrawFn) -> str:
    keys = draw(st.lists(KEYS, unique=True, max_size=3))
    return "{" + ", ".join(f"{key} = {draw(SCALARS)}" for key in keys) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Valid TOML of many shapes: each section's name is used once, so nothing stands twice."""
    lines = []
    for number in range(draw(st.integers(0, 4))):
        header = draw(st.sampled_from([f"[s{number}]", f"[s{number}.x]", "[[t]]", f"[[u]]\n[u.v{number}]"]))
        lines.append(draw(BLANKS) + header + draw(st.sampled_from(["", "  # [z]"])))
        for key in draw(st.lists(KEYS, unique=True, max_size=4)):
            value = draw(st.one_of(SCALARS, lists(), inline_tables()))
            dotted = draw(st.sampled_from([key, f"k.{key}"]))
            lines.append(f"{draw(BLANKS)}{dotted}{draw(BLANKS)}={draw(BLANKS)}{value}  # {key} = 1")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@given(documents())
def test_every_value_that_tomllib_finds_has_its_place(source: str) -> None:
    values = tomllib.loads(source)

    found = spots(source)

    assert leaves(values) <= set(found)
    lines = source.split("\n")
    for path in leaves(values):
        spot = found[path]
        assert lines[spot.line - 1][spot.column - 1 : spot.column] not in ("", " ", "\t", "=", "#", ",")
