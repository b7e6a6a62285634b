"""What a code says, by a table of published codes, and where it must not guess."""

import json
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.stock.codes import Coded, check_digit_is_right, read
from gateway.stock.gs1 import coded, explain, lookup_code, template_of

TABLE = Path(__file__).parents[2] / "hw_fixtures" / "gs1" / "codes.toml"
CODES: list[dict[str, Any]] = tomllib.loads(TABLE.read_text())["code"]


def of_kind(*kinds: str, rejected: bool = False) -> list[Any]:
    chosen = (one for one in CODES if one["kind"] in kinds and one.get("reject", False) is rejected)
    return [pytest.param(one, id=one["name"]) for one in chosen]


@pytest.mark.parametrize("code", of_kind("element_string", "digital_link"))
def test_elements_dates_and_measures_are_read(code: dict[str, Any]) -> None:
    meaning = explain(code["text"]).candidates[0]

    assert [list(element) for element in meaning.elements] == code["elements"]
    assert code.get("dates", {}).items() <= dict(meaning.dates).items()
    decimals = {ai: str(value) for ai, value in meaning.decimals}
    assert code.get("decimals", {}).items() <= decimals.items()


@pytest.mark.parametrize("code", of_kind("element_string", "digital_link", rejected=True))
def test_a_malformed_gs1_code_has_no_meaning_and_says_why(code: dict[str, Any]) -> None:
    explanation = explain(code["text"], None if code["kind"] == "digital_link" else "]C1")

    assert explanation.candidates == ()
    assert explanation.errors


@pytest.mark.parametrize("code", [one for one in of_kind("gtin") if one.values[0]["valid"]])
def test_every_printed_form_becomes_a_gtin_14(code: dict[str, Any]) -> None:
    (meaning,) = explain(code["text"]).candidates

    assert (meaning.gtin, meaning.format) == (code["gtin14"], code["format"])


def test_a_wrong_check_digit_is_never_looked_up() -> None:
    explanation = explain("5901234123458")

    assert explanation.candidates == ()
    assert explanation.errors[0] == "Invalid GTIN check digit for '5901234123458': Expected 7, got 8"
    assert lookup_code("5901234123458") is None


def test_a_wrong_check_digit_inside_an_element_counts_too() -> None:
    assert explain("010703206980498917261231", "]C1").candidates == ()


@pytest.mark.parametrize("code", of_kind("upc_e"))
def test_upc_e_is_expanded_to_upc_a(code: dict[str, Any]) -> None:
    (meaning,) = explain(code["text"], "]E0").candidates

    assert (meaning.gtin, meaning.upc_a) == (code["gtin14"], code["upc_a"])


def test_eight_digits_without_aim_that_are_both_gtin_8_and_upc_e_give_both() -> None:
    explanation = explain("02345673")

    assert [meaning.gtin for meaning in explanation.candidates] == ["00000002345673", "00023456000073"]
    assert explanation.agreed("gtin") is None
    assert [meaning.gtin for meaning in explain("02345673", "]E4").candidates] == ["00000002345673"]


@pytest.mark.parametrize("code", of_kind("retail_scan"))
def test_eight_digits_that_can_only_be_one_thing_are_not_ambiguous(code: dict[str, Any]) -> None:
    assert [meaning.value for meaning in explain(code["text"]).candidates] == code["candidates"]


@pytest.mark.parametrize("code", of_kind("rcn"))
def test_the_weight_or_price_of_an_in_store_number_follows_the_rule_of_the_country(
    code: dict[str, Any],
) -> None:
    (meaning,) = explain(code["text"], region=code.get("rcn_region", "")).candidates

    weight_kg = None if meaning.weight_kg is None else str(meaning.weight_kg)
    price = None if meaning.price is None else str(meaning.price)
    assert (weight_kg, price) == (code.get("weight_kg"), code.get("price"))


def test_two_weights_of_one_in_store_item_have_one_key() -> None:
    light, heavy = explain("2302148210869", region="norway"), explain("2302148218643", region="no")

    assert light.candidates[0].gtin == heavy.candidates[0].gtin == "02302148200006"
    assert (str(light.candidates[0].weight), str(heavy.candidates[0].weight)) == ("1.086", "1.864")


def test_an_in_store_number_without_a_rule_is_an_opaque_key_and_says_so() -> None:
    explanation = explain("2302148210869")

    assert explanation.candidates[0].gtin == "02302148210869"
    assert "set rcn_region or rcn_template" in explanation.notes[0]


def test_a_wrong_inner_check_digit_rejects_the_scan() -> None:
    assert explain("2011122012343", region="great_britain").candidates == ()


def test_a_shops_own_template_reads_the_price() -> None:
    (meaning,) = explain("2112345019994", template="2P IIIII VVVVV C price 2").candidates

    assert meaning.price == Decimal("19.99")
    assert meaning.gtin == "02112345000008"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2P IIIII VVV C weight 3", "8, 12 or 13 places"),
        ("2P IIIII VVVVV C size 3", "weight, price or count"),
        ("2P IIIIIIIIII C weight 3", "it needs places V"),
    ],
)
def test_a_malformed_template_says_what_would_be_right(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        template_of(text)


def test_a_lot_that_may_have_swallowed_a_date_gives_both_readings() -> None:
    explanation = explain("010703206980498810032915210526")

    assert [(one.lot, one.best_before) for one in explanation.candidates] == [
        ("032915210526", None),
        ("0329", "2021-05-26"),
    ]
    assert "no separator (GS) came" in explanation.notes[0]


def test_a_lot_before_its_separator_is_never_doubted() -> None:
    assert len(explain("0107032069804988100329\x1d15210526").candidates) == 1


def test_a_variable_element_that_is_too_long_is_not_cut_in_two() -> None:
    assert explain("10222222222222222222222112", "]C1").candidates == ()


def test_a_case_of_contained_items_names_the_item_and_the_count() -> None:
    (meaning,) = explain("0010614141234567890802070320698049883712", "]C1").candidates

    assert (meaning.gtin, meaning.count, meaning.sscc) == ("07032069804988", 12, "106141412345678908")


def test_a_shops_own_code_stays_as_it_is() -> None:
    assert coded("BREAD-500", None, "", "") == (Coded("BREAD-500"),)
    assert coded("12345678", None, "", "") == (Coded("12345678"),)


def test_a_doubtful_lot_is_not_booked_and_the_item_is() -> None:
    assert coded("010703206980498810032915210526", "]C1", "", "") == (Coded("07032069804988"),)


def test_eight_digits_may_be_an_item_or_the_shops_own_code() -> None:
    meanings = read("02345673")

    assert [one.code for one in meanings] == ["00000002345673", "00023456000073", "02345673"]


def test_a_weighed_label_reaches_ingest_in_grams() -> None:
    (meaning,) = coded("01070320698049883103000195", "]C1", "", "")

    assert (meaning.code, meaning.grams) == ("07032069804988", 195)


def test_an_in_store_price_reaches_ingest_in_minor_units() -> None:
    (meaning,) = read("2135040039753", None, "denmark")

    assert meaning.price_minor == 3975


@pytest.mark.parametrize("digits", ["96385074", "036000291452", "5901234123457", "98765432109213"])
def test_the_check_digit_of_published_numbers_is_right(digits: str) -> None:
    assert check_digit_is_right(digits)
    assert not check_digit_is_right(digits[:-1] + str((int(digits[-1]) + 1) % 10))


@pytest.mark.parametrize(
    ("data", "aim", "key"),
    [
        ("5901234123457", None, "05901234123457"),
        ("036000291452", None, "00036000291452"),
        ("96385074", "]E4", "00000096385074"),
        ("96385074", None, None),
        ("05901234123457", "]I1", "05901234123457"),
        ("2302148210869", None, None),
        ("15210526", "]C1", None),
        ("٥٩٠١٢٣٤١٢٣٤٥٧", None, None),
    ],
)
def test_plain_retail_codes_need_no_library(data: str, aim: str | None, key: str | None) -> None:
    assert lookup_code(data, aim) == key


def door(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "code", "explain", *arguments]
    ran = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=120)
    row: dict[str, Any] = json.loads(ran.stdout)
    return row


def test_the_public_door_takes_a_written_separator() -> None:
    row = door("0107032069804988100329{GS}15210526", "--aim", "]C1")

    assert (row["gtin"], row["lot"], row["best_before"]) == ("07032069804988", "0329", "2021-05-26")
    assert row["elements"] == [["01", "07032069804988"], ["10", "0329"], ["15", "210526"]]


def test_the_public_door_shows_a_field_only_when_all_candidates_agree() -> None:
    row = door("010703206980498810032915210526")

    assert (row["ambiguous"], row["gtin"], row["lot"]) == (True, "07032069804988", None)
    assert len(row["candidates"]) == 2
