-- What people know and no scanner sees: what is planned, and what was out of the ordinary. The forecaster reads it.

CREATE TABLE plan (
    sku         TEXT NOT NULL,                                         -- '' is the whole shop
    starts_on   TEXT NOT NULL,                                         -- YYYY-MM-DD, in the shop
    ends_on     TEXT NOT NULL,                                         -- the last day, included
    kind        TEXT NOT NULL CHECK (kind IN ('promotion', 'display', 'closed', 'school_holiday', 'one_off',
                    'ordinary', 'launch', 'weekly_sums', 'price')),
    strength    REAL NOT NULL DEFAULT 1,                               -- 0 to 1: share of the shop or of the day
    price_minor INTEGER,                                               -- of a price that is planned
    said_us     INTEGER NOT NULL,
    PRIMARY KEY (sku, starts_on, kind)
) STRICT, WITHOUT ROWID;

-- A named daily series: footfall, events, temperature. Known ahead, or observed only.
CREATE TABLE factor (
    name        TEXT PRIMARY KEY,
    known_ahead INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE factor_day (
    name  TEXT NOT NULL REFERENCES factor (name),
    day   TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (name, day)
) STRICT, WITHOUT ROWID;

-- A new item is expected to sell like a known one, until it has days of its own.
CREATE TABLE item_like (
    sku      TEXT PRIMARY KEY,
    like_sku TEXT NOT NULL CHECK (like_sku <> sku),
    share    REAL NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
