"""Pass-through in its shortest form, to compare with: keys are kept until Enter, then written to the gadget.

python echo.py /dev/input/eventN /dev/hidgN
"""

import fcntl
import os
import struct
import sys

RECORD = struct.Struct("<qqHHi")
EVIOCGRAB = 0x40044590
SHIFTS, ALT_GR, ENTER = (42, 54), 100, 28
LETTERS = (
    30,
    48,
    46,
    32,
    18,
    33,
    34,
    35,
    23,
    36,
    37,
    38,
    50,
    49,
    24,
    25,
    16,
    19,
    31,
    20,
    22,
    47,
    17,
    45,
    21,
    44,
)
OTHERS = (*range(2, 12), 28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53)
USAGE = {key: usage for usage, key in enumerate((*LETTERS, *OTHERS), 4)} | {86: 0x64}
BITS = {42: 0x02, 54: 0x20, 100: 0x40}

keyboard, gadget = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY)
fcntl.ioctl(keyboard, EVIOCGRAB, 1)
print("ready", flush=True)
held, kept = 0, []
while True:
    for _, _, kind, code, value in RECORD.iter_unpack(os.read(keyboard, 24 * 64)):
        if kind != 1 or value == 2:
            continue
        if code in BITS:
            held = held | BITS[code] if value else held & ~BITS[code]
        elif value:
            kept.append(bytes([held, 0, USAGE[code], 0, 0, 0, 0, 0]))
            if code == ENTER:
                for report in kept:
                    os.write(gadget, report)
                    os.write(gadget, bytes(8))
                kept = []
