"""The till's keyboard driver: events from the kernel to stdout, and nothing else, so that none is dropped.

python till_keyboard.py /dev/input/eventN     writes one byte when it has the keyboard, then what the kernel gives
"""

import fcntl
import os
import sys

EVIOCGRAB = 0x40044590

os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
keyboard = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(keyboard, EVIOCGRAB, 1)
os.write(1, b"!")
while events := os.read(keyboard, 24 * 64):
    os.write(1, events)
