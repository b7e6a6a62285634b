-- The stock ledger. A movement row is never changed or deleted, so every column that a later feature
-- needs stands here from the first day, NULL where unknown. Units: quantities are integers in the item's
-- base unit, money is integer minor units, *_us are microseconds UTC.

CREATE TABLE epoch (
    id         INTEGER PRIMARY KEY,
    reason     TEXT NOT NULL CHECK (reason IN ('first-start', 'restore', 'ahead', 'fork', 'fold')),
    started_us INTEGER NOT NULL,
    parent_epoch INTEGER,
    parent_seq   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Its checks say OR, not IN: for a list of three or more SQLite fills a temporary table anew for every row, and the
-- four lists here were half of the time that a movement took.
CREATE TABLE movement (
    seq         INTEGER PRIMARY KEY,
    epoch       INTEGER NOT NULL REFERENCES epoch (id),
    id          BLOB NOT NULL UNIQUE CHECK (length(id) = 16),          -- UUIDv7
    idem        TEXT NOT NULL UNIQUE,                                  -- device/boot/seq/n
    kind        TEXT NOT NULL CHECK (kind = 'sale' OR kind = 'receipt' OR kind = 'dispatch' OR kind = 'customer_return'
                    OR kind = 'supplier_return' OR kind = 'transfer' OR kind = 'waste' OR kind = 'count_correction'
                    OR kind = 'opening' OR kind = 'make_in' OR kind = 'make_out'),
    sku         TEXT NOT NULL,
    qty         INTEGER NOT NULL CHECK (qty > 0),
    src         TEXT NOT NULL,
    dst         TEXT NOT NULL CHECK (dst <> src),
    lot         TEXT NOT NULL DEFAULT '',
    expiry      TEXT,                                                  -- YYYY-MM-DD
    serial      TEXT,
    reason      TEXT,
    doc         TEXT,                                                  -- delivery note, order, count
    reverses    INTEGER REFERENCES movement (seq),
    device      TEXT NOT NULL,
    actor       TEXT,
    occurred_us INTEGER,                                               -- when it happened ...
    occurred_q  TEXT,                                                  -- ... and how well that is known
    wall_us     INTEGER NOT NULL,                                      -- when it was written
    mono_ns     INTEGER NOT NULL,
    boot_id     BLOB NOT NULL,
    clock_q     TEXT NOT NULL CHECK (clock_q = 'ntp' OR clock_q = 'rtc' OR clock_q = 'none' OR clock_q = 'operator'),
    hlc         INTEGER NOT NULL,                                      -- hybrid logical clock
    value_minor INTEGER,                                               -- price at a sale, cost at a receipt
    basket      TEXT,                                                  -- till receipt ...
    line        INTEGER,                                               -- ... and its line
    origin      TEXT NOT NULL CHECK (origin = 'scan' OR origin = 'till' OR origin = 'file' OR origin = 'count'
                    OR origin = 'rule' OR origin = 'person'),
    qty_src     TEXT NOT NULL CHECK (qty_src = 'scanned' OR qty_src = 'typed' OR qty_src = 'weighed'
                    OR qty_src = 'label' OR qty_src = 'derived'),
    form        INTEGER NOT NULL,                                      -- version of the canonical bytes
    prev_hash   BLOB NOT NULL CHECK (length(prev_hash) = 32),
    hash        BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE INDEX movement_sku ON movement (sku);  -- seq is the rowid: it ends each entry by itself
CREATE UNIQUE INDEX movement_reverses ON movement (reverses) WHERE reverses IS NOT NULL;

CREATE TRIGGER movement_is_never_changed BEFORE UPDATE ON movement
BEGIN SELECT RAISE(ABORT, 'a movement is never changed: book its reversal'); END;
CREATE TRIGGER movement_is_never_deleted BEFORE DELETE ON movement
BEGIN SELECT RAISE(ABORT, 'a movement is never deleted: book its reversal'); END;
CREATE TRIGGER a_reversal_is_never_reversed BEFORE INSERT ON movement
WHEN new.reverses IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a reversal cannot be reversed')
    WHERE (SELECT reverses FROM movement WHERE seq = new.reverses) IS NOT NULL;
END;

CREATE TABLE balance (
    sku      TEXT NOT NULL,
    loc      TEXT NOT NULL,
    lot      TEXT NOT NULL,
    qty      INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (sku, loc, lot)
) STRICT, WITHOUT ROWID;

CREATE TABLE lot (
    sku    TEXT NOT NULL,
    lot    TEXT NOT NULL,
    expiry TEXT,
    PRIMARY KEY (sku, lot)
) STRICT, WITHOUT ROWID;

CREATE TABLE serial_state (
    epc      TEXT PRIMARY KEY,
    loc      TEXT NOT NULL,
    last_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was answered to readings that the device has not yet confirmed hearing: a row per bus batch.
CREATE TABLE reading_seen (
    device    TEXT NOT NULL,
    boot      TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    wall_us   INTEGER NOT NULL,
    outcomes  BLOB NOT NULL,                                           -- msgpack: [code, text, about] each
    PRIMARY KEY (device, boot, last_seq)
) STRICT, WITHOUT ROWID;

-- The newest reading of each run of each driver that is in the ledger: what is not above it is a duplicate.
CREATE TABLE device_boot (
    device   TEXT NOT NULL,
    boot     TEXT NOT NULL,
    high_seq INTEGER NOT NULL,
    acked_through INTEGER NOT NULL DEFAULT 0,
    started_us INTEGER NOT NULL,
    PRIMARY KEY (device, boot)
) STRICT, WITHOUT ROWID;

CREATE TABLE parked (
    device     TEXT NOT NULL,
    boot       TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    code       TEXT NOT NULL,                                          -- look-up key (GTIN-14 or text as read)
    data       TEXT NOT NULL,                                          -- as read
    aim        TEXT,
    mode       TEXT NOT NULL,
    loc        TEXT NOT NULL,
    qty        INTEGER NOT NULL,
    wall_us    INTEGER NOT NULL,
    clock_q    TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'booked', 'dismissed')),
    PRIMARY KEY (device, boot, seq)
) STRICT;
CREATE INDEX parked_code ON parked (code) WHERE state = 'parked';

CREATE TABLE command_seen (
    cmd_id  TEXT PRIMARY KEY,
    issuer  TEXT NOT NULL,
    cmd_seq INTEGER NOT NULL,
    result  TEXT NOT NULL,
    at_us   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Alerts, digests and replies on their way to the back office. Ledger rows need no row here: `movement`
-- itself, read from the acknowledged cursor on, is their queue.
CREATE TABLE outbox (
    lane       TEXT NOT NULL,                                          -- A alerts, D digests, R replies
    seq        INTEGER NOT NULL,
    id         TEXT NOT NULL UNIQUE,
    type       TEXT NOT NULL,
    body       TEXT NOT NULL,                                          -- JSON
    created_us INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;

-- How far the back office has confirmed: name = lane.
CREATE TABLE cursor (
    name  TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alert (
    id        INTEGER PRIMARY KEY,
    kind      TEXT NOT NULL,
    subject   TEXT NOT NULL,
    severity  TEXT NOT NULL CHECK (severity IN ('event', 'info', 'warning', 'critical')),
    text      TEXT NOT NULL,
    data      TEXT NOT NULL DEFAULT '{}',                              -- JSON: the numbers behind the text
    first_us  INTEGER NOT NULL,
    last_us   INTEGER NOT NULL,
    count     INTEGER NOT NULL DEFAULT 1,
    state     TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'ack', 'closed'))
) STRICT;
CREATE UNIQUE INDEX one_open_alert ON alert (kind, subject) WHERE state <> 'closed';

CREATE TABLE item (
    sku         TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    category    TEXT NOT NULL DEFAULT '',
    unit        TEXT NOT NULL DEFAULT 'piece' CHECK (unit IN ('piece', 'gram', 'millilitre')),
    price_minor INTEGER,                                               -- per piece, per kg, per litre
    cost_minor  INTEGER,
    place       TEXT NOT NULL DEFAULT '',                              -- shelf, as people say it
    stocked     INTEGER NOT NULL DEFAULT 1,                            -- 0: bag, fee, voucher
    low_units   INTEGER,                                               -- warn at or below
    supplier    TEXT NOT NULL DEFAULT '',
    pack_units  INTEGER NOT NULL DEFAULT 1,                            -- ordering unit
    changed_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE code (
    code  TEXT PRIMARY KEY,                                            -- GTIN-14, or a shop code as read
    sku   TEXT NOT NULL REFERENCES item (sku),
    units INTEGER NOT NULL DEFAULT 1 CHECK (units > 0)                 -- base units behind one scan
) STRICT, WITHOUT ROWID;
CREATE INDEX code_sku ON code (sku);

CREATE TABLE location (
    loc  TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What each scanner is doing just now: survives a power cut.
CREATE TABLE station (
    device   TEXT PRIMARY KEY,
    mode     TEXT NOT NULL,
    loc      TEXT NOT NULL,
    state    TEXT NOT NULL DEFAULT '{}',                               -- JSON: next quantity, reason, open count
    since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
