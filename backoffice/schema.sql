-- The network-wide picture. Everything here came over the feed and can be asked for again.

CREATE TABLE IF NOT EXISTS gateway (
    source    TEXT PRIMARY KEY,          -- tenant/store/gateway
    online    INTEGER NOT NULL DEFAULT 0,
    boot_id   TEXT NOT NULL DEFAULT '',
    sw        TEXT NOT NULL DEFAULT '',
    newest    INTEGER NOT NULL DEFAULT 0, -- movement that the gateway said is its newest
    heard_us  INTEGER NOT NULL,
    problem   TEXT NOT NULL DEFAULT '',   -- why a machine is in quarantine; '' when none is
    barred    TEXT,                       -- that machine's boot id: nothing it says is booked
    digest_seq INTEGER,                   -- newest movement at which both sides agreed
    digest_us  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS cursor (
    source TEXT NOT NULL,
    lane   TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    hash   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (source, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS movement (
    source TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    hash   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    sku    TEXT NOT NULL,
    qty    INTEGER NOT NULL,
    src    TEXT NOT NULL,
    dst    TEXT NOT NULL,
    lot    TEXT NOT NULL,
    happened TEXT NOT NULL,
    PRIMARY KEY (source, seq)
) STRICT, WITHOUT ROWID;

-- Movements of a history that a gateway has left: it was restored from a copy, and a person has said from where on.
CREATE TABLE IF NOT EXISTS superseded (
    source TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    epoch  INTEGER NOT NULL,
    hash   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    sku    TEXT NOT NULL,
    qty    INTEGER NOT NULL,
    src    TEXT NOT NULL,
    dst    TEXT NOT NULL,
    lot    TEXT NOT NULL,
    happened TEXT NOT NULL,
    PRIMARY KEY (source, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS balance (
    source TEXT NOT NULL,
    sku    TEXT NOT NULL,
    loc    TEXT NOT NULL,
    lot    TEXT NOT NULL,
    qty    INTEGER NOT NULL,
    PRIMARY KEY (source, sku, loc, lot)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS product (
    source TEXT NOT NULL,
    sku    TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (source, sku)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS alert (
    source TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    subject TEXT NOT NULL,
    severity TEXT NOT NULL,
    text   TEXT NOT NULL,
    first_us INTEGER NOT NULL,
    PRIMARY KEY (source, seq)
) STRICT, WITHOUT ROWID;

-- What this end has found by comparing, by item; gone when both ends agree again.
CREATE TABLE IF NOT EXISTS discrepancy (
    source TEXT NOT NULL,
    loc    TEXT NOT NULL,
    sku    TEXT NOT NULL,
    lot    TEXT NOT NULL,
    ours   INTEGER NOT NULL,
    theirs INTEGER NOT NULL,
    PRIMARY KEY (source, loc, sku, lot)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reply (
    source TEXT NOT NULL,
    command TEXT NOT NULL,
    result TEXT NOT NULL,                -- done, refused
    reason TEXT NOT NULL,
    PRIMARY KEY (source, command)
) STRICT, WITHOUT ROWID;

-- What a gateway is asked for, in this order: the next is given when the one before has its reply.
CREATE TABLE IF NOT EXISTS command (
    id      TEXT PRIMARY KEY,            -- UUIDv7
    source  TEXT NOT NULL,
    cmd_seq INTEGER NOT NULL,            -- grows with each command to this gateway, by the clock
    type    TEXT NOT NULL,
    body    TEXT NOT NULL,               -- JSON; '' once it was answered
    issued_us  INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    answered   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, cmd_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS command_waiting ON command (source, cmd_seq) WHERE answered = 0;
