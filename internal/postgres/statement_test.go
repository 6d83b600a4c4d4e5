package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// headText is the text of a statement's head.
func headText(s *postgres.Statement) string {
	return fmt.Sprintf("%s %s/%d [%s, %s) effective %t at %d: %s +%s -%s = %s in %d", s.AccountID, s.Currency, s.Scale,
		s.Start.Format(time.RFC3339Nano), s.End.Format(time.RFC3339Nano), s.Effective, s.Position, s.Opening, s.Credits,
		s.Debits, s.Closing, s.Entries)
}

// entryText is the text of an entry.
func entryText(e *ledger.Entry) string {
	effective := ""
	if e.Effective != nil {
		effective = e.Effective.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%s #%d %s %s %s = %s %s/%d %q %s %s", e.AccountID, e.Sequence, e.TransferID, e.Counterparty, e.Amount,
		e.Balance, e.Currency, e.Scale, e.Reference, e.CreateTime.UTC().Format(time.RFC3339Nano), effective)
}

func statementText(s *postgres.Statement, entries []ledger.Entry) string {
	lines := []string{headText(s)}
	for i := range entries {
		lines = append(lines, entryText(&entries[i]))
	}
	return strings.Join(lines, "\n")
}

// streamed reads a statement with a reader.
func streamed(l *postgres.Ledger, f postgres.StatementFilter) (s postgres.Statement, entries []ledger.Entry, err error) {
	r, err := l.OpenStatement(context.Background(), f)
	if err != nil {
		return s, nil, err
	}
	for {
		part, err := r.Next(context.Background())
		if err != nil || len(part) == 0 {
			return r.Statement(), entries, err
		}
		entries = append(entries, part...)
	}
}

// paged reads a statement page by page.
func paged(l *postgres.Ledger, f postgres.StatementFilter, size int32) (s postgres.Statement, entries []ledger.Entry, err error) {
	page := paging.Page{Size: size}
	for n := 0; ; n++ {
		head, part, next, err := l.GetStatement(context.Background(), f, page)
		if err != nil {
			return s, nil, err
		}
		if n > 0 && headText(&head) != headText(&s) {
			return s, nil, fmt.Errorf("page %d has another head: %s", n, headText(&head))
		}
		s, entries = head, append(entries, part...)
		if next == "" {
			return s, entries, nil
		}
		if len(part) != int(size) {
			return s, nil, fmt.Errorf("a page of %d has %d entries, and there are more", size, len(part))
		}
		page.Token = next
	}
}

// A history is two accounts that pay each other while a clock is stepped.
type history struct {
	l     *postgres.Ledger
	clock *ledgertest.Clock
	a, b  uuid.UUID
	start time.Time
}

// newHistory opens two accounts with 100 each at a known time.
func newHistory(t testing.TB, l *postgres.Ledger, clock *ledgertest.Clock) *history {
	clock.Step(time.Minute) // the equity account may be younger than the clock's time
	h := &history{l: l, clock: clock, start: clock.Now()}
	h.a = ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")}).ID
	h.b = ledgertest.OpenAccount(t, l, ledger.AccountParams{InitialBalance: ledgertest.Amount("100")}).ID
	return h
}

func (h *history) at(seconds int) time.Time { return h.start.Add(time.Duration(seconds) * time.Second) }

// pay moves an amount from the first account, or to it when it is negative, effective at a time
// unless that is zero.
func (h *history) pay(t testing.TB, sum int64, effective time.Time) {
	t.Helper()
	p := ledger.TransferParams{From: h.a, To: h.b, Amount: decimal.NewFromInt(sum), Reference: fmt.Sprint("pay ", sum)}
	if sum < 0 {
		p.From, p.To, p.Amount = h.b, h.a, p.Amount.Neg()
	}
	if !effective.IsZero() {
		p.Options = &ledger.TransferOptions{EffectiveTime: effective}
	}
	if got := ledgertest.Pay(t, h.l, p); got.Status != ledger.TransferSuccess {
		t.Fatalf("pay %d: %s", sum, got.Reason)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	h := newHistory(t, l, clock)
	for i, p := range []struct {
		sum       int64
		effective int // seconds; -1: when it is made
	}{{10, -1}, {-4, 5}, {20, -1}, {30, 5}, {-6, -1}, {-50, 15}, {1, 0}} {
		clock.Set(h.at(10 * (i + 1)))
		var effective time.Time
		if p.effective >= 0 {
			effective = h.at(p.effective)
		}
		h.pay(t, p.sum, effective)
	}
	clock.Set(h.at(1000))
	for _, c := range []struct {
		start, end int
		effective  bool
		position   int64 // -1: not given
		want       string
	}{
		{0, 0, false, -1, "8: 0 +160 -61 = 99 in 8: 1 100 2 90 3 94 4 74 5 44 6 50 7 100 8 99"},
		{0, 1000, true, -1, "8: 0 +160 -61 = 99 in 8: 1 100 8 99 3 103 5 73 2 63 7 113 4 93 6 99"},
		{0, 1000, true, 5, "5: 0 +104 -60 = 44 in 5: 1 100 3 104 5 74 2 64 4 44"},
		{10, 31, false, -1, "8: 100 +4 -30 = 74 in 3: 2 90 3 94 4 74"},
		{10, 30, false, -1, "8: 100 +4 -10 = 94 in 2: 2 90 3 94"},
		{10, 30, true, -1, "8: 73 +50 -10 = 113 in 2: 2 63 7 113"},
		{6, 9, true, 4, "4: 104 +0 -0 = 104 in 0:"},
		{6, 9, true, 8, "8: 73 +0 -0 = 73 in 0:"},
		{5, 6, true, 8, "8: 99 +4 -30 = 73 in 2: 3 103 5 73"},
		{0, 100, false, 0, "0: 0 +0 -0 = 0 in 0:"},
		{50, 100, false, 2, "2: 90 +0 -0 = 90 in 0:"},
		{-100, 0, false, -1, "8: 0 +160 -61 = 99 in 8: 1 100 2 90 3 94 4 74 5 44 6 50 7 100 8 99"},
		{-100, -50, true, -1, "8: 0 +0 -0 = 0 in 0:"},
		{71, 0, true, -1, "8: 99 +0 -0 = 99 in 0:"},
	} {
		f := postgres.StatementFilter{AccountID: h.a, Start: h.at(c.start), Effective: c.effective}
		if c.end != 0 {
			f.End = h.at(c.end)
		}
		if c.position >= 0 {
			f.Position = &c.position
		}
		s, entries, err := streamed(l, f)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		got := fmt.Sprintf("%d: %s +%s -%s = %s in %d:", s.Position, s.Opening, s.Credits, s.Debits, s.Closing, s.Entries)
		for i := range entries {
			got += fmt.Sprintf(" %d %s", entries[i].Sequence, entries[i].Balance)
		}
		if got != c.want {
			t.Errorf("%+v:\ngot  %s\nwant %s", c, got, c.want)
		}
		if s.Currency != "USD" || s.Scale != 2 || !s.Start.Equal(f.Start) || (c.end != 0 && !s.End.Equal(f.End)) ||
			(c.end == 0 && !s.End.Equal(clock.Now())) || s.Effective != c.effective || s.AccountID != h.a {
			t.Errorf("%+v: the head says %s", c, headText(&s))
		}
	}
}

func TestStatementInvalid(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	h := newHistory(t, l, clock)
	clock.Set(h.at(10))
	h.pay(t, 1, time.Time{})
	good := postgres.StatementFilter{AccountID: h.a, Start: h.start, End: h.at(10), Position: new(int64(2))}
	first, _, next, err := l.GetStatement(context.Background(), good, paging.Page{Size: 1})
	if err != nil || next != "" || first.Entries != 1 {
		t.Fatalf("%+v, %q, %v", first, next, err)
	}
	good.End = time.Time{}
	clock.Set(h.at(11))
	_, _, next, err = l.GetStatement(context.Background(), good, paging.Page{Size: 1})
	if err != nil || next == "" {
		t.Fatalf("%q, %v", next, err)
	}
	for name, c := range map[string]struct {
		change func(*postgres.StatementFilter)
		page   paging.Page
		want   string
	}{
		"nothing":                 {func(*postgres.StatementFilter) {}, paging.Page{Size: 10_000, Token: next}, "ok"},
		"no such account":         {func(f *postgres.StatementFilter) { f.AccountID = uuid.New() }, paging.Page{}, "missing"},
		"the future":              {func(f *postgres.StatementFilter) { f.Start = h.at(12) }, paging.Page{}, "invalid start_time"},
		"an end in the future":    {func(f *postgres.StatementFilter) { f.End = h.at(12) }, paging.Page{}, "invalid end_time"},
		"an end before the start": {func(f *postgres.StatementFilter) { f.End = h.at(-1) }, paging.Page{}, "invalid end_time"},
		"an empty period":         {func(f *postgres.StatementFilter) { f.End = f.Start }, paging.Page{}, "invalid end_time"},
		"before all time":         {func(f *postgres.StatementFilter) { f.Start = time.Time{}.Add(-1) }, paging.Page{}, "invalid start_time"},
		"a position too high":     {func(f *postgres.StatementFilter) { f.Position = new(int64(3)) }, paging.Page{}, "invalid position"},
		"a negative position":     {func(f *postgres.StatementFilter) { f.Position = new(int64(-1)) }, paging.Page{}, "invalid position"},
		"a page too large":        {func(*postgres.StatementFilter) {}, paging.Page{Size: 10_001}, "invalid page_size"},
		"a negative page":         {func(*postgres.StatementFilter) {}, paging.Page{Size: -1}, "invalid page_size"},
		"no token":                {func(*postgres.StatementFilter) {}, paging.Page{Token: "x"}, "token"},
		"another account's token": {func(f *postgres.StatementFilter) { f.AccountID = h.b }, paging.Page{Token: next}, "token"},
		"another basis's token":   {func(f *postgres.StatementFilter) { f.Effective = true }, paging.Page{Token: next}, "token"},
		"another position's":      {func(f *postgres.StatementFilter) { f.Position = new(int64(1)) }, paging.Page{Token: next}, "token"},
		"without the position":    {func(f *postgres.StatementFilter) { f.Position = nil }, paging.Page{Token: next}, "token"},
		"another end's":           {func(f *postgres.StatementFilter) { f.End = h.at(11) }, paging.Page{Token: next}, "token"},
	} {
		f := good
		c.change(&f)
		_, _, _, err := l.GetStatement(context.Background(), f, c.page)
		got := errorText(err)
		if errors.Is(err, ledger.ErrPageToken) {
			got = "token"
		}
		if got != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// naiveStatement is a statement made from all entries, oldest first, as simply as can be.
func naiveStatement(all []ledger.Entry, f postgres.StatementFilter) (s postgres.Statement, entries []ledger.Entry) {
	s = postgres.Statement{
		AccountID: f.AccountID, Currency: "USD", Scale: 2, Start: f.Start, End: f.End, Effective: f.Effective, Position: *f.Position,
	}
	counts := func(e ledger.Entry) time.Time {
		if f.Effective && e.Effective != nil {
			return *e.Effective
		}
		return e.CreateTime
	}
	first := slices.Clone(all[:*f.Position])
	slices.SortStableFunc(first, func(a, b ledger.Entry) int { return counts(a).Compare(counts(b)) })
	balance := decimal.Zero
	for _, e := range first {
		before := balance
		balance = balance.Add(e.Amount)
		switch at := counts(e); {
		case at.Before(f.Start):
			s.Opening = balance
		case at.Before(f.End):
			if len(entries) == 0 {
				s.Opening = before
			}
			e.Balance = balance
			entries = append(entries, e)
			if e.Amount.IsPositive() {
				s.Credits = s.Credits.Add(e.Amount)
			} else {
				s.Debits = s.Debits.Sub(e.Amount)
			}
		}
	}
	s.Entries = int64(len(entries))
	s.Closing = s.Opening.Add(s.Credits).Sub(s.Debits)
	return s, entries
}

// TestStatementsAddUp: over random histories, statements of any period, position and basis are what
// a naive one is, read at once or in pages. Times are whole seconds, of which there are few, so
// that many entries have the same.
func TestStatementsAddUp(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	full := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, l, clock)
		seconds := 0
		for range rapid.IntRange(0, 40).Draw(rt, "transfers") {
			var effective time.Time
			if back := rapid.IntRange(-2, 8).Draw(rt, "back"); back >= 0 {
				effective = h.at(seconds - back) // before the account was opened, too
			}
			sum := rapid.Int64Range(-3, 2).Draw(rt, "sum")
			if sum >= 0 {
				sum++
			}
			if rapid.IntRange(0, 9).Draw(rt, "hold") == 0 {
				hold := ledgertest.Pay(t, l, ledger.TransferParams{From: h.a, To: h.b, Amount: one, Options: &ledger.TransferOptions{Hold: true}})
				if _, _, _, err := l.Post(context.Background(), ledger.PostParams{HoldID: hold.ID}); err != nil {
					rt.Fatal(err)
				}
			}
			h.pay(t, sum, effective)
			if rapid.Bool().Draw(rt, "step") {
				seconds++
				clock.Step(time.Second)
			}
		}
		clock.Step(time.Second)
		all, _, err := l.ListEntries(context.Background(), postgres.EntryFilter{AccountID: h.a, OldestFirst: true}, paging.Page{Size: 1000})
		if err != nil {
			rt.Fatal(err)
		}
		for i := range 10 {
			start := rapid.IntRange(-10, seconds).Draw(rt, "start")
			f := postgres.StatementFilter{
				AccountID: h.a, Effective: rapid.Bool().Draw(rt, "effective"), Start: h.at(start).UTC(),
				End:      h.at(rapid.IntRange(start+1, seconds+1).Draw(rt, "end")).UTC(),
				Position: new(rapid.Int64Range(0, int64(len(all))).Draw(rt, "position")),
			}
			if i < 2 { // of all that there is, on either basis: chance draws few long ones
				f.Effective, f.Start, f.End, f.Position = i == 0, h.at(-10).UTC(), h.at(seconds+1).UTC(), new(int64(len(all)))
			}
			wantHead, wantEntries := naiveStatement(all, f)
			want := statementText(&wantHead, wantEntries)
			if len(wantEntries) > 3 {
				full++
			}
			s, entries, err := streamed(l, f)
			if got := statementText(&s, entries); err != nil || got != want {
				rt.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
			}
			size := rapid.Int32Range(1, 7).Draw(rt, "size")
			s, entries, err = paged(l, f, size)
			if got := statementText(&s, entries); err != nil || got != want {
				rt.Fatalf("in pages of %d: %v\ngot  %s\nwant %s", size, err, got, want)
			}
		}
	})
	if full < 20 {
		t.Errorf("only %d statements had more than three entries, the runs say little", full)
	}
}

// TestStatementsOfImports: by effective time, a statement of few entries that count when they were
// made among many that do not is the naive one, from whichever end its pages begin.
func TestStatementsOfImports(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	h := newHistory(t, l, clock)
	imports := func(n int, at func(i int) time.Time) {
		var batch []ledger.TransferParams
		for i := range n {
			batch = append(batch, ledger.TransferParams{
				From: h.b, To: h.a, Amount: ledgertest.Amount("0.1"), Options: &ledger.TransferOptions{EffectiveTime: at(i)},
			})
		}
		clock.Step(time.Second)
		if _, err := l.TransferBatch(ctx, batch, ledger.BatchOptions{}); err != nil {
			t.Fatal(err)
		}
		clock.Step(time.Second)
		h.pay(t, 1, time.Time{})
	}
	imports(300, func(i int) time.Time { return h.at(-i / 10) })                  // ten at each
	imports(299, func(int) time.Time { return h.at(-3600) })                      // all at once
	imports(1, func(int) time.Time { return h.at(1) })                            // by create time
	imports(251, func(i int) time.Time { return h.at(3).Add(-time.Duration(i)) }) // 1 ns apart
	clock.Set(h.at(3600))
	all, _, err := l.ListEntries(ctx, postgres.EntryFilter{AccountID: h.a, OldestFirst: true}, paging.Page{Size: 1000})
	if err != nil || len(all) != 856 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	for _, start := range []time.Time{h.at(-7200), h.at(-3600), h.at(-3599), h.at(2), h.at(4), h.at(8)} {
		for _, position := range []int64{856, 855, 854, 600, 302, 1} {
			f := postgres.StatementFilter{
				AccountID: h.a, Effective: true, Start: start.UTC(), End: h.at(60).UTC(), Position: &position,
			}
			head, entries := naiveStatement(all, f)
			want := statementText(&head, entries)
			s, entries, err := streamed(l, f)
			if got := statementText(&s, entries); err != nil || got != want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
			}
			for _, size := range []int32{7, 300, 10_000} {
				s, entries, err := paged(l, f, size)
				if got := statementText(&s, entries); err != nil || got != want {
					t.Errorf("in pages of %d: %v\ngot  %s\nwant %s", size, err, got, want)
				}
			}
		}
	}
}

// TestStatementsStayTheSame reads statements while transfers go on, backdated ones among them: each
// is the same when it is read again at its position, and adds up.
func TestStatementsStayTheSame(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, postgres.Config{})
	ids := ledgertest.OpenAccounts(t, l, 4, 1000)
	start := time.Now().Add(-time.Hour)
	stop := make(chan struct{})
	var moved atomic.Int64
	var payers sync.WaitGroup
	for i := range 8 {
		payers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				p := ledger.TransferParams{From: ids[i%4], To: ids[(i+1+n%3)%4], Amount: one}
				if n%2 == 0 {
					p.Options = &ledger.TransferOptions{EffectiveTime: start.Add(time.Duration(n%100) * time.Second)}
				}
				if o, _, err := l.Transfer(context.Background(), p); err != nil {
					t.Errorf("transfer: %v", err)
					return
				} else if o.Status == ledger.TransferSuccess {
					moved.Add(1)
				}
			}
		})
	}
	type copy struct {
		f    postgres.StatementFilter
		text string
	}
	var copies []copy
	for n := 0; n < 30 || moved.Load() < 200; n++ {
		f := postgres.StatementFilter{AccountID: ids[0], Start: start, Effective: n%2 == 0}
		s, entries, err := streamed(l, f)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		f.End, f.Position = s.End, &s.Position
		copies = append(copies, copy{f, statementText(&s, entries)})
		for _, c := range []copy{copies[0], copies[len(copies)/2], copies[len(copies)-1]} {
			s, entries, err := paged(l, c.f, 100)
			if got := statementText(&s, entries); err != nil || got != c.text {
				t.Fatalf("read again: %v\ngot  %s\nwant %s", err, got, c.text)
			}
		}
	}
	close(stop)
	payers.Wait()
	for _, c := range copies {
		s, entries, err := streamed(l, c.f)
		if got := statementText(&s, entries); err != nil || got != c.text {
			t.Fatalf("read at last: %v\ngot  %s\nwant %s", err, got, c.text)
		}
	}
	first, last := copies[0].f.Position, copies[len(copies)-1].f.Position
	if *last < *first+20 {
		t.Errorf("nothing went on: from %d entries to %d", *first, *last)
	}
}
