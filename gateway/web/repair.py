"""The repair list: what is wrong with the box, each with its one remedy."""

from dataclasses import dataclass

from gateway.ledger import queries
from gateway.ledger.queries import DeviceState
from gateway.plugged import is_unplugged
from gateway.web.face import Reader
from gateway.web.language import spoken


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing to mend: a sentence, and what to do about it."""

    icon: str
    tone: str  # bad or warn
    title: str
    text: str
    href: str = ""
    action: str = ""


def repairs(reader: Reader) -> list[Repair]:
    """The most serious first; an empty list is the normal case."""
    return [
        *not_recording(reader),
        *devices(reader),
        *office(reader),
        *backup(reader),
        *alerts(reader),
    ]


def not_recording(reader: Reader) -> list[Repair]:
    why = reader.face.not_recording()
    return [Repair("stop", "bad", reader.words.say("counter.not_counting"), why)] if why else []


def devices(reader: Reader) -> list[Repair]:
    return [
        Repair(
            "devices", "warn", f"{spoken(one.device)}: {reader.words.state(one.state)}", remedy(reader, one)
        )
        for one in reader.face.device_states().values()
        if one.state not in ("running", "starting", "disabled")
    ]


def remedy(reader: Reader, device: DeviceState) -> str:
    """What its driver says is for who knows ports; what to do comes first."""
    known = {one.name: one for one in reader.face.settings.devices}.get(device.device)
    if device.state != "waiting" or known is None or not is_unplugged(known):
        return device.text  # it has a remedy of its own
    return f"{reader.words.say('fix.plug_in')} ({device.text})"


def backup(reader: Reader) -> list[Repair]:
    state = reader.face.backup()
    if state is None or state.state != "failed":
        return []
    return [Repair("warn", "warn", reader.words.say("fix.backup"), state.text)]


def office(reader: Reader) -> list[Repair]:
    """Being offline is normal and no repair; a line that was refused is."""
    link = reader.face.link()
    if link is None or link.state != "refused":
        return []
    return [Repair("office", "warn", reader.words.say("fix.refused"), link.text)]


def alerts(reader: Reader) -> list[Repair]:
    t = reader.words.say
    return [
        Repair("alerts", "bad", alert.text, reader.words.ago(alert.first_us, reader.now_us), "/alerts",
               t("today.to_alerts"))
        for alert in queries.alerts(reader.face.ledger)
        if alert.severity == "critical"
    ]  # fmt: skip
