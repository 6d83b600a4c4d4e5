-- CurrencyGet reads one currency.
-- name: CurrencyGet :one
SELECT sqlc.embed(currency)
FROM currency
WHERE code = @code;

-- CurrencyList lists currencies by code, after a code.
-- name: CurrencyList :many
SELECT sqlc.embed(currency)
FROM currency
WHERE code > @after_code
ORDER BY code
LIMIT @row_limit;

-- CurrencyInsert adds a currency, unless its code is there already: then it returns no row.
-- name: CurrencyInsert :many
INSERT INTO currency (code, scale, equity_account_id)
VALUES (@code, @scale, @equity_account_id)
ON CONFLICT (code) DO NOTHING
RETURNING code, scale, equity_account_id, create_time;
