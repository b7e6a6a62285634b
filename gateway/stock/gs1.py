"""What a code says: GS1 element strings, Digital Link, UPC-E, in-store numbers (GS1 General Specifications).

Everything becomes one key (GTIN-14) with lot, dates, serial, weight, price and count. Where a code can mean
several things, all of them are given and none is chosen. A wrong check digit has no meaning at all.
`gateway.stock.codes` answers the common retail codes; biip is imported here only when one needs it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from gateway.stock.codes import GS1_AIM, Coded, check_digit_is_right

GS = "\x1d"
KG_PER_LB = Decimal("0.45359237")
LINK_SCHEMES = ("http://", "https://")
NO_RULE = "in-store number: set rcn_region or rcn_template to read the weight or price inside"
LOST_SEPARATOR = "no separator (GS) came: the lot may have swallowed what follows; use serial or HID-POS mode"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a code can mean. None: the code does not say."""

    kind: str  # gtin, upc_e, in_store, gs1, digital_link
    code: str  # the look-up key: GTIN-14, else SSCC; "" when nothing is named
    gtin: str | None = None  # 14 digits; of an in-store number with the measure set to zero
    value: str = ""  # the digits as they were read
    format: str | None = None  # GTIN-8, GTIN-12, GTIN-13, GTIN-14
    upc_a: str | None = None
    sscc: str | None = None
    lot: str | None = None
    expiry: str | None = None  # ISO dates
    best_before: str | None = None
    packed: str | None = None
    produced: str | None = None
    serial: str | None = None
    weight: Decimal | None = None
    weight_unit: str | None = None  # kg or lb
    price: Decimal | None = None
    currency: str | None = None  # ISO 4217 number, when the code has one
    count: int | None = None
    elements: tuple[tuple[str, str], ...] = ()  # (application identifier, value) in the order of the code
    dates: tuple[tuple[str, str], ...] = ()
    decimals: tuple[tuple[str, Decimal], ...] = ()

    @property
    def weight_kg(self) -> Decimal | None:
        if self.weight is None:
            return None
        return self.weight if self.weight_unit == "kg" else self.weight * KG_PER_LB


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a code can mean, and why nothing else."""

    data: str
    aim: str | None
    candidates: tuple[Meaning, ...] = ()
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def agreed(self, name: str) -> Any:
        """A field of `Meaning` on which all candidates agree, else None."""
        values = {getattr(meaning, name) for meaning in self.candidates}
        return values.pop() if len(values) == 1 else None


def explain(data: str, aim: str | None = None, region: str = "", template: str = "") -> Explanation:
    """Every meaning of `data`. `region`: a country of biip's in-store rules, by name or ISO code.

    Raises ValueError for an unknown region or a malformed template (a setting, not the code, is wrong).
    """
    if aim is None and data[:1] == "]" and len(data) > 3:
        aim, data = data[:3], data[3:]
    rules = InStore(region_of(region), template_of(template))
    found: list[Meaning] = []
    errors: list[str] = []
    for readers in _readers(data, aim):
        for reader in () if found else readers:
            try:
                found.append(reader(data, rules))
            except NoMeaning as why:
                errors.append(str(why))
    notes = []
    if cut := _without_lost_separator(data, found):
        found.append(cut)
        notes.append(LOST_SEPARATOR)
    if any(one.kind == "in_store" and not _is_measured(one) for one in found):
        notes.append(NO_RULE)
    return Explanation(data, aim, tuple(found), () if found else tuple(dict.fromkeys(errors)), tuple(notes))


def coded(data: str, aim: str | None, region: str, template: str) -> tuple[Coded, ...]:
    """For ingest: the meanings that name something, else the text as the shop's own code, else the error.

    Meanings that name the same thing become one, with what they agree on: a lot that may have swallowed a
    date is no lot. Eight digits without AIM may be the shop's own code besides.
    """
    explanation = explain(data, aim, region, template)
    by_code: dict[str, Coded] = {}
    for meaning in explanation.candidates:
        if meaning.code:
            said = _coded(meaning)
            by_code[said.code] = _agreed(by_code.get(said.code, said), said)
    if by_code:
        own = (Coded(data),) if aim is None and len(data) == 8 else ()
        return (*by_code.values(), *own)
    is_gs1 = aim in GS1_AIM or GS in data or data.startswith(LINK_SCHEMES) or (aim or "")[:2] == "]E"
    if explanation.errors and (is_gs1 or (data.isdecimal() and len(data) in (12, 13, 14))):
        return (Coded("", error="; ".join(explanation.errors)),)
    return (Coded(data),)


def _agreed(one: Coded, other: Coded) -> Coded:
    """What both say."""
    if one == other:
        return one
    return Coded(
        one.code,
        lot=one.lot if one.lot == other.lot else "",
        expires_on=one.expires_on if one.expires_on == other.expires_on else None,
        serial=one.serial if one.serial == other.serial else None,
        grams=one.grams if one.grams == other.grams else None,
        count=one.count if one.count == other.count else None,
        price_minor=one.price_minor if one.price_minor == other.price_minor else None,
    )


def lookup_code(data: str, aim: str | None = None) -> str | None:
    """GTIN-14 of a plain EAN-13, UPC-A, EAN-8 or ITF-14; None when the code needs rules, or is wrong."""
    length = len(data)
    if length not in (8, 12, 13, 14) or not (data.isascii() and data.isdigit()) or aim in GS1_AIM:
        return None
    if (length == 8 and aim != "]E4") or data.startswith(IN_STORE_BY_LENGTH.get(length, NEVER)):
        return None
    return data.zfill(14) if check_digit_is_right(data) else None


NEVER = ("\0",)
IN_STORE_BY_LENGTH = {8: ("0", "2"), 12: ("2", "4"), 13: ("02", "2", "04", "4")}


class NoMeaning(Exception):
    """The code cannot be this. The text says why."""


# ---- which readers apply -----------------------------------------------------------------------------------


Reader = Callable[[str, "InStore"], Meaning]


def _readers(data: str, aim: str | None) -> list[list[Reader]]:
    """The readers that apply; those of a later list are asked when the earlier ones found nothing."""
    if data.startswith(LINK_SCHEMES):
        return [[_digital_link]]
    if aim in GS1_AIM or aim in ("]e1", "]e2", "]J1"):
        return [[_element_string]]
    if aim == "]E0" and len(data) in (6, 7, 8):
        return [[_upc_e]]
    if aim in ("]E0", "]E3", "]E4", "]I0", "]I1"):
        return [[_retail]]
    if not (data.isascii() and data.isdigit()) or len(data) not in (8, 12, 13, 14):
        return [[_element_string]]
    if len(data) == 8 and data[0] in "01":
        return [[_retail, _upc_e], [_element_string]]
    return [[_retail], [_element_string]]


def _retail(data: str, rules: "InStore") -> Meaning:
    """GTIN-8, -12, -13, -14, also with an add-on of 2 or 5 digits; in-store numbers by the shop's rule."""
    from biip import ParseError
    from biip.gtin import Gtin
    from biip.rcn import Rcn

    digits = data[:13] if len(data) in (15, 18) else data
    if rules.template and (measured := rules.template.read(digits)):
        return measured
    try:
        gtin = Gtin.parse(digits, config=rules.config)
    except ParseError as why:
        raise NoMeaning(_plain(why)) from why
    plain = Meaning("gtin", gtin.as_gtin_14(), gtin.as_gtin_14(), digits, str(gtin.format))
    if not isinstance(gtin, Rcn):
        return plain
    key = gtin.without_variable_measure().as_gtin_14() if gtin.region else plain.code
    return replace(
        plain,
        kind="in_store",
        code=key,
        gtin=key,
        weight=gtin.weight,
        weight_unit=None if gtin.weight is None else "kg",
        price=gtin.price,
        count=gtin.count,
    )


def _upc_e(data: str, rules: "InStore") -> Meaning:
    from biip import ParseError
    from biip.upc import Upc

    try:
        upc = Upc.parse(data)
    except ParseError as why:
        raise NoMeaning(_plain(why)) from why
    gtin = upc.as_gtin_14()
    return Meaning("upc_e", gtin, gtin, data, "GTIN-12", upc_a=upc.as_upc_a())


def _digital_link(data: str, rules: "InStore") -> Meaning:
    from biip import ParseError
    from biip.gs1_digital_link_uris import GS1DigitalLinkURI

    try:
        link = GS1DigitalLinkURI.parse(data, config=rules.config)
    except ParseError as why:
        raise NoMeaning(_plain(why)) from why
    return _of_elements("digital_link", data, list(link.element_strings))


def _element_string(data: str, rules: "InStore") -> Meaning:
    from biip import ParseError
    from biip.gs1_element_strings import GS1ElementString

    elements = []
    rest = data.strip(GS)
    while rest:
        try:
            element = GS1ElementString.extract(rest, config=rules.config)
        except ParseError as why:
            raise NoMeaning(_plain(why)) from why
        elements.append(element)
        rest = rest[len(element) :]
        if rest and element.ai.separator_required and rest[0] != GS:
            raise NoMeaning(f"element {element.ai.ai} is too long, or the separator (GS) after it is missing")
        rest = rest.lstrip(GS)
    if not elements:
        raise NoMeaning("nothing but separators")
    return _of_elements("gs1", data, elements)


def _of_elements(kind: str, data: str, elements: list[Any]) -> Meaning:
    """The meaning of parsed elements. biip accepts a bad check digit inside an element: here it counts."""
    for element in elements:
        if wrong := element.gtin_error or element.sscc_error or element.gln_error:
            raise NoMeaning(_plain(wrong))
    by_ai = {element.ai.ai: element for element in elements}
    texts = {ai: element.value for ai, element in by_ai.items()}
    dates = {ai: element.date.isoformat() for ai, element in by_ai.items() if element.date}
    named = by_ai.get("01") or by_ai.get("02")
    gtin = named.gtin.as_gtin_14() if named else None
    weight, weight_unit = _first(by_ai, {"310": "kg", "320": "lb"})
    price, price_kind = _first(by_ai, {"392": "", "393": "currency"})
    count = texts.get("30") or texts.get("37")
    return Meaning(
        kind=kind,
        code=gtin or texts.get("00", ""),
        gtin=gtin,
        value=data,
        format=str(named.gtin.format) if named else None,
        sscc=texts.get("00"),
        lot=texts.get("10"),
        expiry=dates.get("17"),
        best_before=dates.get("15"),
        packed=dates.get("13"),
        produced=dates.get("11"),
        serial=texts.get("21"),
        weight=weight,
        weight_unit=weight_unit,
        price=price,
        currency=next((texts[ai][:3] for ai in texts if ai[:3] == "393"), None) if price_kind else None,
        count=int(count) if count else None,
        elements=tuple((element.ai.ai, element.value) for element in elements),
        dates=tuple(dates.items()),
        decimals=tuple((ai, element.decimal) for ai, element in by_ai.items() if element.decimal is not None),
    )


def _first(by_ai: dict[str, Any], families: dict[str, str]) -> tuple[Decimal | None, str | None]:
    """The first measure whose application identifier (three digits and the decimals) is in `families`."""
    for ai, element in by_ai.items():
        if ai[:3] in families and len(ai) == 4:
            return element.decimal, families[ai[:3]]
    return None, None


def _without_lost_separator(data: str, found: list[Meaning]) -> Meaning | None:
    """The other reading of a code whose scanner dropped GS: the last lot or serial ends in whole elements."""
    from re import fullmatch

    if GS in data or not found or found[0].kind != "gs1":
        return None
    ai, value = found[0].elements[-1]
    if ai not in ("10", "21"):
        return None
    tail = fullmatch(r"(.+?)((?:1[1357]\d{6}|3[12]0\d{7})+)", value)
    if not tail:
        return None
    head = data[: len(data) - len(tail[2])]
    try:
        return _element_string(head + GS + tail[2], InStore())
    except NoMeaning:
        return None


def _coded(meaning: Meaning) -> Coded:
    weight_kg = meaning.weight_kg
    return Coded(
        code=meaning.code,
        lot=meaning.lot or "",
        expires_on=meaning.expiry or meaning.best_before,
        serial=meaning.serial,
        grams=None if weight_kg is None else _whole(weight_kg * 1000),
        count=meaning.count,
        price_minor=None if meaning.price is None else _whole(meaning.price * 100),
    )


def _whole(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_EVEN))


def _is_measured(meaning: Meaning) -> bool:
    return (meaning.weight, meaning.price, meaning.count) != (None, None, None)


def _plain(why: object) -> str:
    return str(why).rstrip(".")


# ---- numbers that a shop or a country gives a weight or price ----------------------------------------------


@dataclass(frozen=True, slots=True)
class Template:
    """A shop's own in-store rule: `2P IIIII VVVVV C weight 3`.

    Digits must match, P and I stay, V is the value, K its own check digit (GS1 General Specifications 7.9),
    the last C the check digit of the whole. Then `weight` (kg), `price` or `count`, and the decimals.
    """

    pattern: str
    measure: str
    decimals: int

    def read(self, digits: str) -> Meaning | None:
        """None when the number is not of this pattern. Raises NoMeaning for a wrong check digit."""
        if len(digits) != len(self.pattern) or not (digits.isascii() and digits.isdigit()):
            return None
        if any(mark.isdigit() and mark != digit for mark, digit in zip(self.pattern, digits, strict=True)):
            return None
        if not check_digit_is_right(digits):
            raise NoMeaning(f"{digits} has a wrong check digit")
        value = self._marked(digits, "V")
        if "K" in self.pattern and _value_check_digit(value) != self._marked(digits, "K"):
            raise NoMeaning(f"the value {value} inside {digits} has a wrong check digit of its own")
        amount = Decimal(value).scaleb(-self.decimals)
        key = self._key(digits)
        return Meaning(
            kind="in_store",
            code=key.zfill(14),
            gtin=key.zfill(14),
            value=digits,
            format=f"GTIN-{len(digits)}",
            weight=amount if self.measure == "weight" else None,
            weight_unit="kg" if self.measure == "weight" else None,
            price=amount if self.measure == "price" else None,
            count=int(value) if self.measure == "count" else None,
        )

    def _marked(self, digits: str, mark: str) -> str:
        return "".join(digit for at, digit in zip(self.pattern, digits, strict=True) if at == mark)

    def _key(self, digits: str) -> str:
        """The number with the value zeroed and the check digits made right: the same for every weight."""
        zero = "0" * self.pattern.count("V")
        inner = _value_check_digit(zero) if "K" in self.pattern else ""
        kept = {"V": "0", "K": inner}
        body = "".join(kept.get(mark, digit) for mark, digit in zip(self.pattern, digits, strict=True))[:-1]
        return next(body + last for last in "0123456789" if check_digit_is_right(body + last))


@dataclass(frozen=True, slots=True)
class InStore:
    """How in-store numbers are read here."""

    region: Any = None  # biip's RcnRegion
    template: Template | None = None
    config: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        from biip import ParseConfig

        object.__setattr__(self, "config", ParseConfig(rcn_region=self.region))


def template_of(text: str) -> Template | None:
    """Raises ValueError: what is wrong, and an example."""
    if not text.strip():
        return None
    *marks, measure, decimals = text.split() if len(text.split()) > 2 else ["", "", ""]
    pattern = "".join(marks)
    wrong = ""
    if len(pattern) not in (8, 12, 13) or pattern[-1] != "C" or set(pattern[:-1]) - set("0123456789PIVK"):
        wrong = "the pattern needs 8, 12 or 13 places, with C at the end"
    elif measure not in ("weight", "price", "count") or not decimals.isdecimal() or "V" not in pattern:
        wrong = "it needs places V, then weight, price or count, then the number of decimals"
    elif "K" in pattern and (pattern.count("K") != 1 or pattern.count("V") not in (4, 5)):
        wrong = "one K goes with 4 or 5 places V"
    if wrong:
        raise ValueError(f'rcn_template is "{text}": {wrong}; for example "2P IIIII VVVVV C weight 3"')
    return Template(pattern, measure, int(decimals))


def region_of(text: str) -> Any:
    """biip's region by name ("norway") or ISO code ("no"). Raises ValueError with those there are."""
    if not text.strip():
        return None
    from biip.rcn import RcnRegion

    word = text.strip().lower().replace(" ", "_").replace("-", "_")
    for region in RcnRegion:
        if word in (region.value, region.name.lower()):
            return region
    known = ", ".join(region.name.lower() for region in RcnRegion)
    raise ValueError(f'rcn_region is "{text}"; there are rules for {known}; for others set rcn_template')


def _value_check_digit(value: str) -> str:
    from biip.checksums import gs1_price_weight_check_digit

    return str(gs1_price_weight_check_digit(value))
