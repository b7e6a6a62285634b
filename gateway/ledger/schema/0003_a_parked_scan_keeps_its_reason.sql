-- Why it was waste, where it was moved to: without it a parked scan could not be booked as it was meant.
ALTER TABLE parked ADD COLUMN argument TEXT NOT NULL DEFAULT '';
