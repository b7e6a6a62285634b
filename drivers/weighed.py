"""Words that all scales share: units as they are sent, values as decimals."""

from decimal import Decimal

UNITS = {"KG": "kg", "G": "g", "LB": "lb", "LBS": "lb", "OZ": "oz"}


def unit_of(text: bytes) -> str | None:
    """kg, g, lb and oz in lower case, any other unit as it was sent; None when there is none."""
    unit = text.strip().decode("ascii")
    return UNITS.get(unit.upper(), unit) or None


def value_of(text: bytes) -> Decimal:
    """`-  01.250` as a Decimal: the zeros in front go, those behind stay."""
    return Decimal(text.replace(b" ", b"").decode("ascii"))


def scaled(digits: int, exponent: int) -> Decimal:
    """`digits` times ten to the `exponent`, written out: (125, 1) is 1250, (1135, -1) is 113.5."""
    return Decimal(digits).scaleb(exponent) if exponent < 0 else Decimal(digits * 10**exponent)
