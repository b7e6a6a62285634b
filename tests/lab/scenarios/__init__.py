"""A module a scenario: its first line says what is shown, `run(bench)` yields the lines of the table."""

from types import ModuleType

from tests.lab.scenarios import (
    bad_usb,
    boot,
    equal_scanners,
    pass_through,
    power_cuts,
    replug,
    serial_line,
    till_kills,
    wedge_scan,
    write_log,
)

SCENARIOS: dict[str, ModuleType] = {
    "boot": boot,
    "wedge_scan": wedge_scan,
    "serial_line": serial_line,
    "replug": replug,
    "equal_scanners": equal_scanners,
    "bad_usb": bad_usb,
    "pass_through": pass_through,
    "till_kills": till_kills,
    "power_cuts": power_cuts,
    "write_log": write_log,
}
