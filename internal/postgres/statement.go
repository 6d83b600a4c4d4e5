package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"internaltransfers/gen/db"
	"internaltransfers/internal/paging"
	"internaltransfers/ledger"
)

const (
	statementPageDefault = 1000
	statementPageMax     = 10_000
)

// A StatementFilter chooses a statement: the entries of an account in a period.
//
// An account's first N entries never change, so a statement that takes only those into account
// never does either: N is its position.
type StatementFilter struct {
	AccountID uuid.UUID
	Start     time.Time // inclusive
	End       time.Time // exclusive, not in the future; zero: now, or after a later last change
	Effective bool      // by effective time, and in its order; else by create time
	Position  *int64    // how many of the account's first entries count; nil: all
}

// A Statement is the head of a statement. The JSON names are for page tokens, which carry all that
// is not in the filter.
type Statement struct {
	AccountID uuid.UUID       `json:"-"`
	Currency  string          `json:"c"`
	Scale     int32           `json:"s"`
	Start     time.Time       `json:"-"`
	End       time.Time       `json:"e"`
	Effective bool            `json:"-"`
	Position  int64           `json:"p"`
	Opening   decimal.Decimal `json:"ob"` // the balance before the first entry
	Closing   decimal.Decimal `json:"cb"` // and after the last one
	Credits   decimal.Decimal `json:"tc"` // the sum of what entered the account
	Debits    decimal.Decimal `json:"td"` // the sum of what left it, not negative
	Entries   int64           `json:"n"`  // how many there are
}

// String names the statement, for errors.
func (s *Statement) String() string {
	return fmt.Sprintf("the statement of account %s at %d", s.AccountID, s.Position)
}

// A statementPlace is how far a statement was read. With the head in it, later pages cost no more
// than their entries.
type statementPlace struct {
	Head    Statement       `json:"h"`
	Last    entryKey        `json:"k"` // of the last entry; at first, one before every entry
	Balance decimal.Decimal `json:"b"` // after the last entry
	Left    int64           `json:"l"` // entries to come
}

// OpenStatement reads a statement's head. The error is a NotFoundError when there is no such
// account, and an InvalidError for a period that is empty or lies in the future and for a position
// that the account has not reached.
func (l *Ledger) OpenStatement(ctx context.Context, f StatementFilter) (*StatementReader, error) {
	f, err := f.normal()
	if err != nil {
		return nil, err
	}
	return l.openStatement(ctx, f)
}

// GetStatement reads a page of a statement, 1 to 10,000 entries (0: 1,000), and returns the token
// of the next one; empty: this is the last. All pages have the head of the first one. Otherwise as
// OpenStatement.
func (l *Ledger) GetStatement(ctx context.Context, f StatementFilter, page paging.Page) (Statement, []ledger.Entry, string, error) {
	if page.Size < 0 || page.Size > statementPageMax {
		return Statement{}, nil, "", &ledger.InvalidError{
			Field: "page_size", Reason: fmt.Sprintf("must be 0 to %d", statementPageMax),
		}
	}
	f, err := f.normal()
	if err != nil {
		return Statement{}, nil, "", err
	}
	var r *StatementReader
	if page.Token == "" {
		r, err = l.openStatement(ctx, f)
	} else {
		var place statementPlace
		err = l.tokens.Read("statement", f, page.Token, &place)
		h := &place.Head
		h.AccountID, h.Start, h.Effective = f.AccountID, f.Start, f.Effective
		r = l.newStatementReader(place)
	}
	if err != nil {
		return Statement{}, nil, "", err
	}
	entries, err := r.read(ctx, cmp.Or(page.Size, statementPageDefault), page.Bytes)
	if err != nil {
		return Statement{}, nil, "", err
	}
	next := ""
	if r.place.Left > 0 {
		next = l.tokens.Token("statement", f, r.place)
	}
	return r.place.Head, entries, next, nil
}

// normal returns the filter with times as the database keeps them; an open end stays open.
func (f StatementFilter) normal() (StatementFilter, error) {
	open := f.End.IsZero()
	var err error
	if f.Start, f.End, err = bounds(f.Start, f.End); err != nil {
		return f, err
	}
	if !f.End.After(f.Start) {
		return f, &ledger.InvalidError{Field: "end_time", Reason: "must be after start_time"}
	}
	if open {
		f.End = time.Time{}
	}
	return f, nil
}

// openStatement reads the head of a statement whose filter is in its normal form.
func (l *Ledger) openStatement(ctx context.Context, f StatementFilter) (*StatementReader, error) {
	h := Statement{AccountID: f.AccountID, Start: f.Start, End: f.End, Effective: f.Effective}
	err := l.atOneMoment(ctx, f.AccountID, func(tx pgx.Tx, r *db.Account, p present) error {
		end := p.now
		if !p.last.Before(end) {
			end = p.last.Add(time.Microsecond) // which is exclusive
		}
		switch {
		case f.Start.After(end):
			return &ledger.InvalidError{Field: "start_time", Reason: "must not be in the future"}
		case f.End.After(end):
			return &ledger.InvalidError{Field: "end_time", Reason: "must not be in the future"}
		case f.End.IsZero():
			h.End = end.UTC()
		}
		if h.Position = r.EntryCount; f.Position != nil {
			if h.Position = *f.Position; h.Position < 0 || h.Position > r.EntryCount {
				return &ledger.InvalidError{Field: "position", Reason: fmt.Sprintf(
					"must be 0 to %d, the number of the account's entries", r.EntryCount)}
			}
		}
		var err error
		h.Currency = r.Currency
		if h.Scale, err = l.currencies.Scale(ctx, tx, r.Currency); err != nil {
			return err
		}
		return l.total(ctx, tx, &h)
	})
	if err != nil {
		return nil, err
	}
	return l.newStatementReader(statementPlace{Head: h, Last: entryKey{Time: h.Start}, Balance: h.Opening, Left: h.Entries}), nil
}

// total adds the balances and sums to a statement's head.
func (l *Ledger) total(ctx context.Context, conn db.DBTX, h *Statement) error {
	var err error
	if h.Opening, err = l.balanceBefore(ctx, conn, h.AccountID, h.Position, h.Start); err != nil {
		return err
	}
	if h.Effective {
		t, err := l.queries.TotalsByEffectiveTime(ctx, conn, db.TotalsByEffectiveTimeParams{
			AccountID: uuid.NullUUID{UUID: h.AccountID, Valid: true}, Position: h.Position, StartTime: h.Start, EndTime: h.End,
		})
		if err != nil {
			return err
		}
		h.Credits, h.Debits, h.Entries = t.Credits, t.Debits, t.Entries
		h.Opening = h.Opening.Add(t.Backdated)
	} else {
		t, err := l.queries.TotalsByCreateTime(ctx, conn, db.TotalsByCreateTimeParams{
			AccountID: h.AccountID, Position: h.Position, StartTime: h.Start, EndTime: h.End,
		})
		if err != nil {
			return err
		}
		h.Credits, h.Debits, h.Entries = t.Credits, t.Debits, t.Entries
	}
	h.Closing = h.Opening.Add(h.Credits).Sub(h.Debits)
	return nil
}
