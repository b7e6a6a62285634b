-- A second file (synchronous=NORMAL) that may be deleted at any time: how devices and lines are, samples.

CREATE TABLE IF NOT EXISTS device_state (
    device   TEXT PRIMARY KEY,
    driver   TEXT NOT NULL,
    state    TEXT NOT NULL,            -- running, waiting, config_error, load_error, disabled, muted, blocked
    text     TEXT NOT NULL,            -- in words, with the remedy
    since_us INTEGER NOT NULL,
    last_reading_us INTEGER,
    counts   TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS link_state (
    name     TEXT PRIMARY KEY,         -- "back office"
    state    TEXT NOT NULL,            -- online, offline, refused, off
    text     TEXT NOT NULL,
    since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS sample (
    device  TEXT NOT NULL,
    sensor  TEXT NOT NULL,
    wall_us INTEGER NOT NULL,
    quantity TEXT NOT NULL,            -- celsius, humidity, grams
    value   REAL NOT NULL,
    PRIMARY KEY (device, sensor, quantity, wall_us)
) STRICT, WITHOUT ROWID;
