DELETE FROM chain_tx;
DELETE FROM channels;
DELETE FROM digests;
DELETE FROM events;
DELETE FROM meta WHERE k IN ('chain', 'epoch');
