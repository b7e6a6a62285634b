-- What was answered to documents of pages, tools and connectors: the same external id is the same document (I6).

CREATE TABLE document_seen (
    device      TEXT NOT NULL,
    external_id TEXT NOT NULL,
    wall_us     INTEGER NOT NULL,
    code        TEXT NOT NULL,
    text        TEXT NOT NULL,
    PRIMARY KEY (device, external_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_seen_age ON document_seen (wall_us);
