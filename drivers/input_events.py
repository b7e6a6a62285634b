"""The kernel's `struct input_event`, as /dev/input/eventN gives it and /dev/uinput takes it (linux/input.h)."""

from struct import Struct

RECORD = Struct("<qqHHi")  # on a 64-bit kernel: seconds, microseconds, type, code, value
EV_SYN, EV_KEY = 0, 1
SYN_REPORT, SYN_DROPPED = 0, 3
UP, DOWN = 0, 1  # 2 is autorepeat: a key that hangs types no barcode
