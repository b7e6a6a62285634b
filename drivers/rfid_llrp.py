"""RFID readers that speak LLRP 1.0.1 or 1.1 over TCP (Impinj, Zebra and others); TLS where the reader has it.

llrpkit's codec reads and writes the messages; everything else is here: the order of the start (wait for the
reader's word that we own it, set the keep-alive, delete what the last owner left, add our ROSpec, enable and
start it), the answer to each keep-alive, and the verdict that a reader without three of them is gone. Every
connection starts anew. Fields of a report are optional: some readers send neither antenna nor RSSI.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from llrpkit.exceptions import LLRPError
from llrpkit.protocol import LLRPMessage, decode_message, enums, messages, params

from drivers.contract import AnyReading, ConfigError, Decoder, DeviceGone, Health, TagRead, Transport, garbled
from drivers.framing import Frame, FrameSearch, Noise
from drivers.presence import Zones, ZonesConfig, watched

HEAD_BYTES = 10
MESSAGE_BYTES_MAX = 262_144
HALF_MESSAGE_S = 1.0
PORT_PLAIN, PORT_TLS = 5084, 5085
ROSPEC_ID = 1
ANSWER_WITHIN_S = 5.0
KEEPALIVES_MISSED_MAX = 3
FROM_READER = frozenset(
    message.MESSAGE_TYPE
    for message in (
        messages.GET_READER_CAPABILITIES_RESPONSE,
        messages.GET_READER_CONFIG_RESPONSE,
        messages.SET_READER_CONFIG_RESPONSE,
        messages.CLOSE_CONNECTION_RESPONSE,
        messages.ADD_ROSPEC_RESPONSE,
        messages.DELETE_ROSPEC_RESPONSE,
        messages.START_ROSPEC_RESPONSE,
        messages.STOP_ROSPEC_RESPONSE,
        messages.ENABLE_ROSPEC_RESPONSE,
        messages.DISABLE_ROSPEC_RESPONSE,
        messages.GET_ROSPECS_RESPONSE,
        messages.RO_ACCESS_REPORT,
        messages.KEEPALIVE,
        messages.READER_EVENT_NOTIFICATION,
        messages.ERROR_MESSAGE,
    )
) | {1023}  # a vendor's own message: skipped by its length

MAY_BE_REFUSED = (messages.DELETE_ROSPEC_RESPONSE, messages.GET_READER_CONFIG_RESPONSE)


@dataclass(frozen=True, slots=True)
class LlrpConfig(ZonesConfig):
    host: str = ""
    port: Annotated[int, Ge(0), Le(65_535)] = 0  # 0: 5084, with tls 5085
    tls: bool = False
    ca_file: str = ""
    antennas: tuple[int, ...] = ()  # empty: all of the reader's
    keepalive_s: Annotated[int, Ge(1), Le(30)] = 10  # presence needs a sign of life within 35 s


class LlrpDriver:
    Config = LlrpConfig

    def __init__(self) -> None:
        self._zones = Zones()

    def open(self, config: LlrpConfig) -> Transport:
        from drivers.transports import TcpTransport

        if not config.host:
            raise ConfigError("host is empty; set it to the reader's name or address on the network")
        port = config.port or (PORT_TLS if config.tls else PORT_PLAIN)
        return TcpTransport(config.host, port, tls=config.tls, ca_file=config.ca_file)

    def decoder(self, config: LlrpConfig) -> Decoder:
        return watched(LlrpDecoder(config), self._zones, config)


class LlrpDecoder:
    """One connection. What must be sent is collected as messages arrive, and asked for by the host."""

    def __init__(self, config: LlrpConfig) -> None:
        self._config = config
        self._frames = FrameSearch(HEAD_BYTES, _message_bytes, self._decodes, HALF_MESSAGE_S)
        self._decoded: deque[LLRPMessage] = deque()  # as many as frames were found
        self._outgoing = bytearray()
        self._message_id = 0
        self._start = _start(config)
        self._can_do_less = True  # some models refuse a ROSpec that asks for the tag's PC word
        self._awaited: type[LLRPMessage] | None = messages.READER_EVENT_NOTIFICATION
        self._awaited_since_s: float | None = None
        self._heard_s: float | None = None
        self._gone = ""  # why this connection is over

    def feed(self, chunk: bytes, now_s: float) -> list[AnyReading]:
        return self._read(self._frames.feed(chunk, now_s), now_s)

    def idle(self, now_s: float) -> list[AnyReading]:
        readings = self._read(self._frames.idle(now_s), now_s)
        if not self._gone and self._heard_s is not None and now_s - self._heard_s > self._patience_s():
            self._gone = f"no keep-alive for {self._patience_s():g} s"
            readings.append(Health(status="keepalive_lost", error=self._gone))
        return readings

    def pending_bytes(self, now_s: float) -> bytes:
        """Raises DeviceGone when this connection will not work any more: the host opens a new one."""
        if self._awaited_since_s is None:
            self._awaited_since_s = now_s
        if self._awaited is not None and now_s - self._awaited_since_s > ANSWER_WITHIN_S:
            self._gone = self._gone or f"the reader does not answer with {self._awaited.__name__}"
        if self._gone:
            raise DeviceGone(self._gone)
        outgoing, self._outgoing = bytes(self._outgoing), bytearray()
        return outgoing

    def _patience_s(self) -> float:
        return float(KEEPALIVES_MISSED_MAX * self._config.keepalive_s)

    def _decodes(self, frame: bytes) -> bool:
        """LLRP has no check value: a message that decodes to its last byte is one."""
        try:
            self._decoded.append(decode_message(frame))
        except (LLRPError, ValueError):
            return False
        return True

    def _read(self, found: list[Frame | Noise], now_s: float) -> list[AnyReading]:
        readings: list[AnyReading] = []
        for piece in found:
            if isinstance(piece, Noise):
                readings.append(garbled("not LLRP", piece.data))
                continue
            self._heard_s = now_s
            message = self._decoded.popleft()
            readings += readings_of(message)
            self._answer(message, now_s)
        return readings

    def _answer(self, message: LLRPMessage, now_s: float) -> None:
        if isinstance(message, messages.KEEPALIVE):
            self._outgoing += messages.KEEPALIVE_ACK().to_bytes(message_id=message.message_id)
            return
        if isinstance(message, messages.READER_EVENT_NOTIFICATION):
            event = message.reader_event_notification_data
            if event.connection_close_event is not None:
                self._gone = "the reader closed the connection"
            elif (attempt := event.connection_attempt_event) is not None and attempt.status:
                self._gone = refusal(attempt.status)
            elif attempt is None:
                return
        elif self._awaited is None or not isinstance(message, self._awaited):
            return
        elif isinstance(message, messages.ADD_ROSPEC_RESPONSE) and not _is_ok(message) and self._can_do_less:
            self._can_do_less = False
            self._start.insert(0, (add_rospec(self._config.antennas, plain=True), type(message)))
        elif not _is_ok(message) and not isinstance(message, MAY_BE_REFUSED):
            self._gone = f"the reader refused our {_what(message)}"
        self._next(now_s)

    def _next(self, now_s: float) -> None:
        """Send the next message of the start, or be done with it."""
        self._awaited, self._awaited_since_s = None, now_s
        if self._gone or not self._start:
            return
        request, self._awaited = self._start.pop(0)
        self._message_id += 1
        self._outgoing += request.to_bytes(message_id=self._message_id)


def readings_of(message: LLRPMessage) -> list[AnyReading]:
    """What one message of a reader says; nothing when it is ordinary traffic."""
    if isinstance(message, messages.RO_ACCESS_REPORT):
        return [tag_read(report) for report in message.tag_report_datas]
    if isinstance(message, messages.KEEPALIVE):
        return [Health(status="keepalive")]
    if isinstance(message, messages.READER_EVENT_NOTIFICATION):
        return _events(message.reader_event_notification_data)
    if isinstance(message, messages.GET_READER_CONFIG_RESPONSE) and _is_ok(message):
        return [_antennas(message)]
    if not hasattr(message, "llrp_status"):
        return []
    if _is_ok(message):
        return [Health(status=type(message).__name__.lower())]
    if isinstance(message, messages.DELETE_ROSPEC_RESPONSE):
        return [Health(status="delete_rospec_response", quality="there was nothing to delete")]
    status = message.llrp_status
    code = _name(enums.StatusCode, status.status_code)
    error = f"{_what(message)} refused: {code} {status.error_description}".rstrip()
    return [Health(status="reader_refused", error=error)]


def tag_read(report: params.TagReportData) -> TagRead:
    """One tag of a report; whatever the reader left out stays unknown."""
    epc = report.epc_parameter
    seen = report.first_seen_timestamp_utc or report.last_seen_timestamp_utc
    words = (word for word in report.air_protocol_tag_datas if isinstance(word, params.C1G2_PC))
    return TagRead(
        epc=(epc.epc if isinstance(epc, params.EPC_96) else epc.epc.data).hex(),
        pc=next((f"{word.pc_bits:04x}" for word in words), None),
        antenna=report.antenna_id.antenna_id if report.antenna_id else None,
        rssi_dbm=report.peak_rssi.peak_rssi if report.peak_rssi else None,
        seen_us=seen.microseconds if seen else None,
    )


def delete_all_rospecs() -> LLRPMessage:
    return messages.DELETE_ROSPEC(ro_spec_id=0)


def enable_rospec(ro_spec_id: int = ROSPEC_ID) -> LLRPMessage:
    return messages.ENABLE_ROSPEC(ro_spec_id=ro_spec_id)


def set_keepalive(period_s: int) -> LLRPMessage:
    spec = params.KeepaliveSpec(
        keepalive_trigger_type=enums.KeepaliveTriggerType.Periodic, periodic_trigger_value=1_000 * period_s
    )
    return messages.SET_READER_CONFIG(keepalive_spec=spec)


def add_rospec(antennas: tuple[int, ...], *, plain: bool = False) -> LLRPMessage:
    """Read without end from when it is started, on these antennas (none: on all); a report for every tag.

    `plain`: ask for nothing that is specific to an air protocol.
    """
    content = params.TagReportContentSelector(
        enable_antenna_id=True,
        enable_peak_rssi=True,
        enable_first_seen_timestamp=True,
        air_protocol_epc_memory_selectors=[]
        if plain
        else [params.C1G2EPCMemorySelector(enable_pc_bits=True)],
    )
    inventory = params.InventoryParameterSpec(
        inventory_parameter_spec_id=1, protocol_id=enums.AirProtocols.EPCGlobalClass1Gen2
    )
    return messages.ADD_ROSPEC(
        ro_spec=params.ROSpec(
            ro_spec_id=ROSPEC_ID,
            ro_boundary_spec=params.ROBoundarySpec(
                ro_spec_start_trigger=params.ROSpecStartTrigger(),  # by our word START_ROSPEC
                ro_spec_stop_trigger=params.ROSpecStopTrigger(),
            ),
            spec_parameters=[
                params.AISpec(
                    antenna_ids=list(antennas) or [0],
                    ai_spec_stop_trigger=params.AISpecStopTrigger(),
                    inventory_parameter_specs=[inventory],
                )
            ],
            ro_report_spec=params.ROReportSpec(
                ro_report_trigger=enums.ROReportTriggerType.Upon_N_Tags_Or_End_Of_ROSpec,
                n=1,
                tag_report_content_selector=content,
            ),
        )
    )


def refusal(status: int) -> str:
    """Why a reader does not want us."""
    if status in (1, 2):
        return "another program holds the reader: close it, or wait until the reader lets go"
    return f"the reader refused the connection ({_name(enums.ConnectionAttemptStatusType, status)})"


def _start(config: LlrpConfig) -> list[tuple[LLRPMessage, type[LLRPMessage]]]:
    """The messages of a start, each with the answer that allows the next."""
    return [
        (set_keepalive(config.keepalive_s), messages.SET_READER_CONFIG_RESPONSE),
        (delete_all_rospecs(), messages.DELETE_ROSPEC_RESPONSE),
        (add_rospec(config.antennas), messages.ADD_ROSPEC_RESPONSE),
        (enable_rospec(), messages.ENABLE_ROSPEC_RESPONSE),
        (messages.START_ROSPEC(ro_spec_id=ROSPEC_ID), messages.START_ROSPEC_RESPONSE),
        (
            messages.GET_READER_CONFIG(requested_data=enums.GetReaderConfigRequestedData.AntennaProperties),
            messages.GET_READER_CONFIG_RESPONSE,
        ),
    ]


def _events(event: params.ReaderEventNotificationData) -> list[AnyReading]:
    readings: list[AnyReading] = []
    if (attempt := event.connection_attempt_event) is not None:
        if attempt.status:
            readings.append(Health(status="reader_busy", error=refusal(attempt.status)))
        else:
            readings.append(Health(status="connected"))
    if event.connection_close_event is not None:
        readings.append(Health(status="closed", error="the reader closed the connection"))
    if (antenna := event.antenna_event) is not None:
        is_off = antenna.event_type == enums.AntennaEventType.Antenna_Disconnected
        error = "check its cable" if is_off else None
        state = "disconnected" if is_off else "connected"
        readings.append(Health(status=f"antenna {antenna.antenna_id} {state}", error=error))
    if (trouble := event.reader_exception_event) is not None:
        readings.append(Health(status="reader_error", error=trouble.message))
    if event.report_buffer_overflow_error_event is not None:
        error = "the reader threw reads away: its network link is too slow"
        readings.append(Health(status="reads_lost", error=error))
    return readings


def _antennas(message: messages.GET_READER_CONFIG_RESPONSE) -> Health:
    on = [str(one.antenna_id) for one in message.antenna_properties if one.antenna_connected]
    off = [str(one.antenna_id) for one in message.antenna_properties if not one.antenna_connected]
    reader = f" {message.identification.reader_id.hex()}" if message.identification else ""
    return Health(
        status=f"reader{reader}",
        quality=f"antennas connected: {', '.join(on) or 'none'}; not connected: {', '.join(off) or 'none'}",
        error=None if on or not off else "no antenna is connected: check the cables",
    )


def _is_ok(message: Any) -> bool:
    return not message.llrp_status.status_code


def _what(message: LLRPMessage) -> str:
    return type(message).__name__.removesuffix("_RESPONSE")


def _name(names: Callable[[int], Any], code: int) -> str:
    try:
        return str(names(code).name)
    except ValueError:
        return f"code {code}"


def _message_bytes(head: bytes) -> int:
    kind, version = (head[0] & 0x03) << 8 | head[1], head[0] >> 2
    length = int.from_bytes(head[2:6], "big")
    if version not in (1, 2) or kind not in FROM_READER or not HEAD_BYTES <= length <= MESSAGE_BYTES_MAX:
        return 0
    return length
