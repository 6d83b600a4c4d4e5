package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/ledgertest"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// TestPosting runs the posting rules in testdata/posting, in which each line is a step and its
// outcome:
//
//	test NAME                          a new scenario: its accounts and transfers are its own
//	currency CODE SCALE                adds a currency; CODE then also names its equity account
//	account A BALANCE [in=CODE] [floor=F] [ceiling=C] : ok
//	A FIELD VALUE : ok                 UpdateAccount; FIELD is floor or status, or one of a policy
//	t1 A->B AMOUNT [in=CODE] [ref=TEXT] [meta=KEY:VALUE] [OPTION …] : OUTCOME
//	batch | group [: ERROR]            what follows, indented, is one call of TransferBatch
//	entries A N:AMOUNT=BALANCE …       every entry of A, oldest first
//	unrecorded t1 …                    there are no such transfers
//
// posting_lifecycle_test.go has the steps and options for holds, schedules, reversals, policies and
// time.
//
// An OUTCOME is "[replay] ok FROM_BALANCE TO_BALANCE", "[replay] REASON FROM_BALANCE TO_BALANCE
// [SEEN/ALLOWED]" ("-": no such account), "init FROM_BALANCE TO_BALANCE", "conflict" or "invalid
// FIELD". Each outcome must also be what GetTransfer reads, and a replay what was returned first.
func TestPosting(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	clock := ledgertest.StopClock(t, url)
	l := ledgertest.Open(t, postgres.Config{DatabaseURL: url})
	files, err := filepath.Glob("testdata/posting/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find the scenarios: %d files, %v", len(files), err)
	}
	for _, file := range files {
		for _, s := range readScenarios(t, file) {
			t.Run(s.name, func(t *testing.T) {
				p := posting{
					t: t, l: l, clock: clock, scope: uuid.New(), currencies: map[string]uuid.UUID{}, first: map[uuid.UUID]ledger.Transfer{},
				}
				s.run(&p)
			})
		}
	}
}

// A scenario is the steps under a "test" line.
type scenario struct {
	name  string
	steps []step
}

// A step is a line, with the indented lines that follow it.
type step struct {
	place  string // file and line, for messages
	words  []string
	want   string // what stands after the colon
	nested []step
}

func readScenarios(t *testing.T, file string) []scenario {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	var all []scenario
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if name, ok := strings.CutPrefix(line, "test "); ok {
			all = append(all, scenario{name: name})
			continue
		}
		call, want, _ := strings.Cut(line, " : ")
		s := step{
			place: fmt.Sprintf("%s:%d", filepath.Base(file), i+1), words: strings.Fields(call), want: strings.TrimSpace(want),
		}
		steps := &all[len(all)-1].steps
		if strings.HasPrefix(line, " ") {
			steps = &(*steps)[len(*steps)-1].nested
		}
		*steps = append(*steps, s)
	}
	return all
}

func (s *scenario) run(p *posting) {
	for i := range s.steps {
		st := &s.steps[i]
		switch st.words[0] {
		case "currency":
			p.currency(st)
		case "account":
			p.account(st)
		case "batch", "group":
			p.batch(st)
		case "entries":
			p.entries(st)
		case "unrecorded":
			p.unrecorded(st)
		case "post", "void", "reverse", "settle", "held", "clock", "status":
			p.lifecycle(st)
		default:
			if len(st.words) > 1 && strings.Contains(st.words[1], "->") {
				p.transfer(st)
			} else {
				p.update(st)
			}
		}
	}
}

// A posting is a scenario in progress.
type posting struct {
	t          *testing.T
	l          *postgres.Ledger
	clock      *ledgertest.Clock
	scope      uuid.UUID // makes ids from names
	currencies map[string]uuid.UUID
	first      map[uuid.UUID]ledger.Transfer // the first result
}

// id is what a name of the scenario stands for.
func (p *posting) id(name string) uuid.UUID {
	if equity, ok := p.currencies[name]; ok {
		return equity
	}
	return uuid.NewSHA1(p.scope, []byte(name))
}

func (p *posting) require(s *step, got string) {
	p.t.Helper()
	if got != s.want {
		p.t.Errorf("%s: %s: got %q, want %q", s.place, strings.Join(s.words, " "), got, s.want)
	}
}

func (p *posting) currency(s *step) {
	c, _, err := p.l.CreateCurrency(context.Background(), s.words[1], int32(decimal.RequireFromString(s.words[2]).IntPart()), false)
	if err != nil {
		p.t.Fatalf("%s: %v", s.place, err)
	}
	p.currencies[c.Code] = c.EquityAccountID
}

func (p *posting) account(s *step) {
	params := ledger.AccountParams{ID: p.id(s.words[1]), InitialBalance: decimal.RequireFromString(s.words[2])}
	for _, option := range s.words[3:] {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "in":
			params.Currency = value
		case "floor":
			params.MinBalance = decimal.RequireFromString(value)
		case "ceiling":
			params.MaxBalance = decimal.NewNullDecimal(decimal.RequireFromString(value))
		default:
			p.t.Fatalf("%s: unknown option %s", s.place, option)
		}
	}
	_, replayed, err := p.l.CreateAccount(context.Background(), params)
	got := errorText(err)
	if replayed {
		got = "replay " + got
	}
	p.require(s, got)
}

func (p *posting) update(s *step) {
	change := ledger.AccountChange{ID: p.id(s.words[0])}
	switch s.words[1] {
	case "floor":
		change.MinBalance = new(decimal.RequireFromString(s.words[2]))
	case "status":
		change.Status = new(ledger.AccountStatus(s.words[2]))
	default:
		p.policy(s, &change)
	}
	_, err := p.l.UpdateAccount(context.Background(), change)
	p.require(s, errorText(err))
}

// params reads "t1 A->B AMOUNT options".
func (p *posting) params(s *step) ledger.TransferParams {
	from, to, _ := strings.Cut(s.words[1], "->")
	params := ledger.TransferParams{
		ID: p.id(s.words[0]), From: p.id(from), To: p.id(to), Amount: decimal.RequireFromString(s.words[2]),
	}
	for _, option := range s.words[3:] {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "in":
			params.Currency = value
		case "ref":
			params.Reference = value
		case "meta":
			k, v, _ := strings.Cut(value, ":")
			params.Metadata = map[string]string{k: v}
		default:
			p.option(s, &params, key, value)
		}
	}
	return params
}

func (p *posting) transfer(s *step) {
	transfer, replayed, err := p.l.Transfer(context.Background(), p.params(s))
	p.outcome(s, ledger.Outcome{Transfer: transfer, Replayed: replayed, Err: err})
}

func (p *posting) batch(s *step) {
	params := make([]ledger.TransferParams, 0, len(s.nested))
	for i := range s.nested {
		params = append(params, p.params(&s.nested[i]))
	}
	outcomes, err := p.l.TransferBatch(context.Background(), params, ledger.BatchOptions{Atomic: s.words[0] == "group"})
	if err != nil {
		p.require(s, errorText(err))
		return
	}
	p.require(s, "")
	for i := range s.nested {
		p.outcome(&s.nested[i], outcomes[i])
	}
}

// outcome compares an outcome with the step's, with the first one for the id, and with what was
// recorded.
func (p *posting) outcome(s *step, o ledger.Outcome) {
	p.require(s, outcomeText(o))
	if o.Err != nil {
		return
	}
	first, known := p.first[o.Transfer.ID]
	if known != o.Replayed {
		p.t.Errorf("%s: replayed is %t, but the id was returned before: %t", s.place, o.Replayed, known)
	}
	if !known {
		first = o.Transfer
		p.first[o.Transfer.ID] = first
	}
	recorded, err := p.l.GetTransfer(context.Background(), o.Transfer.ID)
	if err != nil {
		p.t.Fatalf("%s: read the transfer: %v", s.place, err)
	}
	if k := o.Transfer.Kind(); k == ledger.KindHold || k == ledger.KindScheduled {
		first = o.Transfer // a replay returns it as it is now
	}
	if a, b, c := transferText(&first), transferText(&o.Transfer), transferText(&recorded); a != b || a != c {
		p.t.Errorf("%s: first returned\n%s\nnow returned\n%s\nrecorded\n%s", s.place, a, b, c)
	}
}

func (p *posting) entries(s *step) {
	all, _, err := p.l.ListEntries(context.Background(),
		postgres.EntryFilter{AccountID: p.id(s.words[1]), OldestFirst: true}, paging.Page{Size: 1000})
	if err != nil {
		p.t.Fatalf("%s: list the entries: %v", s.place, err)
	}
	got := s.words[:2:2]
	for i := range all {
		got = append(got, fmt.Sprintf("%d:%s=%s", all[i].Sequence, all[i].Amount, all[i].Balance))
	}
	if got, want := strings.Join(got, " "), strings.Join(s.words, " "); got != want {
		p.t.Errorf("%s: got %q, want %q", s.place, got, want)
	}
}

func (p *posting) unrecorded(s *step) {
	for _, name := range s.words[1:] {
		var missing *ledger.NotFoundError
		if got, err := p.l.GetTransfer(context.Background(), p.id(name)); !errors.As(err, &missing) {
			p.t.Errorf("%s: transfer %s is there: %+v, %v", s.place, name, got, err)
		}
	}
}

// errorText is an error as the tables write it.
func errorText(err error) string {
	var conflict *ledger.ConflictError
	var invalid *ledger.InvalidError
	var state *ledger.StateError
	var version *ledger.VersionError
	var missing *ledger.NotFoundError
	var refused *ledger.RefusedError
	switch {
	case errors.As(err, &refused):
		return "refused " + string(refused.Reason)
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &invalid):
		return "invalid " + invalid.Field
	case errors.As(err, &state):
		return "refused " + state.Reason
	case errors.As(err, &version):
		return "version"
	case errors.As(err, &missing):
		return "missing"
	case err != nil:
		return err.Error()
	}
	return "ok"
}

// outcomeText is an outcome as the tables write it.
func outcomeText(o ledger.Outcome) string {
	if o.Err != nil {
		return errorText(o.Err)
	}
	text := "ok"
	if o.Transfer.Status == ledger.TransferInit {
		text = "init"
	} else if o.Transfer.Status != ledger.TransferSuccess || o.Transfer.Reason != "" {
		text = string(o.Transfer.Reason)
	}
	if o.Replayed {
		text = "replay " + text
	}
	text = fmt.Sprintf("%s %s %s", text, nullAmountText(o.Transfer.FromBalance), nullAmountText(o.Transfer.ToBalance))
	if d := o.Transfer.Detail; d != nil && d.Refusal["allowed"] != "" {
		text += fmt.Sprintf(" %s/%s", d.Refusal["seen"], d.Refusal["allowed"])
	}
	return text
}

func nullAmountText(d decimal.NullDecimal) string {
	if !d.Valid {
		return "-"
	}
	return d.Decimal.String()
}

// transferText is the text of a transfer, equal for equal transfers.
func transferText(t *ledger.Transfer) string {
	return fmt.Sprintf("%s %s->%s %s %s/%d %s/%s %s %s %q %q %d %d v%d %s", t.ID, t.From, t.To, t.Amount, t.Currency, t.Scale,
		t.Status, t.Reason, nullAmountText(t.FromBalance), nullAmountText(t.ToBalance), t.Reference, t.Metadata,
		t.CreateTime.UnixNano(), t.UpdateTime.UnixNano(), t.Version, detailText(t.Detail))
}
