"""What a scanner is doing just now, and the command codes that change it."""

import msgspec
from msgspec.structs import replace

COMMAND_PREFIX = "SK/"  # an item code can never begin with it
NEXT_QUANTITY_S = 30.0  # SK/QTY applies to the next item within this time
HOME_AFTER_S = 15 * 60.0  # an idle scanner goes back to its home mode
QUANTITY_MAX = 100_000

MODES = {
    "LOOK": "look",
    "SELL": "sell",
    "RECEIVE": "receive",
    "WASTE": "waste",
    "MOVE": "move",
    "RETURN": "return",
    "TOSUPPLIER": "to_supplier",
}
DIGITS = tuple("0123456789")
WASTE_REASONS = ("expired", "damaged", "stolen", "tasting", "own-use", "donated")


class Station(msgspec.Struct, frozen=True, gc=False):
    """A scanner with its mode and place."""

    device: str
    home_mode: str
    home_location: str
    mode: str
    location: str
    reason: str = ""  # of waste
    destination: str = ""  # of a move
    next_quantity: int = 0  # 0: none waiting
    next_quantity_s: float = 0.0  # monotonic time at which it was set

    @classmethod
    def at_home(cls, device: str, mode: str, location: str) -> "Station":
        return cls(device, mode, location, mode, location)

    def home(self) -> "Station":
        return replace(
            self,
            mode=self.home_mode,
            location=self.home_location,
            reason="",
            destination="",
            next_quantity=0,
        )

    def quantity_waiting(self, now_s: float) -> int:
        """The quantity for the next item, or 0 when none was set or its time is over."""
        return self.next_quantity if now_s - self.next_quantity_s <= NEXT_QUANTITY_S else 0


class NotACommand(Exception):
    """A code with our prefix that means nothing. The text says what would."""


def obey(station: Station, code: str, now_s: float) -> tuple[Station, str]:
    """Carry out a command code that concerns the station alone: the station after it, and what to show.

    Raises NotACommand for codes that nobody has defined.
    """
    verb, _, argument = code.removeprefix(COMMAND_PREFIX).partition("/")
    match verb:
        case "WASTE" if argument not in WASTE_REASONS:
            raise NotACommand(f"SK/WASTE/{argument} is no reason; use one of: {', '.join(WASTE_REASONS)}")
        case "COUNT":
            raise NotACommand("counting by scanner is not built yet; the stock page takes a counted number")
        case _ if verb in MODES:
            mode = MODES[verb]
            fresh = replace(station.home(), mode=mode)
            if mode == "waste":
                return replace(fresh, reason=argument), f"waste ({argument})"
            if mode == "move":  # the first place scanned is where from, the second where to
                return replace(fresh, location=""), "move: scan the place to take from"
            return fresh, mode
        case "DONE":
            return station.home(), station.home_mode
        case "FREE":  # ends its being muted; the driver's host has done so when this arrives
            return station, "this scanner counts"
        case "CANCEL":
            return replace(station, next_quantity=0), "cancelled"
        case "QTY":
            quantity = _quantity(argument, least=1)
            return replace(station, next_quantity=quantity, next_quantity_s=now_s), f"x{quantity} next"
        case digit if digit in DIGITS and not argument:
            quantity = _quantity(f"{station.quantity_waiting(now_s) or ''}{digit}")
            return replace(station, next_quantity=quantity, next_quantity_s=now_s), f"x{quantity} next"
        case "LOC" if not argument or not argument.isprintable() or argument.isupper():
            raise NotACommand(f"{argument!r} cannot be a place: names all in capitals are the ledger's own")
        case "LOC":
            if station.mode == "move" and station.location:
                return replace(station, destination=argument), f"to {argument}"
            return replace(station, location=argument), f"at {argument}"
    raise NotACommand(f"{code} is not a command; the counter page has a button for each")


def _quantity(text: str, least: int = 0) -> int:
    """A leading zero waits for its next digit: "0" then "6" is 6."""
    if not (text.isascii() and text.isdigit() and least <= int(text) <= QUANTITY_MAX):
        raise NotACommand(f"{text!r} is not a quantity; use 1 to {QUANTITY_MAX}")
    return int(text)
