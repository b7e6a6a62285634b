"""Words, numbers, money and dates, in the reader's language."""

import re
from datetime import date
from pathlib import Path

import pytest

from gateway.web.language import LANGUAGES, PLURALS, WORDS, Language, language, words_of

ENGLISH, GERMAN, POLISH = (language(code, "Europe/Berlin", "EUR") for code in ("en", "de", "pl"))
WEB = WORDS.parent
NAMES = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_message_stands_in_every_language_with_the_same_names_to_fill_in(code: str) -> None:
    english, other = words_of("en"), words_of(code)

    assert other.keys() == english.keys()
    for key, message in english.items():
        assert names_in(other[key]) == names_in(message), key


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_plural_has_all_the_forms_of_its_language(code: str) -> None:
    wanted = {PLURALS[code](n) for n in range(200)} | {"other"}

    lacking = [
        key for key, forms in words_of(code).items() if isinstance(forms, dict) and not wanted <= forms.keys()
    ]

    assert lacking == []


def test_every_message_is_used_by_a_page_and_every_page_uses_messages_that_are_there() -> None:
    text = "".join(path.read_text() for kind in ("*.py", "*.html") for path in WEB.rglob(kind))
    quoted = set(re.findall(r"""['"]([a-z_]+\.[a-z_.]*)""", text))
    begun = tuple(key for key in quoted if key.endswith("."))
    asked = set(re.findall(r"""\b(?:t|n|say|count)\(\s*['"]([a-z_]+\.[a-z_.]*[a-z_])['"]""", text))
    keys = set(words_of("en"))

    unknown = asked - keys
    unused = {key for key in keys - quoted if not key.startswith(begun)}

    assert unknown == set()
    assert unused == set()


def names_in(message: object) -> set[str]:
    return set(NAMES.findall(str(message))) - {"n"}


@pytest.mark.parametrize(
    ("words", "n", "text"),
    [
        (ENGLISH, 0, "Nothing needs you"),
        (ENGLISH, 1, "1 thing needs you"),
        (ENGLISH, 3, "3 things need you"),
        (GERMAN, 1, "1 Sache braucht Sie"),
        (POLISH, 1, "1 sprawa czeka"),
        (POLISH, 2, "2 sprawy czekają"),
        (POLISH, 5, "5 spraw czeka"),
        (POLISH, 12, "12 spraw czeka"),
        (POLISH, 22, "22 sprawy czekają"),
    ],
)
def test_the_number_chooses_the_form(words: Language, n: int, text: str) -> None:
    assert words.count("today.things", n) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENGLISH.money(129), "€1.29"),
        (GERMAN.money(123456), "1.234,56 €"),
        (language("pl", "UTC", "PLN").money(1790), "17,90 zł"),
        (language("en", "UTC", "JPY").money(300), "300 JPY"),
        (ENGLISH.price(299, "gram"), "€2.99/kg"),
        (ENGLISH.money(-50), "−€0.50"),
        (ENGLISH.amount(9, "piece"), "9"),
        (ENGLISH.amount(-1, "piece"), "−1"),
        (ENGLISH.amount(840, "gram"), "840\u202fg"),
        (ENGLISH.amount(1250, "gram"), "1.25\u202fkg"),
        (GERMAN.amount(9000, "gram"), "9,0\u202fkg"),
        (ENGLISH.amount(1001, "millilitre"), "1.001\u202fl"),
        (ENGLISH.change(12, "piece"), "+12"),
        (POLISH.number(1552), "1\u202f552"),
    ],
)
def test_quantities_and_money_are_written_as_people_write_them(text: str, said: str) -> None:
    assert text == said


NOON = 1_795_431_600_000_000  # 2026-11-23 11:00 UTC, noon in Berlin


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENGLISH.time(NOON), "12:00"),
        (ENGLISH.ago(NOON - 20_000_000, NOON), "just now"),
        (ENGLISH.ago(NOON - 120_000_000, NOON), "2 min ago"),
        (ENGLISH.ago(NOON - 3 * 3_600_000_000, NOON), "3 h ago"),
        (ENGLISH.moment(NOON - 86_400_000_000, NOON), "yesterday 12:00"),
        (ENGLISH.iso_day("2026-11-26", NOON), "Thursday"),
        (GERMAN.iso_day("2026-11-24", NOON), "morgen"),
        (ENGLISH.iso_day("2026-12-24", NOON), "24 Dec"),
        (GERMAN.iso_day("2028-02-29", NOON), "29. Feb. 2028"),
        (ENGLISH.iso_day("soon", NOON), "soon"),
        (ENGLISH.day(date(2026, 11, 10), date(2026, 11, 23)), "10 Nov"),
    ],
)
def test_times_and_days_are_said_from_where_the_reader_stands(text: str, said: str) -> None:
    assert text == said


def test_a_language_or_time_zone_that_we_do_not_have_falls_back_to_english_and_utc() -> None:
    words = language("fr", "Mars/Olympus", "EUR")

    assert (words.code, words.zone.key) == ("en", "UTC")


def test_vendored_code_stands_beside_its_licence() -> None:
    vendored = [*(WEB / "static" / "vendor").glob("*.js"), *(Path(__file__).parent / "vendor").glob("*.js")]

    assert vendored != []
    assert [
        path for path in vendored if not (path.parent / f"{path.name.split('.')[0]}.LICENSE").exists()
    ] == []
