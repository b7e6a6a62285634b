-- INSERT OR REPLACE takes a row away without asking the triggers on DELETE. A movement goes to the end of
-- the ledger or nowhere: no gap, no second row of a number, nothing put in between.

CREATE TRIGGER a_movement_goes_at_the_end BEFORE INSERT ON movement
WHEN new.seq <> 1 + coalesce((SELECT max(seq) FROM movement), 0)
BEGIN
    SELECT RAISE(ABORT, 'a movement goes at the end of the ledger');
END;
