-- Why an item may not be sold, in words; empty when it may. The back office says so, when a product is recalled.

ALTER TABLE item ADD COLUMN blocked TEXT NOT NULL DEFAULT '';
