-- DemoLock keeps everybody from adding accounts and transfers until the transaction ends, and waits for those who are at it.
-- name: DemoLock :exec
LOCK TABLE account, transfer IN SHARE ROW EXCLUSIVE MODE;

-- DemoInsert marks the ledger as a demo, unless it has anything besides its equity accounts: then it adds no row.
-- name: DemoInsert :execrows
INSERT INTO setting (name, value)
SELECT @name, @value
WHERE NOT EXISTS (SELECT FROM account WHERE NOT is_equity)
  AND NOT EXISTS (SELECT FROM transfer);
