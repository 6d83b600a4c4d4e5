package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
)

//go:embed variants_test.sql
var variantsText string

// variantsSQL are the statements of variants_test.sql by name.
var variantsSQL = func() map[string]string {
	statements := map[string]string{}
	var name string
	for line := range strings.Lines(variantsText) {
		if rest, ok := strings.CutPrefix(line, "-- name: "); ok {
			name = strings.TrimSpace(rest)
		} else if name != "" {
			statements[name] += line
		}
	}
	return statements
}()

// A moves is one batch as the ledger folds it, before the balances are known. Of each transfer it
// knows the places of its accounts among those of the batch, and how far each account has come
// within the batch after it.
type moves struct {
	apply                 db.AccountsApplyParams
	rows                  db.TransfersInsertParams
	fromIndex, toIndex    []int32 // from 1, as arrays are in SQL
	fromOffset, toOffset  []decimal.Decimal
	fromStep, toStep      []int64
	expected              []int64           // versions, for the optimistic form
	balances, endBalances []decimal.Decimal // before and after, likewise
	entries               []int64
}

// newMoves draws a batch among the accounts; with hot, the first one pays for all.
func newMoves(accounts []uuid.UUID, n int, hot bool) *moves {
	m := &moves{}
	r := &m.rows
	for range n {
		from, to := rand.IntN(len(accounts)), 1+rand.IntN(len(accounts)-1)
		if hot {
			from = 0
		}
		for from == to {
			to = 1 + rand.IntN(len(accounts)-1)
		}
		r.Positions, r.TransferIDs = append(r.Positions, 0), append(r.TransferIDs, uuid.New())
		r.FromAccountIDs = append(r.FromAccountIDs, accounts[from])
		r.ToAccountIDs = append(r.ToAccountIDs, accounts[to])
		r.Amounts = append(r.Amounts, decimal.New(1+rand.Int64N(100), -2))
		r.Currencies, r.AskedCurrencies = append(r.Currencies, "USD"), append(r.AskedCurrencies, "")
		r.Statuses, r.ErrorReasons = append(r.Statuses, "SUCCESS"), append(r.ErrorReasons, "")
		r.ReferenceTexts, r.Metadata = append(r.ReferenceTexts, ""), append(r.Metadata, json.RawMessage("{}"))
	}
	m.fold()
	return m
}

func (m *moves) fold() {
	r, a := &m.rows, &m.apply
	ids := slices.Concat(r.FromAccountIDs, r.ToAccountIDs)
	slices.SortFunc(ids, func(x, y uuid.UUID) int { return bytes.Compare(x[:], y[:]) })
	a.AccountIDs, a.KnownIDs = slices.Compact(ids), r.TransferIDs
	n := len(a.AccountIDs)
	a.Deltas, a.Debits, a.Moves = make([]decimal.Decimal, n), make([]decimal.Decimal, n), make([]int64, n)
	at := make(map[uuid.UUID]int, n)
	for i, id := range a.AccountIDs {
		at[id] = i
	}
	for i, amount := range r.Amounts {
		from, to := at[r.FromAccountIDs[i]], at[r.ToAccountIDs[i]]
		a.Deltas[from], a.Deltas[to] = a.Deltas[from].Sub(amount), a.Deltas[to].Add(amount)
		a.Debits[from] = a.Debits[from].Add(amount)
		a.Moves[from]++
		a.Moves[to]++
		m.fromIndex, m.toIndex = append(m.fromIndex, int32(from+1)), append(m.toIndex, int32(to+1))
		m.fromOffset, m.toOffset = append(m.fromOffset, a.Deltas[from]), append(m.toOffset, a.Deltas[to])
		m.fromStep, m.toStep = append(m.fromStep, a.Moves[from]), append(m.toStep, a.Moves[to])
	}
}

// finish fills in the running balances, as every form must for its callers.
func (m *moves) finish(balances []decimal.Decimal, entries []int64, at time.Time) {
	r := &m.rows
	r.CreateTime = at
	for i := range r.TransferIDs {
		from, to := m.fromIndex[i]-1, m.toIndex[i]-1
		r.FromBalances = append(r.FromBalances, balances[from].Add(m.fromOffset[i]).String())
		r.ToBalances = append(r.ToBalances, balances[to].Add(m.toOffset[i]).String())
		r.FromSequences = append(r.FromSequences, entries[from]+m.fromStep[i])
		r.ToSequences = append(r.ToSequences, entries[to]+m.toStep[i])
	}
}

// oneTrip returns the arguments of the forms that compute the running balances in the database.
func (m *moves) oneTrip(withPlaces bool) []any {
	a, r := &m.apply, &m.rows
	args := []any{
		a.AccountIDs, a.Deltas, a.Debits, a.Moves, r.TransferIDs, r.FromAccountIDs, r.ToAccountIDs, r.Amounts,
		r.Currencies, r.AskedCurrencies, r.ReferenceTexts, r.Metadata,
	}
	if withPlaces {
		args = append(args, m.fromIndex, m.toIndex, m.fromOffset, m.toOffset, m.fromStep, m.toStep)
	}
	return args
}

// A step is one statement of a pipeline.
type step struct {
	sql  string
	args []any
	scan func(pgx.Rows) error // of each row; nil: there are none
}

var (
	beginStep  = step{sql: "BEGIN ISOLATION LEVEL READ COMMITTED"}
	commitStep = step{sql: "COMMIT"}
	errRefused = errors.New("not as assumed")
)

// QueryRow, Query and Exec keep a query of gen/db instead of running it.
func (s *step) QueryRow(context.Context, string, ...any) pgx.Row {
	panic("no query of one row is kept")
}

func (s *step) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.sql, s.args = sql, args
	return nil, errRefused
}

func (s *step) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	s.sql, s.args = sql, args
	return pgconn.CommandTag{}, errRefused
}

// trip makes one round trip.
func trip(ctx context.Context, conn *pgx.Conn, steps ...step) error {
	var batch pgx.Batch
	for i := range steps {
		batch.Queue(steps[i].sql, steps[i].args...)
	}
	results := conn.SendBatch(ctx, &batch)
	err := func() error {
		for i := range steps {
			if steps[i].scan == nil {
				if tag, err := results.Exec(); err != nil {
					return err
				} else if steps[i].sql == commitStep.sql && tag.String() != "COMMIT" {
					return errRefused
				}
				continue
			}
			rows, err := results.Query()
			if err != nil {
				return err
			}
			for rows.Next() {
				if err := steps[i].scan(rows); err != nil {
					rows.Close()
					return err
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	}()
	return errors.Join(err, results.Close())
}

// A form is a way to write a batch.
type form func(ctx context.Context, conn *pgx.Conn, m *moves) error

// applied takes the money as the ledger does, with the statement as edit makes it.
func applied(ctx context.Context, conn *pgx.Conn, m *moves, edit func(string) string) error {
	var apply step
	_, _ = db.New().AccountsApply(ctx, &apply, m.apply)
	apply.sql = edit(apply.sql)
	n := len(m.apply.AccountIDs)
	places := make(map[uuid.UUID]int, n)
	for i, id := range m.apply.AccountIDs {
		places[id] = i
	}
	balances, entries, count, at := make([]decimal.Decimal, n), make([]int64, n), 0, time.Time{}
	apply.scan = func(rows pgx.Rows) error {
		var r db.AccountsApplyRow
		err := rows.Scan(&r.AccountID, &r.Currency, &r.Balance, &r.Held, &r.MinBalance, &r.Status, &r.EntryCount,
			&r.UpdateTime, &r.Now)
		i := places[r.AccountID]
		balances[i], entries[i] = r.Balance.Sub(m.apply.Deltas[i]), r.EntryCount-m.apply.Moves[i]
		if r.UpdateTime.After(at) {
			at = r.UpdateTime
		}
		count++
		return err
	}
	if err := trip(ctx, conn, beginStep, apply); err != nil {
		return err
	}
	if count != n {
		return errRefused
	}
	m.finish(balances, entries, at)
	return nil
}

// inserted returns the ledger's INSERT, as edit makes it.
func (m *moves) inserted(edit func(string) string) step {
	var insert step
	_ = db.New().TransfersInsert(context.Background(), &insert, m.rows)
	insert.sql = edit(insert.sql)
	return insert
}

func same(sql string) string { return sql }

// replaced changes a part of a statement, which must be there.
func replaced(part, by string) func(string) string {
	return func(sql string) string {
		if !strings.Contains(sql, part) {
			panic("the statement has changed: no " + part)
		}
		return strings.Replace(sql, part, by, 1)
	}
}

// twoTrips returns the present form, with its statements edited.
func twoTrips(editApply, editInsert func(string) string) form {
	return func(ctx context.Context, conn *pgx.Conn, m *moves) error {
		if err := applied(ctx, conn, m, editApply); err != nil {
			return err
		}
		return trip(ctx, conn, m.inserted(editInsert), commitStep)
	}
}

var present = twoTrips(same, same)

// copied writes the rows by COPY, with COMMIT in the same round trip. Their positions come from the
// column's sequence.
func copied(ctx context.Context, conn *pgx.Conn, m *moves) error {
	if err := applied(ctx, conn, m, same); err != nil {
		return err
	}
	r, types := &m.rows, conn.TypeMap()
	out := append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
	var err error
	put := func(oid uint32, v any) {
		start := len(out)
		out = append(out, 0, 0, 0, 0)
		encoded, e := types.Encode(oid, pgtype.BinaryFormatCode, v, out)
		if err = errors.Join(err, e); err == nil {
			out = encoded
			binary.BigEndian.PutUint32(out[start:], uint32(len(out)-start-4))
		}
	}
	for i := range r.TransferIDs {
		out = append(out, 0, 15)
		for _, id := range [...]uuid.UUID{r.TransferIDs[i], r.FromAccountIDs[i], r.ToAccountIDs[i]} {
			put(pgtype.UUIDOID, id)
		}
		put(pgtype.NumericOID, r.Amounts[i])
		for _, text := range [...]string{r.Currencies[i], r.AskedCurrencies[i], r.Statuses[i], r.ReferenceTexts[i]} {
			put(pgtype.TextOID, text)
		}
		put(pgtype.NumericOID, decimal.RequireFromString(r.FromBalances[i]))
		put(pgtype.NumericOID, decimal.RequireFromString(r.ToBalances[i]))
		put(pgtype.Int8OID, r.FromSequences[i])
		put(pgtype.Int8OID, r.ToSequences[i])
		put(pgtype.TimestamptzOID, r.CreateTime)
		put(pgtype.TimestamptzOID, r.CreateTime)
		put(pgtype.JSONBOID, r.Metadata[i])
	}
	if err != nil {
		return err
	}
	tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(append(out, 0xff, 0xff)),
		"COPY transfer (transfer_id, from_account_id, to_account_id, amount, currency, asked_currency, status, reference, "+
			"from_balance, to_balance, from_sequence, to_sequence, create_time, update_time, metadata) "+
			"FROM STDIN BINARY; COMMIT")
	if err == nil && tag.String() != "COMMIT" {
		err = errRefused
	}
	return err
}

// lockedFirst locks and reads the accounts, decides in the client, and then writes all without a
// condition.
func lockedFirst(ctx context.Context, conn *pgx.Conn, m *moves) error {
	a := &m.apply
	var balances []decimal.Decimal
	var entries []int64
	var at time.Time
	refused := false
	known := int64(0)
	lock := step{variantsSQL["lock"], []any{a.AccountIDs}, func(rows pgx.Rows) error {
		var r db.AccountsApplyRow
		err := rows.Scan(&r.AccountID, &r.Balance, &r.Held, &r.MinBalance, &r.Status, &r.EntryCount, &r.UpdateTime)
		i := len(balances)
		refused = refused || r.Status != "OPEN" ||
			(r.MinBalance.Valid && r.Balance.Sub(r.Held).Sub(a.Debits[i]).LessThan(r.MinBalance.Decimal))
		balances, entries = append(balances, r.Balance), append(entries, r.EntryCount)
		if r.UpdateTime.After(at) {
			at = r.UpdateTime
		}
		return err
	}}
	replay := step{variantsSQL["known"], []any{a.KnownIDs}, func(rows pgx.Rows) error { return rows.Scan(&known) }}
	if err := trip(ctx, conn, beginStep, lock, replay); err != nil {
		return err
	}
	if refused || known > 0 || len(balances) != len(a.AccountIDs) {
		return errRefused
	}
	m.finish(balances, entries, at)
	update := step{sql: variantsSQL["update_locked"], args: []any{a.AccountIDs, a.Deltas, a.Moves, at}}
	return trip(ctx, conn, update, m.inserted(same), commitStep)
}

// windowed is one statement, whose running balances are window functions.
func windowed(ctx context.Context, conn *pgx.Conn, m *moves) error {
	var from, to decimal.Decimal
	return trip(ctx, conn, step{variantsSQL["one_statement_windows"], m.oneTrip(false), func(rows pgx.Rows) error {
		err := rows.Scan(&from, &to, &m.rows.CreateTime)
		m.rows.FromBalances = append(m.rows.FromBalances, from.String())
		m.rows.ToBalances = append(m.rows.ToBalances, to.String())
		return err
	}})
}

// indexed returns a form of one statement, given where in the batch each transfer finds its
// accounts.
func indexed(sql string) form {
	return func(ctx context.Context, conn *pgx.Conn, m *moves) error {
		return trip(ctx, conn, step{sql, m.oneTrip(true), func(rows pgx.Rows) error {
			var balances []decimal.Decimal
			var entries []int64
			var at time.Time
			err := rows.Scan(&balances, &entries, &at)
			m.finish(balances, entries, at)
			return err
		}})
	}
}

// optimistic knows the accounts already: all travels in one round trip.
func optimistic(ctx context.Context, conn *pgx.Conn, m *moves) error {
	a := &m.apply
	m.finish(m.balances, m.entries, time.Now())
	update := step{sql: variantsSQL["update_expected"], args: []any{
		a.AccountIDs, m.endBalances, a.Moves, m.expected, a.KnownIDs,
	}}
	return trip(ctx, conn, beginStep, update, m.inserted(same), commitStep)
}

// expect lets the optimistic form know the accounts as they will be before each batch in turn.
func expect(ctx context.Context, conn *pgx.Conn, batches []*moves) error {
	type known struct {
		balance          decimal.Decimal
		entries, version int64
	}
	cache := map[uuid.UUID]known{}
	for _, m := range batches {
		rows, err := conn.Query(ctx, "SELECT account_id, balance, entry_count, version FROM account WHERE account_id = ANY ($1)", //nolint:rowserrcheck // ForEachRow checks it
			m.apply.AccountIDs)
		if err != nil {
			return err
		}
		var id uuid.UUID
		var k known
		_, err = pgx.ForEachRow(rows, []any{&id, &k.balance, &k.entries, &k.version}, func() error {
			if _, ok := cache[id]; !ok {
				cache[id] = k
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, id := range m.apply.AccountIDs {
			k := cache[id]
			m.balances, m.entries, m.expected = append(m.balances, k.balance), append(m.entries, k.entries), append(m.expected, k.version)
			k = known{k.balance.Add(m.apply.Deltas[i]), k.entries + m.apply.Moves[i], k.version + m.apply.Moves[i]}
			m.endBalances = append(m.endBalances, k.balance)
			cache[id] = k
		}
	}
	return nil
}
