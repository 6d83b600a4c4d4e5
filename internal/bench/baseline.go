package bench

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/pgdb"
)

//go:embed baseline.sql
var baselineText string

// baselineSQL are the statements of baseline.sql by name.
var baselineSQL = func() map[string]string {
	statements := map[string]string{}
	var name string
	for line := range strings.Lines(baselineText) {
		if rest, ok := strings.CutPrefix(line, "-- name: "); ok {
			name = strings.TrimSpace(rest)
		} else if name != "" && !strings.HasPrefix(line, "--") {
			statements[name] += line
		}
	}
	return statements
}()

// baselineConnsMax is how many connections the baselines have; callers beyond that share them, as
// they would in any program: PostgreSQL gets slower with more.
const baselineConnsMax = 64

// baselineSchema is where the baselines have their tables, beside the ledger. See baseline.sql.
const baselineSchema = "baseline"

// A baseline is the tables and the connections of the hand-written SQL. Its accounts have the ids
// of the service's.
type baseline struct {
	pool       *pgxpool.Pool
	population *population
}

// openBaseline makes the tables in the schema baseline of the same database, which must not be
// there.
func openBaseline(ctx context.Context, databaseURL string, callers int, p *population) (*baseline, error) {
	database, err := pgdb.Open(ctx, pgdb.Target{URL: databaseURL, Schema: baselineSchema}, pgdb.Measuring)
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	pool, err := database.Pool(ctx, pgdb.Measuring, int32(min(callers, baselineConnsMax)), pgdb.Hooks{})
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	ids := make([]uuid.UUID, len(p.accounts))
	for i, a := range p.accounts {
		ids[i] = a.id
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, name := range []string{"schema", "account_table", "transfer_table", "transfer_by_from", "transfer_by_to"} {
			if _, err := tx.Exec(ctx, baselineSQL[name]); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, baselineSQL["accounts_insert"], ids, initialBalance); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, baselineSQL["analyze"])
		return err
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("make the baseline's tables (a schema baseline must not be there): %w", err)
	}
	b := &baseline{pool.Pool, p}
	if err := b.connect(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return b, nil
}

// connect opens all connections ahead: authentication costs both sides milliseconds of CPU time,
// which is not what is compared.
func (b *baseline) connect(ctx context.Context) error {
	conns := make([]*pgxpool.Conn, b.pool.Config().MaxConns)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Release()
			}
		}
	}()
	for i := range conns {
		var err error
		if conns[i], err = b.pool.Acquire(ctx); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	return nil
}

// close drops the tables: a run leaves only the ledger in the database.
func (b *baseline) close() {
	_, _ = b.pool.Exec(context.Background(), baselineSQL["drop"])
	b.pool.Close()
}

// conserved fails when the baseline lost or made money: then it is no fair comparison.
func (b *baseline) conserved(ctx context.Context) error {
	var n int64
	var text string
	if err := b.pool.QueryRow(ctx, baselineSQL["sum"]).Scan(&n, &text); err != nil {
		return err
	}
	sum, err := decimal.NewFromString(text)
	if err != nil {
		return err
	}
	if want := decimal.RequireFromString(initialBalance).Mul(decimal.NewFromInt(n)); !sum.Equal(want) {
		return fmt.Errorf("the baseline's %d accounts have %s, not %s", n, sum, want)
	}
	return nil
}

// A movement is one transfer as the baselines make it.
type movement struct {
	id, from, to uuid.UUID
	amount       pgtype.Numeric
}

// payerFirst reports whether the payer's row comes first in the order in which all lock rows.
func (m *movement) payerFirst() bool { return bytes.Compare(m.from[:], m.to[:]) < 0 }

// contenders returns the baselines (a), (b) and (c).
func (b *baseline) contenders(workload string) []*contender {
	pick := newPicker(workload, len(b.population.accounts))
	return []*contender{
		b.contender("baseline-a", workload, b.stepwise, pick),
		b.contender("baseline-b", workload, b.oneStatement, pick),
		b.contender("baseline-c", workload, b.lockFirst, pick),
	}
}

// contender returns the contender for one way to make a movement, with the pool's connections.
func (b *baseline) contender(name, workload string, move func(context.Context, *movement) error, pick picker) *contender {
	return &contender{
		name: name, workload: workload, batch: 1, check: b.conserved,
		newCaller: func(context.Context, int, int) (call, func(), error) {
			source := newSource()
			return func(ctx context.Context) (int, error) {
				from, to := pick(source)
				m := &movement{
					id: source.id(), from: b.population.accounts[from].id, to: b.population.accounts[to].id,
					amount: pgtype.Numeric{Int: big.NewInt(int64(1 + source.IntN(centsMax))), Exp: -2, Valid: true},
				}
				return one(move(ctx, m))
			}, func() {}, nil
		},
	}
}

var errInsufficientFunds = errors.New("baseline: insufficient funds")

// stepwise is baseline (a): BEGIN, a conditional UPDATE, an UPDATE, an INSERT, COMMIT; each a
// prepared statement and a round trip.
func (b *baseline) stepwise(ctx context.Context, m *movement) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return moveIn(ctx, tx, m) })
}

// moveIn updates both accounts, in the order of their ids, and inserts the transfer.
func moveIn(ctx context.Context, tx pgx.Tx, m *movement) error {
	var fromBalance, toBalance pgtype.Numeric
	debit := func() error {
		err := tx.QueryRow(ctx, baselineSQL["debit"], m.from, m.amount).Scan(&fromBalance)
		if errors.Is(err, pgx.ErrNoRows) {
			return errInsufficientFunds
		}
		return err
	}
	credit := func() error {
		return tx.QueryRow(ctx, baselineSQL["credit"], m.to, m.amount).Scan(&toBalance)
	}
	first, second := debit, credit
	if !m.payerFirst() {
		first, second = credit, debit
	}
	if err := first(); err != nil {
		return err
	}
	if err := second(); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, baselineSQL["transfer_insert"], m.id, m.from, m.to, m.amount, fromBalance, toBalance)
	return err
}

// oneStatement is baseline (b): all in one statement, which is its own transaction.
func (b *baseline) oneStatement(ctx context.Context, m *movement) error {
	name := "one_statement_payee_first"
	if m.payerFirst() {
		name = "one_statement_payer_first"
	}
	var fromBalance, toBalance pgtype.Numeric
	err := b.pool.QueryRow(ctx, baselineSQL[name], m.id, m.from, m.to, m.amount).Scan(&fromBalance, &toBalance)
	if errors.Is(err, pgx.ErrNoRows) {
		return errInsufficientFunds
	}
	return err
}

// lockFirst is baseline (c): BEGIN, SELECT … FOR UPDATE of both accounts in the order of their ids,
// a check of the balance, two UPDATEs, an INSERT, COMMIT.
func (b *baseline) lockFirst(ctx context.Context, m *movement) error {
	return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, baselineSQL["lock_both"], m.from, m.to)
		if err != nil {
			return err
		}
		defer rows.Close()
		var id uuid.UUID
		var balance, floor pgtype.Numeric
		found, enough := 0, false
		for ; rows.Next(); found++ {
			if err := rows.Scan(&id, &balance, &floor); err != nil {
				return err
			}
			if id == m.from {
				enough = decimalOf(balance).Sub(decimalOf(m.amount)).GreaterThanOrEqual(decimalOf(floor))
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if found != 2 || !enough {
			return errInsufficientFunds
		}
		return moveIn(ctx, tx, m)
	})
}

func decimalOf(n pgtype.Numeric) decimal.Decimal { return decimal.NewFromBigInt(n.Int, n.Exp) }
