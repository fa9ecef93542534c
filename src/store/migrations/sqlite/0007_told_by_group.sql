-- Who is erased is erased in what was told, too. Only what is told has an entry here, one for each
-- delivery; what waits and what is dead is in the indexes that hold nothing else.
CREATE INDEX deliveries_told ON deliveries (group_id) WHERE NOT open AND NOT dead;
