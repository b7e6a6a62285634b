"""How the SQLite library itself is set up, before anything is opened with it."""

import _sqlite3
import ctypes

# sqlite.org/c3ref/c_config_covering_index_scan.html
SQLITE_CONFIG_MULTITHREAD, SQLITE_CONFIG_MEMSTATUS = 2, 9


def set_up_for_one_thread_a_connection() -> bool:
    """Spare the locks that nobody needs here; False when that cannot be done, and all is as before.

    Each of our connections is used by one thread at a time, so SQLite need not lock it at every call; and nobody
    asks how much memory SQLite holds, so it need not count, under a lock, at every allocation. That is 3 of the 18
    microseconds that a movement takes. Python has no door to these settings: they are the library's own functions,
    between a shutdown and a start, which the library allows while nothing is open.
    """
    try:
        library = ctypes.CDLL(_sqlite3.__file__)  # finds what the module itself is linked to
        library.sqlite3_shutdown()
        refused = library.sqlite3_config(SQLITE_CONFIG_MULTITHREAD)
        refused |= library.sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0)
        library.sqlite3_initialize()
    except (AttributeError, OSError):  # a Python that hides its SQLite
        return False
    return not refused
