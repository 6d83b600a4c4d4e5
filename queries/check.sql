-- Each check below proves one invariant from the rows alone and returns how many rows it examined,
-- how many break the invariant, and a sentence for each of the first ten. All run in one snapshot.
-- Rows are judged while they are counted, in one pass that processes can share; only when some are
-- bad does a second pass collect the sentences.
--
-- What a check is about is either everything or the transfers that are named, with whatever else
-- must be read to judge those. An entry is one side of a transfer that moved money; when only some
-- transfers are named, the entries of an account up to its checkpoint are taken as they were found
-- then (account_checkpoint).

-- CheckSettings prepares the transaction of a proof. Each hash table may have 64 MB for each
-- process, or the server's hash_mem_multiplier times that; what needs more goes to temporary files.
-- A query that takes minutes is worth a second process, and a proof has a time limit of its own.
-- name: CheckSettings :exec
SELECT set_config('work_mem', '64MB', true),
       set_config('max_parallel_workers_per_gather',
                  greatest(current_setting('max_parallel_workers_per_gather')::int, 2)::text, true),
       set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true),
       set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '1min', true);

-- CheckBegin returns the time and the greatest position of a transfer, at the snapshot.
-- name: CheckBegin :one
SELECT ledger_now()::timestamptz AS now, coalesce(max(t.position), 0)::bigint AS position
FROM transfer AS t;

-- CheckSumZero: double entry makes the balances of each currency sum to zero.
-- name: CheckSumZero :one
WITH total AS (SELECT currency, sum(balance) AS total, count(*) AS accounts FROM account GROUP BY currency),
     judged AS (SELECT CASE WHEN total <> 0 THEN format('currency %s: balances sum to %s', currency, total)
                       END AS violation
                FROM total),
     tally AS (SELECT count(violation) AS bad FROM judged)
SELECT coalesce((SELECT sum(accounts) FROM total), 0)::bigint AS examined,
       t.bad AS violation_count,
       ARRAY(SELECT violation FROM judged WHERE violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckFloors: no account holds less than its floor, or than what a forced reversal left it with
-- below that, and only equity accounts have none.
-- name: CheckFloors :one
WITH judged AS NOT MATERIALIZED (
         SELECT CASE WHEN (NOT is_equity AND (min_balance IS NULL OR balance - held < least(min_balance, forced_floor)))
                          OR account_id IN (SELECT equity_account_id FROM currency) <> is_equity
                     THEN format('account %s: balance %s less held %s, floor %s', account_id, balance, held,
                                 coalesce(least(min_balance, forced_floor)::text, 'none'))
                END AS violation
         FROM account),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckCeilings: no account has, or may still get from holds, more than its ceiling, and a closed
-- account has nothing.
-- name: CheckCeilings :one
WITH judged AS NOT MATERIALIZED (
         SELECT CASE WHEN balance + incoming > max_balance
                          OR (status = 'CLOSED' AND (balance <> 0 OR held <> 0 OR incoming <> 0))
                     THEN format('account %s, %s: balance %s and incoming %s, ceiling %s', account_id, status, balance,
                                 incoming, coalesce(max_balance::text, 'none'))
                END AS violation
         FROM account),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckHeld: held and incoming are the sums of the account's transfers that are not final.
-- name: CheckHeld :one
WITH hold AS (SELECT from_account_id AS account_id, open_amount AS held, 0::numeric AS incoming
              FROM transfer_detail
              WHERE open_amount IS NOT NULL
              UNION ALL
              SELECT to_account_id, 0, open_amount FROM transfer_detail WHERE open_amount IS NOT NULL),
     total AS (SELECT account_id, sum(held) AS held, sum(incoming) AS incoming FROM hold GROUP BY account_id),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN a.held <> coalesce(t.held, 0) OR a.incoming <> coalesce(t.incoming, 0)
                     THEN format('account %s: held %s and incoming %s, but its open holds sum to %s and %s', a.account_id,
                                 a.held, a.incoming, coalesce(t.held, 0), coalesce(t.incoming, 0))
                END AS violation
         FROM account AS a LEFT JOIN total AS t ON t.account_id = a.account_id),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckBalances: each balance is the sum of the account's entries, entry_count their number and the
-- last one's. With CheckRunningBalances, which finds the predecessor of each entry, no number is
-- missing and none is there twice.
-- name: CheckBalances :one
WITH entry AS (SELECT f.from_account_id AS account_id, f.from_sequence AS sequence, -f.amount AS amount
               FROM transfer AS f
               WHERE f.from_sequence IS NOT NULL AND (@everything::boolean OR f.transfer_id = ANY (@transfer_ids::uuid[]))
               UNION ALL
               SELECT t.to_account_id, t.to_sequence, t.amount
               FROM transfer AS t
               WHERE t.to_sequence IS NOT NULL AND (@everything::boolean OR t.transfer_id = ANY (@transfer_ids::uuid[]))),
     before AS NOT MATERIALIZED (
         SELECT account_id, entry_count, balance FROM account_checkpoint WHERE NOT @everything::boolean),
     total AS (SELECT e.account_id, sum(e.amount) AS total, count(*) AS entries, max(e.sequence) AS last
               FROM entry AS e
               WHERE @everything::boolean
                  OR NOT EXISTS (SELECT FROM account_checkpoint AS c
                                 WHERE c.account_id = e.account_id AND c.entry_count >= e.sequence)
               GROUP BY e.account_id),
     side AS (SELECT coalesce(a.account_id, b.account_id, t.account_id) AS account_id, a.balance, a.entry_count,
                     coalesce(b.balance, 0) + coalesce(t.total, 0) AS total,
                     coalesce(b.entry_count, 0) + coalesce(t.entries, 0) AS entries,
                     coalesce(t.last, b.entry_count, 0) AS last
              FROM account AS a
              FULL JOIN before AS b ON b.account_id = a.account_id
              FULL JOIN total AS t ON t.account_id = coalesce(a.account_id, b.account_id)),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN balance IS DISTINCT FROM total OR entry_count IS DISTINCT FROM entries OR last <> entries
                     THEN format('account %s: balance %s with %s entries, but its ledger rows sum to %s in %s entries up to number %s',
                                 account_id, coalesce(balance::text, 'none'), coalesce(entry_count::text, 'no'), total,
                                 entries, last)
                END AS violation
         FROM side),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckRunningBalances: along each account, each entry follows from the one whose number is one
-- less: its running balance is that one's plus the amount, and its position is later. The
-- checkpoint stands for the entry that it was made at.
-- name: CheckRunningBalances :one
WITH side AS NOT MATERIALIZED (
         SELECT f.from_account_id AS account_id, f.from_sequence AS sequence, -f.amount AS amount,
                f.from_balance AS balance, f.transfer_id, f.position
         FROM transfer AS f
         WHERE f.from_sequence IS NOT NULL AND (@everything::boolean OR f.transfer_id = ANY (@transfer_ids::uuid[]))
         UNION ALL
         SELECT t.to_account_id, t.to_sequence, t.amount, t.to_balance, t.transfer_id, t.position
         FROM transfer AS t
         WHERE t.to_sequence IS NOT NULL AND (@everything::boolean OR t.transfer_id = ANY (@transfer_ids::uuid[]))),
     entry AS NOT MATERIALIZED (
         SELECT s.account_id, s.sequence, s.amount, s.balance, s.transfer_id, s.position
         FROM side AS s
         WHERE @everything::boolean
            OR NOT EXISTS (SELECT FROM account_checkpoint AS c
                           WHERE c.account_id = s.account_id AND c.entry_count >= s.sequence)),
     predecessor AS NOT MATERIALIZED (
         SELECT account_id, sequence, balance, position FROM entry
         UNION ALL
         SELECT account_id, entry_count, balance, 0::bigint FROM account_checkpoint WHERE NOT @everything::boolean),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN e.sequence = 1 AND e.balance = e.amount THEN NULL
                     WHEN e.balance = p.balance + e.amount AND e.position > p.position THEN NULL
                     ELSE format('account %s, transfer %s: entry %s at position %s, balance %s by %s, after %s',
                                 e.account_id, e.transfer_id, e.sequence, e.position, coalesce(e.balance::text, 'none'),
                                 e.amount,
                                 CASE WHEN p.sequence IS NULL THEN 'no entry'
                                      ELSE format('balance %s at position %s', coalesce(p.balance::text, 'none'),
                                                  p.position) END)
                END AS violation
         FROM entry AS e
         LEFT JOIN predecessor AS p ON p.account_id = e.account_id AND p.sequence = e.sequence - 1),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckContinued: of the accounts' entries that were made after the checkpoint none has a number of
-- before, and the first comes after the one that the account was checkpointed at. One with a
-- position that had not been given at the checkpoint was made after it, and comes after all that
-- were. It is only asked when there is a checkpoint to go on from.
-- name: CheckContinued :one
WITH entry AS (SELECT f.from_account_id AS account_id, f.from_sequence AS sequence, f.transfer_id, f.position
               FROM transfer AS f
               WHERE f.from_sequence IS NOT NULL AND f.transfer_id = ANY (@transfer_ids::uuid[])
               UNION ALL
               SELECT t.to_account_id, t.to_sequence, t.transfer_id, t.position
               FROM transfer AS t
               WHERE t.to_sequence IS NOT NULL AND t.transfer_id = ANY (@transfer_ids::uuid[])),
     known AS (SELECT e.account_id, e.sequence, e.transfer_id, e.position, c.entry_count,
                      e.position > (SELECT h.position FROM checkpoint AS h) AS new_position
               FROM entry AS e JOIN account_checkpoint AS c ON c.account_id = e.account_id
               WHERE e.sequence <= c.entry_count + 1 AND c.entry_count > 0),
     judged AS (
         SELECT CASE WHEN new_position
                     THEN format('account %s, transfer %s: entry %s was made after the checkpoint at entry %s', account_id,
                                 transfer_id, sequence, entry_count)
                END AS violation
         FROM known
         WHERE sequence <= entry_count
         UNION ALL
         SELECT CASE WHEN NOT k.new_position AND (l.position IS NULL OR l.position >= k.position)
                     THEN format('account %s, transfer %s: entry %s at position %s, but the checkpointed one at position %s',
                                 k.account_id, k.transfer_id, k.sequence, k.position, coalesce(l.position::text, 'none'))
                END
         FROM known AS k
         LEFT JOIN LATERAL (
             (SELECT f.position
              FROM transfer AS f
              WHERE NOT k.new_position AND f.from_account_id = k.account_id AND f.from_sequence = k.entry_count
              ORDER BY f.create_time DESC, f.position DESC
              LIMIT 1)
             UNION ALL
             (SELECT t.position
              FROM transfer AS t
              WHERE NOT k.new_position AND t.to_account_id = k.account_id AND t.to_sequence = k.entry_count
              ORDER BY t.create_time DESC, t.position DESC
              LIMIT 1)) AS l ON true
         WHERE k.sequence = k.entry_count + 1),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckEntries: a transfer has its number and its balance in both accounts when it moved money,
-- that is, when it is SUCCESS and was not deferred, and else it has no number in any. What is INIT
-- was deferred.
-- name: CheckEntries :one
WITH judged AS NOT MATERIALIZED (
         SELECT CASE WHEN num_nulls(from_sequence, to_sequence)
                          <> CASE WHEN status = 'SUCCESS' AND NOT deferred THEN 0 ELSE 2 END
                          OR (status = 'SUCCESS' AND num_nulls(from_balance, to_balance) > 0)
                          OR (status = 'INIT' AND NOT deferred)
                     THEN format('transfer %s, %s%s: entry %s of account %s with balance %s, entry %s of account %s with balance %s',
                                 transfer_id, status, CASE WHEN deferred THEN ', deferred' ELSE '' END,
                                 coalesce(from_sequence::text, 'none'), from_account_id,
                                 coalesce(from_balance::text, 'none'), coalesce(to_sequence::text, 'none'), to_account_id,
                                 coalesce(to_balance::text, 'none'))
                END AS violation
         FROM transfer
         WHERE @everything::boolean OR transfer_id = ANY (@transfer_ids::uuid[])),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckCurrencies: money moves only between accounts of the transfer's currency, in amounts that
-- the currency has.
-- name: CheckCurrencies :one
WITH judged AS NOT MATERIALIZED (
         SELECT CASE WHEN f.currency = t.currency AND o.currency = t.currency AND t.amount = round(t.amount, c.scale)
                     THEN NULL
                     ELSE format('transfer %s: %s %s from an account in %s to one in %s', t.transfer_id, t.amount, t.currency,
                                 coalesce(f.currency, 'nothing'), coalesce(o.currency, 'nothing'))
                END AS violation
         FROM transfer AS t
         LEFT JOIN account AS f ON f.account_id = t.from_account_id
         LEFT JOIN account AS o ON o.account_id = t.to_account_id
         LEFT JOIN currency AS c ON c.code = t.currency
         WHERE t.status <> 'FAILED' AND (@everything::boolean OR t.transfer_id = ANY (@transfer_ids::uuid[]))),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckVersions: a version counts changes. An account has one for each entry and more; a transfer
-- that was final from the first has none; a deferred one has one for each capture or execution, and
-- one for its end unless that was its end.
-- name: CheckVersions :one
WITH made AS (SELECT k.parent_id, count(*) AS children
              FROM transfer_detail AS k JOIN transfer AS t ON t.transfer_id = k.transfer_id
              WHERE k.kind IN ('CAPTURE', 'EXECUTION') AND t.status = 'SUCCESS'
                AND (@everything::boolean OR k.parent_id = ANY (@transfer_ids::uuid[]))
              GROUP BY k.parent_id),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN version <= entry_count
                     THEN format('account %s: version %s after %s entries', account_id, version, entry_count)
                END AS violation
         FROM account
         UNION ALL
         SELECT CASE WHEN version <> 1 THEN format('transfer %s: version %s, but it never changed', transfer_id, version)
                END
         FROM transfer
         WHERE NOT deferred AND (@everything::boolean OR transfer_id = ANY (@transfer_ids::uuid[]))
         UNION ALL
         SELECT CASE WHEN t.version <> 1 + coalesce(m.children, 0) + (t.status = 'FAILED')::int
                     THEN format('transfer %s, %s: version %s after %s captures or executions', t.transfer_id, t.status,
                                 t.version, coalesce(m.children, 0))
                END
         FROM transfer AS t LEFT JOIN made AS m ON m.parent_id = t.transfer_id
         WHERE t.deferred AND (@everything::boolean OR t.transfer_id = ANY (@transfer_ids::uuid[]))),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckDetails: each detail has its transfer, and a deferred transfer its detail, with the same
-- accounts; a transfer that is made of another has the accounts of that, of a reversal the other
-- way round, and moved money only for one of the right kind.
-- name: CheckDetails :one
WITH detail AS NOT MATERIALIZED (
         SELECT d.transfer_id, d.kind, d.parent_id, d.from_account_id AS noted_from, d.to_account_id AS noted_to,
                t.transfer_id AS own_id, t.status, t.deferred, t.from_account_id, t.to_account_id,
                p.transfer_id AS found_parent_id, coalesce(e.kind, 'TRANSFER') AS parent_kind,
                CASE WHEN d.kind = 'REVERSAL' THEN p.to_account_id ELSE p.from_account_id END AS parent_from,
                CASE WHEN d.kind = 'REVERSAL' THEN p.from_account_id ELSE p.to_account_id END AS parent_to
         FROM transfer_detail AS d
         LEFT JOIN transfer AS t ON t.transfer_id = d.transfer_id
         LEFT JOIN transfer AS p ON p.transfer_id = d.parent_id
         LEFT JOIN transfer_detail AS e ON e.transfer_id = d.parent_id
         WHERE @everything::boolean OR d.transfer_id = ANY (@transfer_ids::uuid[])),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN own_id IS NULL THEN format('%s %s: there is no such transfer', kind, transfer_id)
                     WHEN kind IN ('CAPTURE', 'EXECUTION', 'REVERSAL') AND found_parent_id IS NULL
                     THEN format('%s %s: there is no transfer %s', kind, transfer_id, coalesce(parent_id::text, 'named'))
                     WHEN noted_from <> from_account_id OR noted_to <> to_account_id
                          OR parent_from <> from_account_id OR parent_to <> to_account_id
                     THEN format('%s %s, from account %s to %s: noted from %s to %s, made of transfer %s', kind, transfer_id,
                                 from_account_id, to_account_id, noted_from, noted_to, coalesce(parent_id::text, 'none'))
                     WHEN (kind = 'CAPTURE' AND status = 'SUCCESS' AND parent_kind <> 'HOLD')
                          OR (kind = 'EXECUTION' AND status = 'SUCCESS' AND parent_kind <> 'SCHEDULED')
                     THEN format('%s %s: transfer %s is a %s', kind, transfer_id, parent_id, parent_kind)
                     WHEN (kind IN ('HOLD', 'SCHEDULED') AND status <> 'FAILED' AND NOT deferred)
                          OR (deferred AND (kind NOT IN ('HOLD', 'SCHEDULED') OR num_nulls(noted_from, noted_to) > 0))
                     THEN format('%s %s, %s: deferred %s, noted from %s to %s', kind, transfer_id, status, deferred, noted_from,
                                 noted_to)
                END AS violation
         FROM detail
         UNION ALL
         SELECT format('transfer %s, %s: it was deferred, but nothing says for what', t.transfer_id, t.status)
         FROM transfer AS t
         WHERE t.deferred AND (@everything::boolean OR t.transfer_id = ANY (@transfer_ids::uuid[]))
           AND NOT EXISTS (SELECT FROM transfer_detail AS d WHERE d.transfer_id = t.transfer_id)),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckCaptures: what was captured of a hold is the sum of its captures and no more than its
-- amount; the rest is open while it is INIT, and nothing once it is final.
-- name: CheckCaptures :one
WITH capture AS (SELECT k.parent_id, sum(t.amount) AS total
                 FROM transfer_detail AS k JOIN transfer AS t ON t.transfer_id = k.transfer_id
                 WHERE k.kind = 'CAPTURE' AND t.status = 'SUCCESS'
                   AND (@everything::boolean OR k.parent_id = ANY (@transfer_ids::uuid[]))
                 GROUP BY k.parent_id),
     hold AS NOT MATERIALIZED (
         SELECT d.transfer_id, t.status, t.amount, d.open_amount, d.posted_amount, coalesce(c.total, 0) AS captured
         FROM transfer_detail AS d
         JOIN transfer AS t ON t.transfer_id = d.transfer_id
         LEFT JOIN capture AS c ON c.parent_id = d.transfer_id
         WHERE d.kind = 'HOLD' AND (@everything::boolean OR d.transfer_id = ANY (@transfer_ids::uuid[]))),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN posted_amount IS DISTINCT FROM captured OR captured > amount
                          OR open_amount IS DISTINCT FROM CASE WHEN status = 'INIT' THEN amount - captured END
                          OR (status = 'SUCCESS' AND captured = 0)
                     THEN format('hold %s, %s: amount %s, open %s, posted %s, but its captures sum to %s', transfer_id, status,
                                 amount, coalesce(open_amount::text, 'none'), coalesce(posted_amount::text, 'none'), captured)
                END AS violation
         FROM hold),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckExecutions: a scheduled transfer is SUCCESS when there is one execution of it, of no more
-- than its amount, and else there is none; it is open while it is INIT.
-- name: CheckExecutions :one
WITH execution AS (SELECT k.parent_id, sum(t.amount) AS total, count(*) AS executions
                   FROM transfer_detail AS k JOIN transfer AS t ON t.transfer_id = k.transfer_id
                   WHERE k.kind = 'EXECUTION' AND t.status = 'SUCCESS'
                     AND (@everything::boolean OR k.parent_id = ANY (@transfer_ids::uuid[]))
                   GROUP BY k.parent_id),
     scheduled AS NOT MATERIALIZED (
         SELECT d.transfer_id, t.status, t.amount, d.open_amount, coalesce(e.total, 0) AS executed,
                coalesce(e.executions, 0) AS executions
         FROM transfer_detail AS d
         JOIN transfer AS t ON t.transfer_id = d.transfer_id
         LEFT JOIN execution AS e ON e.parent_id = d.transfer_id
         WHERE d.kind = 'SCHEDULED' AND (@everything::boolean OR d.transfer_id = ANY (@transfer_ids::uuid[]))),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN executions <> (status = 'SUCCESS')::int OR executed > amount
                          OR open_amount IS DISTINCT FROM CASE WHEN status = 'INIT' THEN 0 END
                     THEN format('scheduled transfer %s, %s: amount %s, open %s, but %s executions of %s', transfer_id, status,
                                 amount, coalesce(open_amount::text, 'none'), executions, executed)
                END AS violation
         FROM scheduled),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckReversals: what was reversed of a transfer is the sum of its reversals and no more than its
-- amount, and only money that moved, not by a reversal, is moved back.
-- name: CheckReversals :one
WITH reversal AS (SELECT k.parent_id, sum(t.amount) AS total
                  FROM transfer_detail AS k JOIN transfer AS t ON t.transfer_id = k.transfer_id
                  WHERE k.kind = 'REVERSAL' AND t.status = 'SUCCESS'
                    AND (@everything::boolean OR k.parent_id = ANY (@transfer_ids::uuid[]))
                  GROUP BY k.parent_id),
     marked AS (SELECT transfer_id, kind, reversed_amount
                FROM transfer_detail
                WHERE reversed_amount IS NOT NULL AND (@everything::boolean OR transfer_id = ANY (@transfer_ids::uuid[]))),
     reversed AS NOT MATERIALIZED (
         SELECT t.transfer_id, t.status, t.deferred, t.amount, m.kind, m.reversed_amount, r.total
         FROM marked AS m
         FULL JOIN reversal AS r ON r.parent_id = m.transfer_id
         JOIN transfer AS t ON t.transfer_id = coalesce(m.transfer_id, r.parent_id)),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN reversed_amount IS DISTINCT FROM total OR total > amount
                          OR status <> 'SUCCESS' OR deferred OR kind = 'REVERSAL'
                     THEN format('transfer %s, %s: amount %s, reversed %s, but its reversals sum to %s', transfer_id, status,
                                 amount, coalesce(reversed_amount::text, 'none'), coalesce(total, 0))
                END AS violation
         FROM reversed),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckOpenings: each account was opened once, by its history, and nothing was opened that is not
-- there. Whoever follows events learns of an account by that.
-- name: CheckOpenings :one
WITH history AS (SELECT account_id, count(*) AS openings FROM account_change WHERE opened GROUP BY account_id),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN a.account_id IS NULL THEN format('account %s: it was opened, but is not there', h.account_id)
                     WHEN h.openings IS DISTINCT FROM 1
                     THEN format('account %s: its history has %s openings', a.account_id, coalesce(h.openings, 0))
                END AS violation
         FROM account AS a FULL JOIN history AS h ON h.account_id = a.account_id),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckGroups: the transfers of a group were all refused or none was. A hold or a scheduled
-- transfer of it may have failed later: it was deferred. Those of one group were made at one time.
-- A group that any transfer to prove is of is read whole.
-- name: CheckGroups :one
WITH made AS (SELECT d.group_id, g.size, count(*) AS transfers,
                     count(*) FILTER (WHERE t.status = 'FAILED' AND NOT t.deferred) AS refused,
                     min(t.transfer_id::text) FILTER (WHERE t.status = 'FAILED' AND NOT t.deferred) AS one
              FROM transfer_detail AS d
              JOIN transfer AS t ON t.transfer_id = d.transfer_id
              LEFT JOIN transfer_group AS g ON g.group_id = d.group_id
              WHERE d.group_id IS NOT NULL
                AND (@everything::boolean
                     OR d.group_id IN (SELECT o.group_id FROM transfer_detail AS o
                                       WHERE o.transfer_id = ANY (@transfer_ids::uuid[])))
              GROUP BY d.group_id, g.size),
     judged AS NOT MATERIALIZED (
         SELECT CASE WHEN transfers IS DISTINCT FROM size
                     THEN format('group %s: %s transfers are there, of %s', group_id, transfers, coalesce(size::text, 'none'))
                     WHEN refused NOT IN (0, transfers)
                     THEN format('group %s: %s of %s transfers were refused, such as transfer %s', group_id, refused, transfers,
                                 one)
                END AS violation
         FROM made),
     tally AS (SELECT count(*) AS examined, count(violation) AS bad FROM judged)
SELECT t.examined, t.bad AS violation_count,
       ARRAY(SELECT violation
             FROM judged
             WHERE t.bad > 0 AND violation IS NOT NULL ORDER BY violation LIMIT 10)::text[] AS violations
FROM tally AS t;

-- CheckpointGet returns when the checkpoint was made; NULL: there is none.
-- name: CheckpointGet :one
SELECT snapshot_time FROM checkpoint WHERE checkpoint_id = 1;

-- CheckChangedAccounts returns the accounts that are not as they were at the checkpoint, with the
-- time before which they made no transfer that is not in it. Accounts opened since have the time
-- 0001-01-01.
-- name: CheckChangedAccounts :many
SELECT a.account_id, coalesce(c.update_time, '0001-01-01 00:00:00Z')::timestamptz AS since
FROM account AS a LEFT JOIN account_checkpoint AS c ON c.account_id = a.account_id
WHERE c.account_id IS NULL OR a.version <> c.version OR a.entry_count <> c.entry_count OR a.balance <> c.balance
LIMIT @row_limit;

-- CheckChanged returns the transfers that are to be proved anew: all made since the checkpoint;
-- those of payers that changed which were decided before it, by the clock, and committed after; all
-- that were INIT then or are now; and what these are captures, executions or reversals of, or in
-- one group with.
-- name: CheckChanged :many
WITH changed AS (SELECT unnest(@account_ids::uuid[]) AS account_id, unnest(@since_times::timestamptz[]) AS since),
     first AS (SELECT r.transfer_id FROM transfer AS r WHERE r.create_time >= @snapshot_time
               UNION
               SELECT l.transfer_id
               FROM changed AS m JOIN transfer AS l ON l.from_account_id = m.account_id
               WHERE l.create_time >= m.since AND l.create_time < @snapshot_time
               UNION
               SELECT i.transfer_id FROM transfer AS i WHERE i.status = 'INIT'
               UNION
               SELECT o.transfer_id FROM transfer_detail AS o WHERE o.open_amount IS NOT NULL
               UNION
               SELECT unnest(p.pending_ids) FROM checkpoint AS p),
     related AS (SELECT d.parent_id, d.group_id
                 FROM first AS f JOIN transfer_detail AS d ON d.transfer_id = f.transfer_id
                 WHERE num_nonnulls(d.parent_id, d.group_id) > 0)
SELECT f.transfer_id FROM first AS f
UNION
SELECT r.parent_id FROM related AS r WHERE r.parent_id IS NOT NULL
UNION
SELECT d.transfer_id FROM transfer_detail AS d WHERE d.group_id IN (SELECT r.group_id FROM related AS r)
LIMIT @row_limit;

-- CheckpointPut begins a checkpoint at the snapshot that was proved.
-- name: CheckpointPut :exec
UPDATE checkpoint
SET snapshot_time = @snapshot_time,
    position = @position,
    pending_ids = ARRAY(SELECT d.transfer_id FROM transfer_detail AS d WHERE d.open_amount IS NOT NULL)
WHERE checkpoint_id = 1;

-- CheckpointAccountsPut completes it, with the accounts that changed since the last.
-- name: CheckpointAccountsPut :exec
INSERT INTO account_checkpoint (account_id, entry_count, balance, version, update_time)
SELECT a.account_id, a.entry_count, a.balance, a.version, a.update_time
FROM account AS a LEFT JOIN account_checkpoint AS c ON c.account_id = a.account_id
WHERE c.account_id IS NULL OR a.version <> c.version OR a.entry_count <> c.entry_count OR a.balance <> c.balance
ON CONFLICT (account_id) DO UPDATE
SET entry_count = excluded.entry_count,
    balance = excluded.balance,
    version = excluded.version,
    update_time = excluded.update_time;

-- CheckpointForget takes the checkpoint back: the next proof begins at the beginning.
-- name: CheckpointForget :exec
UPDATE checkpoint SET snapshot_time = NULL WHERE checkpoint_id = 1;
