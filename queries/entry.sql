-- EntryListNewest lists the movements of an account, newest first, before a place in the list. Each
-- side is read in order by its own index, never more rows than the page has.
-- name: EntryListNewest :many
SELECT sqlc.embed(transfer_full)
FROM ((SELECT f.transfer_id
       FROM transfer AS f
       WHERE f.from_account_id = @account_id
         AND f.from_sequence IS NOT NULL
         AND (f.create_time, f.position) < (@before_time::timestamptz, @before_position::bigint)
         AND f.create_time >= @start_time
       ORDER BY f.create_time DESC, f.position DESC
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.transfer_id
       FROM transfer AS t
       WHERE t.to_account_id = @account_id
         AND t.to_sequence IS NOT NULL
         AND (t.create_time, t.position) < (@before_time::timestamptz, @before_position::bigint)
         AND t.create_time >= @start_time
       ORDER BY t.create_time DESC, t.position DESC
       LIMIT @row_limit)) AS k
JOIN transfer_full ON transfer_full.transfer_id = k.transfer_id
ORDER BY transfer_full.create_time DESC, transfer_full.position DESC
LIMIT @row_limit;

-- EntryListOldest lists the movements of an account, oldest first, after a place in the list.
-- name: EntryListOldest :many
SELECT sqlc.embed(transfer_full)
FROM ((SELECT f.transfer_id
       FROM transfer AS f
       WHERE f.from_account_id = @account_id
         AND f.from_sequence IS NOT NULL
         AND (f.create_time, f.position) > (@after_time::timestamptz, @after_position::bigint)
         AND f.create_time < @end_time
       ORDER BY f.create_time, f.position
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.transfer_id
       FROM transfer AS t
       WHERE t.to_account_id = @account_id
         AND t.to_sequence IS NOT NULL
         AND (t.create_time, t.position) > (@after_time::timestamptz, @after_position::bigint)
         AND t.create_time < @end_time
       ORDER BY t.create_time, t.position
       LIMIT @row_limit)) AS k
JOIN transfer_full ON transfer_full.transfer_id = k.transfer_id
ORDER BY transfer_full.create_time, transfer_full.position
LIMIT @row_limit;
