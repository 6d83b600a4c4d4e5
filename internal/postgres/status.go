package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/proof"
)

const (
	// countedMax is how many accounts of a currency are counted; above it, their number is an
	// estimate.
	countedMax = 100_000
	// totalsMax is for how many currencies totals are returned.
	totalsMax = 1000
)

// A Status is the state of the ledger.
type Status struct {
	Totals []CurrencyTotal // of each currency that has accounts, by code, at most 1,000
	Proof  *proof.Result   // how the last proof ended, of any server; nil: there was none
	Time   time.Time       // when it was read, by the database's clock
}

// A CurrencyTotal is how much there is of a currency.
type CurrencyTotal struct {
	Currency string
	Scale    int32           // of the currency, so that the amount can be printed
	Amount   decimal.Decimal // what all accounts but the currency's equity account hold together
	Accounts int64           // without the equity account; above 100,000 an estimate
}

// A status is what GetStatus last read, shared by its callers of about that time.
type status struct {
	pace
	countedMax int64  // accounts of a currency
	last       Status // guarded by the turn
}

// GetStatus reads the ledger's state. Callers share what is read: it can be older than the call by
// nine times as long as reading takes, which is milliseconds.
func (l *Ledger) GetStatus(ctx context.Context) (Status, error) {
	s := &l.status
	if err := s.enter(ctx); err != nil {
		return Status{}, err
	}
	defer s.leave()
	if s.rested() {
		start := time.Now()
		read, err := l.readStatus(ctx)
		if err != nil {
			return Status{}, durable.ReadError(ctx, "read the status", err)
		}
		s.last = read
		s.rest(start)
	}
	return s.last, nil
}

func (l *Ledger) readStatus(ctx context.Context) (s Status, err error) {
	err = l.pool.View(ctx, func(tx pgx.Tx) error {
		if s.Time, err = l.queries.Clock(ctx, tx); err != nil {
			return err
		}
		if s.Proof, err = proof.Last(ctx, tx); err != nil {
			return err
		}
		s.Totals, err = l.readTotals(ctx, tx)
		return err
	})
	return s, err
}

// readTotals reads the totals of the currencies that have accounts.
func (l *Ledger) readTotals(ctx context.Context, tx pgx.Tx) ([]CurrencyTotal, error) {
	// One more than is counted, to see whether there are more, and the equity account.
	rows, err := l.queries.StatusTotals(ctx, tx, db.StatusTotalsParams{CountLimit: int32(l.status.countedMax) + 2, RowLimit: totalsMax})
	if err != nil {
		return nil, err
	}
	totals := make([]CurrencyTotal, 0, len(rows))
	var many []string
	for i := range rows {
		r := &rows[i]
		if r.Counted == 0 {
			continue
		}
		if r.Counted > l.status.countedMax {
			many = append(many, r.Code)
		}
		totals = append(totals, CurrencyTotal{Currency: r.Code, Scale: int32(r.Scale), Amount: r.Amount, Accounts: r.Counted})
	}
	if len(many) == 0 {
		return totals, nil
	}
	estimates, err := l.queries.AccountsEstimate(ctx, tx, many)
	if err != nil {
		return nil, err
	}
	for i := range estimates {
		for j := range totals {
			if t := &totals[j]; t.Currency == estimates[i].Code {
				t.Accounts = max(t.Accounts, estimates[i].AccountCount)
			}
		}
	}
	return totals, nil
}

// A pace limits costly work to a tenth of the time, however many callers there are: one caller has
// the turn, and what took a second is not done again before nine more have passed.
type pace struct {
	turn  chan struct{} // is full while a caller has the turn
	ready time.Time     // when it may be done again; guarded by the turn
}

func newPace() pace { return pace{turn: make(chan struct{}, 1)} }

// enter waits for the turn.
func (p *pace) enter(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives the turn back.
func (p *pace) leave() { <-p.turn }

// rested reports whether it may be done again.
func (p *pace) rested() bool { return !time.Now().Before(p.ready) }

// rest is called when it, or more of it, was done since start.
func (p *pace) rest(start time.Time) {
	if p.ready.Before(start) {
		p.ready = start
	}
	p.ready = p.ready.Add(10 * time.Since(start))
}
