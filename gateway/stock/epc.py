"""What an RFID tag's EPC says (GS1 EPC Tag Data Standard 1.13); a tag without a GS1 header keeps its raw hex.

epcpy decodes the fields; it is imported only when a tag has a header that it knows.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

SCHEMES = {  # first byte: name of the coding, bits that it needs
    0x2C: ("gdti-96", 96),
    0x2D: ("gsrn-96", 96),
    0x2E: ("gsrnp-96", 96),
    0x30: ("sgtin-96", 96),
    0x31: ("sscc-96", 96),
    0x32: ("sgln-96", 96),
    0x33: ("grai-96", 96),
    0x34: ("giai-96", 96),
    0x35: ("gid-96", 96),
    0x36: ("sgtin-198", 198),
    0x37: ("grai-170", 170),
    0x38: ("giai-202", 202),
    0x39: ("sgln-195", 195),
    0x3E: ("gdti-174", 174),
    0x3F: ("sgcn-96", 96),
}
EPC_BYTES_MAX = 64  # 496 bits is the most that a tag's EPC bank can say


@dataclass(frozen=True, slots=True)
class Tag:
    """`raw` is the identity when nothing else is known; None: the tag does not say."""

    raw: str  # hex, upper case
    scheme: str | None = None  # "sgtin-96"
    tag_uri: str | None = None
    pure_identity_uri: str | None = None
    gs1_element_string: str | None = None  # "(01)80614141123458(21)6789"
    gtin: str | None = None  # 14 digits
    sscc: str | None = None
    serial: str | None = None
    filter: int | None = None  # 0 all, 1 point-of-sale item, 2 case, 4 inner pack, 6 unit load
    note: str = ""  # why there is nothing but `raw`


@lru_cache(maxsize=4096)
def explain(epc: str) -> Tag:
    """`epc` is hex, with or without spaces. Never raises: what cannot be decoded keeps its raw identity."""
    raw = "".join(epc.split()).upper()
    try:
        data = bytes.fromhex(raw)
    except ValueError:
        return Tag(raw, note="not hexadecimal, or half a byte is missing")
    if not data or len(data) > EPC_BYTES_MAX:
        return Tag(raw, note=f"{len(data)} bytes: an EPC has 1 to {EPC_BYTES_MAX}")
    if data[0] not in SCHEMES:
        return Tag(raw, note=f"no GS1 header ({data[0]:02X}): an unprogrammed tag, or one of another system")
    scheme, bits = SCHEMES[data[0]]
    if len(data) * 8 < bits:
        return Tag(raw, note=f"{scheme} needs {bits} bits, there are {len(data) * 8}")
    return _decoded(raw, data, scheme)


def _decoded(raw: str, data: bytes, scheme: str) -> Tag:
    from epcpy.utils.common import ConvertException
    from epcpy.utils.parsers import hex_to_tag_encodable

    try:
        identity = hex_to_tag_encodable(raw)
        uri: str = identity.epc_uri
        element_string = identity.gs1_element_string() if hasattr(identity, "gs1_element_string") else None
    except (ConvertException, ValueError, KeyError) as error:
        return Tag(raw, note=f"not a valid {scheme}: {error}")
    kind, body = uri.removeprefix("urn:epc:id:").split(":", 1)
    filter_value = None if kind == "gid" else data[1] >> 5
    return Tag(
        raw=raw,
        scheme=scheme,
        tag_uri=f"urn:epc:tag:{scheme}:{body if filter_value is None else f'{filter_value}.{body}'}",
        pure_identity_uri=uri,
        gs1_element_string=element_string,
        gtin=element_string[4:18] if element_string and kind == "sgtin" else None,
        sscc=element_string[4:22] if element_string and kind == "sscc" else None,
        serial=_serial(kind, body),
        filter=filter_value,
    )


def _serial(kind: str, body: str) -> str | None:
    """The last part of `company.item.serial` (of an asset: `company.asset`)."""
    parts = body.split(".", 1 if kind == "giai" else 2)
    wanted = {"giai": 2, "sgtin": 3, "grai": 3, "gid": 3, "gdti": 3, "sgln": 3, "sgcn": 3}
    return unquote(parts[-1]) if len(parts) == wanted.get(kind) else None
