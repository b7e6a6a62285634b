"""Bytes to readings. The public part is `drivers.contract`."""
