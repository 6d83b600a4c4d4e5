-- ScheduleInsert adds a schedule, unless its id is taken: then it returns no row.
-- name: ScheduleInsert :many
INSERT INTO schedule (schedule_id, from_account_id, to_account_id, amount, currency, cron, time_zone, interval_micros,
                      start_time, end_time, max_count, catch_up, reference, metadata, next_time, create_time,
                      update_time, create_fingerprint)
VALUES (@schedule_id, @from_account_id, @to_account_id, @amount, @currency, sqlc.narg('cron'), sqlc.narg('time_zone'),
        sqlc.narg('interval_micros'), @start_time, sqlc.narg('end_time'), sqlc.narg('max_count'), @catch_up, @reference,
        @metadata, @next_time::timestamptz, @create_time, @create_time, @fingerprint)
ON CONFLICT (schedule_id) DO NOTHING
RETURNING schedule_id;

-- ScheduleGet reads one schedule.
-- name: ScheduleGet :one
SELECT sqlc.embed(schedule)
FROM schedule
WHERE schedule_id = @schedule_id;

-- ScheduleGetForUpdate locks one schedule and reads it. A worker that makes its occurrences
-- is waited for.
-- name: ScheduleGetForUpdate :one
SELECT sqlc.embed(schedule)
FROM schedule
WHERE schedule_id = @schedule_id
FOR NO KEY UPDATE;

-- SchedulesClaim locks and reads schedules that are due, the longest due first, without those
-- that another worker is at.
-- name: SchedulesClaim :many
SELECT sqlc.embed(schedule)
FROM schedule
WHERE next_time <= @now::timestamptz
  AND schedule_id <> ALL (@aside::uuid[])
ORDER BY next_time, schedule_id
LIMIT @row_limit
FOR NO KEY UPDATE SKIP LOCKED;

-- SchedulesAdvance changes schedules, whose row locks are held, from the version that was
-- read. The time 0001-01-01 and an empty id stand for NULL.
-- name: SchedulesAdvance :many
UPDATE schedule AS s
SET status = n.status,
    next_time = nullif(n.next_time, '0001-01-01 00:00:00Z'),
    occurrence_count = n.occurrence_count,
    last_transfer_id = nullif(n.last_transfer_id, '')::uuid,
    version = s.version + 1,
    update_time = greatest(s.update_time, @now)
FROM (SELECT unnest(@schedule_ids::uuid[]) AS schedule_id,
             unnest(@versions::bigint[]) AS version,
             unnest(@statuses::text[]) AS status,
             unnest(@next_times::timestamptz[]) AS next_time,
             unnest(@occurrence_counts::bigint[]) AS occurrence_count,
             unnest(@last_transfer_ids::text[]) AS last_transfer_id) AS n
WHERE s.schedule_id = n.schedule_id
  AND s.version = n.version
RETURNING s.schedule_id, s.update_time;

-- ScheduleList lists schedules, newest first, before a place in the list.
-- name: ScheduleList :many
SELECT sqlc.embed(schedule)
FROM schedule
WHERE (create_time, schedule_id) < (@before_time::timestamptz, @before_id::uuid)
  AND (@status::text = '' OR status = @status)
ORDER BY create_time DESC, schedule_id DESC
LIMIT @row_limit;

-- ScheduleListByAccount lists the schedules from or to one account, newest first, before a
-- place in the list. Each side is read in order by its own index; an OR of the two would sort all
-- of them.
-- name: ScheduleListByAccount :many
SELECT sqlc.embed(schedule)
FROM ((SELECT f.schedule_id
       FROM schedule AS f
       WHERE f.from_account_id = @account_id
         AND (f.create_time, f.schedule_id) < (@before_time::timestamptz, @before_id::uuid)
         AND (@status::text = '' OR f.status = @status)
       ORDER BY f.create_time DESC, f.schedule_id DESC
       LIMIT @row_limit)
      UNION ALL
      (SELECT t.schedule_id
       FROM schedule AS t
       WHERE t.to_account_id = @account_id
         AND (t.create_time, t.schedule_id) < (@before_time::timestamptz, @before_id::uuid)
         AND (@status::text = '' OR t.status = @status)
       ORDER BY t.create_time DESC, t.schedule_id DESC
       LIMIT @row_limit)) AS k
JOIN schedule ON schedule.schedule_id = k.schedule_id
ORDER BY schedule.create_time DESC, schedule.schedule_id DESC
LIMIT @row_limit;

-- WorkBegin prepares a worker's transaction, in which nothing happens on its connection while a
-- batch is applied on another one, and returns the database's time.
-- name: WorkBegin :one
SELECT set_config('idle_in_transaction_session_timeout', @idle_millis::text, true)::text AS idle_millis,
       ledger_now()::timestamptz AS now;

-- TransfersClaim returns pending transfers that are due, the longest due first, without those that
-- another worker is at. It takes no row locks, since a batch on another connection is to change
-- these rows, but locks of its own, until the transaction ends. It looks at more rows than it
-- returns, because the first may all be taken.
-- name: TransfersClaim :many
SELECT d.transfer_id, d.kind
FROM (SELECT transfer_id, kind, due_time
      FROM transfer_detail
      WHERE open_amount IS NOT NULL
        AND due_time <= @now::timestamptz
        AND transfer_id <> ALL (@aside::uuid[])
      ORDER BY due_time, transfer_id
      LIMIT @look_limit) AS d
WHERE pg_try_advisory_xact_lock(hashtextextended(d.transfer_id::text, 'transfer'::regclass::oid::bigint))
LIMIT @row_limit;

-- WorkOutlook returns the time, since when the longest due item has been due (now: none is), and
-- when the next one will be, within an hour.
-- name: WorkOutlook :one
SELECT n.now::timestamptz AS now,
       least((SELECT o.due_time FROM transfer_detail AS o WHERE o.open_amount IS NOT NULL AND o.due_time <= @now::timestamptz
              ORDER BY o.due_time LIMIT 1),
             (SELECT p.next_time FROM schedule AS p WHERE p.next_time <= @now::timestamptz ORDER BY p.next_time LIMIT 1),
             n.now)::timestamptz AS oldest_due,
       least((SELECT d.due_time FROM transfer_detail AS d WHERE d.open_amount IS NOT NULL AND d.due_time > @now::timestamptz
              ORDER BY d.due_time LIMIT 1),
             (SELECT s.next_time FROM schedule AS s WHERE s.next_time > @now::timestamptz ORDER BY s.next_time LIMIT 1),
             n.now + interval '1 hour')::timestamptz AS next_due
FROM (SELECT ledger_now() AS now) AS n;
