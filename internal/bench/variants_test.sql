-- Other forms of the write path, measured against the present one by BenchmarkVariants. The service uses none of this.

-- name: seed
WITH n AS (SELECT account_id, ordinality AS n FROM unnest($1::uuid[]) WITH ORDINALITY AS u (account_id, ordinality)),
     opened AS (INSERT INTO account (account_id, currency, balance, min_balance, version, entry_count, create_fingerprint)
                SELECT account_id, 'USD', 1000000000, 0, 2, 1, '' FROM n),
     equity AS (UPDATE account AS a
                SET balance = -1000000000 * (SELECT count(*) FROM n), entry_count = (SELECT count(*) FROM n),
                    version = 1 + (SELECT count(*) FROM n)
                FROM currency AS c WHERE c.code = 'USD' AND a.account_id = c.equity_account_id)
INSERT INTO transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status,
                      from_balance, to_balance, from_sequence, to_sequence, create_time, update_time)
SELECT gen_random_uuid(), c.equity_account_id, n.account_id, 1000000000, 'USD', '', 'SUCCESS', -1000000000 * n.n, 1000000000,
       n.n, 1, now(), now()
FROM n, currency AS c WHERE c.code = 'USD'
ORDER BY n.n;

-- name: without_checks
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
             WHERE contype = 'c' AND conrelid IN ('account'::regclass, 'transfer'::regclass) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.owner, c.conname);
    END LOOP;
END
$$;

-- name: lock
SELECT a.account_id, a.balance, a.held, a.min_balance, a.status, a.entry_count,
       greatest(a.update_time, clock_timestamp())::timestamptz AS update_time
FROM (SELECT unnest($1::uuid[]) AS account_id) AS m
JOIN account AS a ON a.account_id = m.account_id
ORDER BY a.account_id
FOR NO KEY UPDATE OF a;

-- name: known
SELECT count(*) FROM transfer WHERE transfer_id = ANY ($1::uuid[]);

-- name: update_locked
UPDATE account AS a
SET balance = a.balance + m.delta,
    entry_count = a.entry_count + m.moves,
    version = a.version + m.moves,
    update_time = $4::timestamptz
FROM (SELECT unnest($1::uuid[]) AS account_id, unnest($2::numeric[]) AS delta, unnest($3::bigint[]) AS moves) AS m
WHERE a.account_id = m.account_id;

-- name: update_expected
WITH changed AS (
    UPDATE account AS a
    SET balance = m.balance,
        entry_count = a.entry_count + m.moves,
        version = a.version + m.moves,
        update_time = greatest(a.update_time, clock_timestamp())
    FROM (SELECT unnest($1::uuid[]) AS account_id, unnest($2::numeric[]) AS balance, unnest($3::bigint[]) AS moves,
                 unnest($4::bigint[]) AS version) AS m
    WHERE a.account_id = m.account_id
      AND a.version = m.version
      AND a.status = 'OPEN'
      AND (a.min_balance IS NULL OR m.balance - a.held >= a.min_balance)
      AND NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY ($5::uuid[]))
    RETURNING a.account_id)
SELECT 1 / (count(*) = cardinality($1::uuid[]))::int FROM changed;

-- name: one_statement_windows
WITH changed AS (
    UPDATE account AS a
    SET balance = a.balance + m.delta,
        entry_count = a.entry_count + m.moves,
        version = a.version + m.moves,
        update_time = greatest(a.update_time, clock_timestamp())
    FROM (SELECT unnest($1::uuid[]) AS account_id, unnest($2::numeric[]) AS delta, unnest($3::numeric[]) AS debits,
                 unnest($4::bigint[]) AS moves) AS m
    WHERE a.account_id = m.account_id
      AND a.status = 'OPEN'
      AND (a.min_balance IS NULL OR a.balance - a.held - m.debits >= a.min_balance)
      AND NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY ($5::uuid[]))
    RETURNING a.account_id, a.balance - m.delta AS balance, a.entry_count - m.moves AS entry_count, a.update_time),
counted AS (
    SELECT 1 / (count(*) = cardinality($1::uuid[]))::int AS complete, max(update_time) AS at FROM changed),
given AS (
    SELECT generate_series(1, cardinality($5::uuid[])) AS n, unnest($5::uuid[]) AS transfer_id,
           unnest($6::uuid[]) AS from_id, unnest($7::uuid[]) AS to_id, unnest($8::numeric[]) AS amount,
           unnest($9::text[]) AS currency, unnest($10::text[]) AS asked, unnest($11::text[]) AS reference,
           unnest($12::jsonb[]) AS metadata),
entry AS (
    SELECT account_id, 0 AS n, 0 AS side, balance AS change, entry_count AS steps, NULL::uuid AS transfer_id,
           NULL::uuid AS to_id, NULL::text AS currency, NULL::text AS asked, NULL::text AS reference,
           NULL::jsonb AS metadata
    FROM changed
    UNION ALL
    SELECT from_id, n, 1, -amount, 1, transfer_id, to_id, currency, asked, reference, metadata FROM given
    UNION ALL
    SELECT to_id, n, 2, amount, 1, NULL, NULL, NULL, NULL, NULL, NULL FROM given),
running AS (
    SELECT *, sum(change) OVER w AS balance, (sum(steps) OVER w)::bigint AS sequence
    FROM entry WINDOW w AS (PARTITION BY account_id ORDER BY n)),
paired AS (
    SELECT *, lead(balance) OVER w AS to_balance, lead(sequence) OVER w AS to_sequence
    FROM running WHERE side > 0 WINDOW w AS (PARTITION BY n ORDER BY side)),
ordered AS (SELECT * FROM paired WHERE side = 1 ORDER BY n)
INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency, status,
                      from_balance, to_balance, from_sequence, to_sequence, create_time, update_time, reference,
                      metadata)
OVERRIDING SYSTEM VALUE
SELECT o.transfer_id, nextval('transfer_position_seq'), o.account_id, o.to_id, -o.change, o.currency, o.asked, 'SUCCESS',
       o.balance, o.to_balance, o.sequence, o.to_sequence, c.at, c.at, o.reference, o.metadata
FROM counted AS c, ordered AS o
WHERE c.complete = 1
RETURNING from_balance, to_balance, create_time;

-- name: one_statement_arrays
WITH changed AS (
    UPDATE account AS a
    SET balance = a.balance + m.delta,
        entry_count = a.entry_count + m.moves,
        version = a.version + m.moves,
        update_time = greatest(a.update_time, clock_timestamp())
    FROM (SELECT unnest($1::uuid[]) AS account_id, unnest($2::numeric[]) AS delta, unnest($3::numeric[]) AS debits,
                 unnest($4::bigint[]) AS moves) AS m
    WHERE a.account_id = m.account_id
      AND a.status = 'OPEN'
      AND (a.min_balance IS NULL OR a.balance - a.held - m.debits >= a.min_balance)
      AND NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY ($5::uuid[]))
    RETURNING a.account_id, a.balance - m.delta AS balance, a.entry_count - m.moves AS entry_count, a.update_time),
before AS (
    SELECT array_agg(balance ORDER BY account_id) AS balances, array_agg(entry_count ORDER BY account_id) AS entries,
           max(update_time) AS at, 1 / (count(*) = cardinality($1::uuid[]))::int AS complete
    FROM changed),
written AS (
    INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency,
                          status, from_balance, to_balance, from_sequence, to_sequence, create_time, update_time,
                          reference, metadata)
    OVERRIDING SYSTEM VALUE
    SELECT n.transfer_id, n.position, n.from_id, n.to_id, n.amount, n.currency, n.asked, 'SUCCESS',
           b.balances[n.from_index] + n.from_offset, b.balances[n.to_index] + n.to_offset,
           b.entries[n.from_index] + n.from_step, b.entries[n.to_index] + n.to_step, b.at, b.at, n.reference, n.metadata
    FROM before AS b,
         LATERAL (SELECT nextval('transfer_position_seq') AS position, unnest($5::uuid[]) AS transfer_id,
                         unnest($6::uuid[]) AS from_id, unnest($7::uuid[]) AS to_id, unnest($8::numeric[]) AS amount,
                         unnest($9::text[]) AS currency, unnest($10::text[]) AS asked, unnest($11::text[]) AS reference,
                         unnest($12::jsonb[]) AS metadata, unnest($13::int[]) AS from_index,
                         unnest($14::int[]) AS to_index, unnest($15::numeric[]) AS from_offset,
                         unnest($16::numeric[]) AS to_offset, unnest($17::bigint[]) AS from_step,
                         unnest($18::bigint[]) AS to_step
                  WHERE b.complete = 1) AS n
    ORDER BY n.transfer_id)
SELECT balances, entries, at FROM before;

-- name: function
CREATE FUNCTION transfers_apply(ids uuid[], deltas numeric[], debits numeric[], moves bigint[], transfer_ids uuid[],
                                from_ids uuid[], to_ids uuid[], amounts numeric[], currencies text[], asked text[],
                                reference_texts text[], metadatas jsonb[], from_index int[], to_index int[],
                                from_offsets numeric[], to_offsets numeric[], from_steps bigint[], to_steps bigint[],
                                OUT balances numeric[], OUT entries bigint[], OUT at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    WITH changed AS (
        UPDATE account AS a
        SET balance = a.balance + m.delta,
            entry_count = a.entry_count + m.moves,
            version = a.version + m.moves,
            update_time = greatest(a.update_time, clock_timestamp())
        FROM (SELECT unnest(ids) AS account_id, unnest(deltas) AS delta, unnest(debits) AS debits,
                     unnest(moves) AS moves) AS m
        WHERE a.account_id = m.account_id
          AND a.status = 'OPEN'
          AND (a.min_balance IS NULL OR a.balance - a.held - m.debits >= a.min_balance)
          AND NOT EXISTS (SELECT FROM transfer AS t WHERE t.transfer_id = ANY (transfer_ids))
        RETURNING a.account_id, a.balance - m.delta AS balance, a.entry_count - m.moves AS entry_count, a.update_time)
    SELECT array_agg(c.balance ORDER BY c.account_id), array_agg(c.entry_count ORDER BY c.account_id),
           max(c.update_time)
    INTO balances, entries, at
    FROM changed AS c;
    IF coalesce(cardinality(balances), 0) <> cardinality(ids) THEN
        RAISE EXCEPTION 'not every account took its change';
    END IF;
    INSERT INTO transfer (transfer_id, position, from_account_id, to_account_id, amount, currency, asked_currency,
                          status, from_balance, to_balance, from_sequence, to_sequence, create_time, update_time,
                          reference, metadata)
    OVERRIDING SYSTEM VALUE
    SELECT n.transfer_id, n.position, n.from_id, n.to_id, n.amount, n.currency, n.asked_currency, 'SUCCESS',
           balances[n.f] + n.from_offset, balances[n.t] + n.to_offset, entries[n.f] + n.from_step,
           entries[n.t] + n.to_step, at, at, n.reference, n.metadata
    FROM (SELECT nextval('transfer_position_seq') AS position, unnest(transfer_ids) AS transfer_id,
                 unnest(from_ids) AS from_id, unnest(to_ids) AS to_id, unnest(amounts) AS amount,
                 unnest(currencies) AS currency, unnest(asked) AS asked_currency,
                 unnest(reference_texts) AS reference, unnest(metadatas) AS metadata, unnest(from_index) AS f,
                 unnest(to_index) AS t, unnest(from_offsets) AS from_offset, unnest(to_offsets) AS to_offset,
                 unnest(from_steps) AS from_step, unnest(to_steps) AS to_step) AS n
    ORDER BY n.transfer_id;
END
$$;
