-- Each check below proves one invariant from the rows alone and answers how many rows it examined, how many break the
-- invariant, and a sentence for each of the first ten. All run in one snapshot.

-- CheckSumZero: double entry makes the balances of each currency sum to zero.
-- name: CheckSumZero :one
WITH total AS (SELECT currency, sum(balance) AS total, count(*) AS accounts FROM account GROUP BY currency),
     bad AS (SELECT format('currency %s: balances sum to %s', currency, total) AS violation FROM total WHERE total <> 0)
SELECT coalesce((SELECT sum(accounts) FROM total), 0)::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;

-- CheckBalances: each balance is the sum of the account's entries, and entry_count their number.
-- name: CheckBalances :one
WITH entry AS (SELECT from_account_id AS account_id, -amount AS amount FROM transfer WHERE status = 'SUCCESS'
               UNION ALL
               SELECT to_account_id, amount FROM transfer WHERE status = 'SUCCESS'),
     total AS (SELECT account_id, sum(amount) AS total, count(*) AS entries FROM entry GROUP BY account_id),
     both_sides AS (SELECT coalesce(a.account_id, t.account_id) AS account_id, a.balance, a.entry_count,
                           coalesce(t.total, 0) AS total, coalesce(t.entries, 0) AS entries
                    FROM account AS a FULL JOIN total AS t ON t.account_id = a.account_id),
     bad AS (SELECT format('account %s: balance %s with %s entries, but its ledger rows sum to %s in %s entries',
                           account_id, coalesce(balance::text, 'none'), coalesce(entry_count::text, 'no'), total,
                           entries) AS violation
             FROM both_sides WHERE balance IS DISTINCT FROM total OR entry_count IS DISTINCT FROM entries)
SELECT (SELECT count(*) FROM both_sides)::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;

-- CheckRunningBalances: along each account, entries are numbered 1, 2, 3, … in the order of their positions, and each
-- running balance is the one before it plus the amount.
-- name: CheckRunningBalances :one
WITH entry AS (SELECT from_account_id AS account_id, from_sequence AS sequence, -amount AS amount,
                      from_balance AS balance, transfer_id, position
               FROM transfer WHERE status = 'SUCCESS'
               UNION ALL
               SELECT to_account_id, to_sequence, amount, to_balance, transfer_id, position
               FROM transfer WHERE status = 'SUCCESS'),
     step AS (SELECT account_id, sequence, amount, balance, transfer_id, position,
                     lag(balance, 1, 0::numeric) OVER w AS balance_before,
                     lag(sequence, 1, 0::bigint) OVER w AS sequence_before,
                     lag(position, 1, 0::bigint) OVER w AS position_before
              FROM entry WINDOW w AS (PARTITION BY account_id ORDER BY sequence, position)),
     bad AS (SELECT format('account %s, transfer %s: entry %s after %s, balance %s after %s by %s', account_id,
                           transfer_id, sequence, sequence_before, balance, balance_before, amount) AS violation
             FROM step
             WHERE balance <> balance_before + amount OR sequence <> sequence_before + 1
                OR position <= position_before)
SELECT (SELECT count(*) FROM step)::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;

-- CheckFloors: no account holds less than its floor, and only equity accounts have none.
-- name: CheckFloors :one
WITH bad AS (SELECT format('account %s: balance %s less held %s, floor %s', account_id, balance, held,
                           coalesce(min_balance::text, 'none')) AS violation
             FROM account
             WHERE (NOT is_equity AND (min_balance IS NULL OR balance - held < min_balance))
                OR account_id IN (SELECT equity_account_id FROM currency) <> is_equity)
SELECT (SELECT count(*) FROM account)::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;

-- CheckHolds: held and incoming are the sums of the account's transfers that are not final.
-- name: CheckHolds :one
WITH hold AS (SELECT from_account_id AS account_id, amount AS held, 0::numeric AS incoming
              FROM transfer WHERE status = 'INIT'
              UNION ALL
              SELECT to_account_id, 0, amount FROM transfer WHERE status = 'INIT'),
     total AS (SELECT account_id, sum(held) AS held, sum(incoming) AS incoming FROM hold GROUP BY account_id),
     bad AS (SELECT format('account %s: held %s and incoming %s, but its open holds sum to %s and %s', a.account_id,
                           a.held, a.incoming, coalesce(t.held, 0), coalesce(t.incoming, 0)) AS violation
             FROM account AS a LEFT JOIN total AS t ON t.account_id = a.account_id
             WHERE a.held <> coalesce(t.held, 0) OR a.incoming <> coalesce(t.incoming, 0))
SELECT (SELECT count(*) FROM account)::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;

-- CheckCurrencies: money moves only between accounts of the transfer's currency, in amounts that the currency has.
-- name: CheckCurrencies :one
WITH bad AS (SELECT format('transfer %s: %s %s from an account in %s to one in %s', t.transfer_id, t.amount, t.currency,
                           coalesce(f.currency, 'nothing'), coalesce(o.currency, 'nothing')) AS violation
             FROM transfer AS t
             LEFT JOIN account AS f ON f.account_id = t.from_account_id
             LEFT JOIN account AS o ON o.account_id = t.to_account_id
             LEFT JOIN currency AS c ON c.code = t.currency
             WHERE t.status <> 'FAILED'
               AND (f.currency IS DISTINCT FROM t.currency OR o.currency IS DISTINCT FROM t.currency
                    OR c.scale IS NULL OR t.amount <> round(t.amount, c.scale)))
SELECT (SELECT count(*) FROM transfer WHERE status <> 'FAILED')::bigint AS examined,
       (SELECT count(*) FROM bad)::bigint AS violation_count,
       ARRAY(SELECT violation FROM bad ORDER BY violation LIMIT 10)::text[] AS violations;
