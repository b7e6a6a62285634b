"""How fast, how small: figures of a real daemon on this machine, for `storekeeper bench` and `make bench`."""
