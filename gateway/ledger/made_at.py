"""When the forecast was made: the one question to forecast.db that the daemon asks."""

import contextlib
import sqlite3
from functools import lru_cache
from pathlib import Path


def made_us(forecast_db: Path) -> int | None:
    """When the last whole night was made; None for none, also when the first one was cut off. Raises OSError.

    Opened only when the file changed: whoever opens it writes its index of the log anew, 40 kB a minute.
    """
    try:
        files = [forecast_db.stat()]
    except FileNotFoundError:
        return None
    with contextlib.suppress(FileNotFoundError):
        files.append(forecast_db.with_name(f"{forecast_db.name}-wal").stat())
    written = tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in files if one.st_size)
    return _made_us(forecast_db, written)


@lru_cache(1)
def _made_us(forecast_db: Path, _as_of: tuple[tuple[int, int, int], ...]) -> int | None:
    with contextlib.suppress(sqlite3.Error, ValueError):
        store = sqlite3.connect(f"file:{forecast_db}?mode=ro", uri=True, timeout=1)
        try:
            row = store.execute("SELECT value FROM state WHERE name = 'made_us'").fetchone()
        finally:
            store.close()
        return int(row[0]) if row else None
    return None
