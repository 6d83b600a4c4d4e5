package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/ledger"
)

// statementPart is how many entries a reader returns at a time.
const statementPart = 250

// A StatementReader reads the entries of a statement, oldest first, part by part. It keeps no
// transaction open: what it reads never changes. Only one goroutine at a time may use it.
type StatementReader struct {
	place statementPlace
	// By create time it is one. By effective time there are those that have one, and the others:
	// each has its index, and is read no further than the statement needs.
	sources []*entrySource
}

// An entryKey is what the entries of a statement are sorted by.
type entryKey struct {
	Time     time.Time `json:"t"` // by which an entry belongs to the period
	Sequence int64     `json:"q"`
}

func (k entryKey) compare(other entryKey) int {
	return cmp.Or(k.Time.Compare(other.Time), cmp.Compare(k.Sequence, other.Sequence))
}

// An entrySource reads entries in the order of their keys.
type entrySource struct {
	read    func(ctx context.Context, after entryKey, limit int32) ([]db.EntriesByCreateTimeRow, error)
	key     func(*db.EntriesByCreateTimeRow) entryKey
	skip    func(*db.EntriesByCreateTimeRow) bool
	least   int32                       // to read at a time, where many may be skipped
	last    entryKey                    // how far it was read
	entries []db.EntriesByCreateTimeRow // that were read and not taken
	ended   bool                        // there is nothing more to read
}

func (l *Ledger) newStatementReader(place statementPlace) *StatementReader {
	h := place.Head
	byCreateTime := &entrySource{
		read: func(ctx context.Context, after entryKey, limit int32) ([]db.EntriesByCreateTimeRow, error) {
			return l.queries.EntriesByCreateTime(ctx, l.pool, db.EntriesByCreateTimeParams{
				AccountID: h.AccountID, Position: h.Position, AfterTime: after.Time, AfterSequence: after.Sequence,
				EndTime: h.End, RowLimit: limit,
			})
		},
		key:  func(r *db.EntriesByCreateTimeRow) entryKey { return entryKey{r.CreateTime, r.Sequence} },
		skip: func(*db.EntriesByCreateTimeRow) bool { return false },
		last: place.Last,
	}
	if !h.Effective {
		return &StatementReader{place, []*entrySource{byCreateTime}}
	}
	byCreateTime.skip = func(r *db.EntriesByCreateTimeRow) bool { return r.EffectiveTime != nil }
	byCreateTime.least = statementPart
	byEffectiveTime := &entrySource{
		read: func(ctx context.Context, after entryKey, limit int32) ([]db.EntriesByCreateTimeRow, error) {
			rows, err := l.queries.EntriesByEffectiveTime(ctx, l.pool, db.EntriesByEffectiveTimeParams{
				AccountID: uuid.NullUUID{UUID: h.AccountID, Valid: true}, Position: h.Position, AfterTime: after.Time,
				AfterSequence: after.Sequence, EndTime: h.End, RowLimit: limit,
			})
			entries := make([]db.EntriesByCreateTimeRow, 0, len(rows))
			for i := range rows {
				entries = append(entries, db.EntriesByCreateTimeRow(rows[i]))
			}
			return entries, err
		},
		key:  func(r *db.EntriesByCreateTimeRow) entryKey { return entryKey{*r.EffectiveTime, r.Sequence} },
		skip: func(*db.EntriesByCreateTimeRow) bool { return false },
		last: place.Last,
	}
	return &StatementReader{place, []*entrySource{byEffectiveTime, byCreateTime}}
}

// Statement is the head.
func (r *StatementReader) Statement() Statement { return r.place.Head }

// Next reads the next entries, at most 250; none: that were all.
func (r *StatementReader) Next(ctx context.Context) ([]ledger.Entry, error) {
	return r.read(ctx, statementPart, 0)
}

// read reads at most limit entries, which together take about bytes at most (0: any number) when
// they are sent. A statement that does not add up fails: its entries must be as many as the head
// says, and lead to its closing balance.
func (r *StatementReader) read(ctx context.Context, limit int32, bytes int) ([]ledger.Entry, error) {
	p := &r.place
	size := 0
	h := &p.Head
	limit = int32(min(int64(limit), p.Left))
	entries := make([]ledger.Entry, 0, limit)
	for range limit {
		source, err := r.first(ctx, limit)
		if err != nil {
			return nil, durable.ReadError(ctx, "read the entries of a statement", err)
		}
		if source == nil {
			return nil, fmt.Errorf("%w: %s ends after entry %d, %d before its end", durable.ErrInvariant, h, p.Last.Sequence, p.Left)
		}
		row := source.entries[0]
		if size += entryBytes + len(row.Reference); bytes > 0 && size > bytes && len(entries) > 0 {
			break
		}
		source.entries = source.entries[1:]
		p.Last = source.key(&row)
		p.Left--
		if p.Balance = p.Balance.Add(row.Amount); h.Effective {
			row.Balance = p.Balance
		}
		if !row.Balance.Equal(p.Balance) || (p.Left == 0 && !p.Balance.Equal(h.Closing)) {
			return nil, fmt.Errorf("%w: %s has %s after entry %d, but its entries sum to %s", durable.ErrInvariant, h, row.Balance,
				row.Sequence, p.Balance)
		}
		entries = append(entries, ledger.Entry{
			AccountID: h.AccountID, Sequence: row.Sequence, TransferID: row.TransferID, Counterparty: row.CounterpartyID,
			Amount: row.Amount, Balance: row.Balance, Currency: h.Currency, Scale: h.Scale, Reference: row.Reference,
			CreateTime: row.CreateTime, Effective: row.EffectiveTime,
		})
	}
	return entries, nil
}

// first returns the source whose next entry comes first; nil: there are no more. Of a source whose
// next entry cannot come first, nothing is read.
func (r *StatementReader) first(ctx context.Context, limit int32) (*entrySource, error) {
	var first *entrySource
	for _, s := range r.sources {
		for len(s.entries) == 0 && !s.ended && (first == nil || s.last.compare(first.next()) < 0) {
			if err := s.fetch(ctx, max(limit, s.least)); err != nil {
				return nil, err
			}
		}
		if len(s.entries) > 0 && (first == nil || s.next().compare(first.next()) < 0) {
			first = s
		}
	}
	return first, nil
}

// next is the key of the next entry, which was read.
func (s *entrySource) next() entryKey { return s.key(&s.entries[0]) }

func (s *entrySource) fetch(ctx context.Context, limit int32) error {
	rows, err := s.read(ctx, s.last, limit)
	if err != nil {
		return err
	}
	s.ended = len(rows) < int(limit)
	for i := range rows {
		if s.last = s.key(&rows[i]); !s.skip(&rows[i]) {
			s.entries = append(s.entries, rows[i])
		}
	}
	return nil
}
