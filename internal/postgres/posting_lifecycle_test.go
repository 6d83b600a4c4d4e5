package postgres_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"internaltransfers/ledger"
)

// The steps of TestPosting for the whole life of a transfer:
//
//	clock DURATION                     time passes
//	post c1 of t1 [AMOUNT] [final] [ref=TEXT] : OUTCOME       "-" for c1: without an id
//	reverse r1 of t1 [AMOUNT] [force] [ref=TEXT] : OUTCOME    likewise
//	void t1 : OUTCOME
//	settle t1 : OUTCOME                what a worker does
//	held A HELD INCOMING AVAILABLE
//	status t1 STATUS [REASON] [posted=P] [open=O] [reversed=R] [vN]
//	A FIELD VALUE …                    FIELD is ceiling, cap, limits WINDOW:AMOUNT:COUNT …,
//	                                   debits or credits REASON [DURATION]; value "-": none
//
// The options of a transfer are hold, ttl=, expire=, execute= and effective= (durations from now),
// upto[=FLOOR], floor= (without upto), v-from=, v-to=, from>= from<= to>= to<= (as "from-min=" and
// so on) and dry.
func (p *posting) lifecycle(s *step) {
	p.t.Helper()
	switch s.words[0] {
	case "clock":
		p.clock.Step(p.duration(s, s.words[1]))
	case "post", "reverse":
		p.child(s)
	case "void":
		t, replayed, err := p.l.Void(context.Background(), p.id(s.words[1]), false)
		p.require(s, outcomeText(ledger.Outcome{Transfer: t, Replayed: replayed, Err: err}))
	case "settle":
		p.require(s, outcomeText(p.l.Settle(context.Background(), p.id(s.words[1]))))
	case "held":
		a, err := p.l.GetAccount(context.Background(), p.id(s.words[1]))
		if err != nil {
			p.t.Fatalf("%s: %v", s.place, err)
		}
		got := fmt.Sprintf("held %s %s %s %s", s.words[1], a.Held, a.Incoming, a.Available())
		if want := strings.Join(s.words, " "); got != want {
			p.t.Errorf("%s: got %q, want %q", s.place, got, want)
		}
	case "status":
		p.status(s)
	}
}

func (p *posting) duration(s *step, text string) time.Duration {
	p.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatalf("%s: %v", s.place, err)
	}
	return d
}

// child captures or reverses a transfer.
func (p *posting) child(s *step) {
	p.t.Helper()
	post := ledger.PostParams{HoldID: p.id(s.words[3])}
	if s.words[1] != "-" {
		post.ID = p.id(s.words[1])
	}
	force := false
	for _, option := range s.words[4:] {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "final":
			post.Final = true
		case "force":
			force = true
		case "ref":
			post.Reference = value
		default:
			post.Amount = decimal.NewNullDecimal(decimal.RequireFromString(option))
		}
	}
	var o ledger.Outcome
	if s.words[0] == "post" {
		o.Transfer, _, o.Replayed, o.Err = p.l.Post(context.Background(), post)
	} else {
		o.Transfer, _, o.Replayed, o.Err = p.l.Reverse(context.Background(), ledger.ReverseParams{
			TransferID: post.HoldID, ID: post.ID, Amount: post.Amount, Force: force, Reference: post.Reference,
		})
	}
	p.outcome(s, o)
}

// status compares what GetTransfer reads.
func (p *posting) status(s *step) {
	p.t.Helper()
	t, err := p.l.GetTransfer(context.Background(), p.id(s.words[1]))
	if err != nil {
		p.t.Fatalf("%s: %v", s.place, err)
	}
	got := []string{"status", s.words[1], string(t.Status)}
	if t.Reason != "" {
		got = append(got, string(t.Reason))
	}
	if d := t.Detail; d != nil {
		for _, a := range [...]struct {
			name   string
			amount decimal.NullDecimal
		}{{"posted", d.Posted}, {"open", d.Open}, {"reversed", d.Reversed}} {
			if a.amount.Valid {
				got = append(got, a.name+"="+a.amount.Decimal.String())
			}
		}
	}
	got = append(got, "v"+strconv.FormatInt(t.Version, 10))
	if got, want := strings.Join(got, " "), strings.Join(s.words, " "); got != want {
		p.t.Errorf("%s: got %q, want %q", s.place, got, want)
	}
}

// policy reads a change of an account's ceiling or policy.
func (p *posting) policy(s *step, change *ledger.AccountChange) {
	p.t.Helper()
	none := s.words[2] == "-"
	amount := func() *decimal.NullDecimal {
		if none {
			return &decimal.NullDecimal{}
		}
		return new(decimal.NewNullDecimal(decimal.RequireFromString(s.words[2])))
	}
	block := func() *ledger.OptionalBlock {
		if none {
			return &ledger.OptionalBlock{}
		}
		b := &ledger.Block{Reason: s.words[2]}
		if len(s.words) > 3 {
			b.End = new(p.clock.Now().Add(p.duration(s, s.words[3])))
		}
		return &ledger.OptionalBlock{Block: b}
	}
	switch s.words[1] {
	case "ceiling":
		change.MaxBalance = amount()
	case "cap":
		change.MaxTransfer = amount()
	case "debits":
		change.DebitBlock = block()
	case "credits":
		change.CreditBlock = block()
	case "limits":
		change.Limits = &[]ledger.Limit{}
		for _, word := range s.words[2:] {
			if part := strings.Split(word, ":"); !none {
				limit := ledger.Limit{Window: p.duration(s, part[0])}
				if part[1] != "" {
					limit.MaxAmount = new(decimal.RequireFromString(part[1]))
				}
				if part[2] != "" {
					limit.MaxCount = new(decimal.RequireFromString(part[2]).IntPart())
				}
				*change.Limits = append(*change.Limits, limit)
			}
		}
	default:
		p.t.Fatalf("%s: unknown field %s", s.place, s.words[1])
	}
}

// option reads an option of a transfer that is not plain.
func (p *posting) option(s *step, params *ledger.TransferParams, key, value string) {
	p.t.Helper()
	if params.Options == nil {
		params.Options = &ledger.TransferOptions{}
	}
	o := params.Options
	version := func() *int64 { return new(decimal.RequireFromString(value).IntPart()) }
	amount := func() decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(value)) }
	at := func() time.Time { return p.clock.Now().Add(p.duration(s, value)) }
	switch key {
	case "hold":
		o.Hold = true
	case "ttl":
		o.HoldTTL = p.duration(s, value)
	case "expire":
		o.ExpireTime = at()
	case "execute":
		o.ExecuteTime = at()
	case "effective":
		o.EffectiveTime = at()
	case "upto":
		o.UpTo = true
		if value != "" {
			o.UpToFloor = amount()
		}
	case "floor":
		o.UpToFloor = amount()
	case "v-from":
		o.FromVersion = version()
	case "v-to":
		o.ToVersion = version()
	case "from-min":
		o.FromAtLeast = amount()
	case "from-max":
		o.FromAtMost = amount()
	case "to-min":
		o.ToAtLeast = amount()
	case "to-max":
		o.ToAtMost = amount()
	default:
		p.t.Fatalf("%s: unknown option %s", s.place, key)
	}
}

// detailText is the text of a detail, equal for equal details.
func detailText(d *ledger.TransferDetail) string {
	if d == nil {
		return ""
	}
	text := fmt.Sprintf("%s of %s in %s open %s posted %s reversed %s asked %s down to %s %v", d.Kind, d.ParentID, d.GroupID,
		nullAmountText(d.Open), nullAmountText(d.Posted), nullAmountText(d.Reversed), nullAmountText(d.Requested),
		nullAmountText(d.Floor), d.Refusal)
	for _, t := range [...]*time.Time{d.DueTime, d.EffectiveTime} {
		if t != nil {
			text += " " + t.UTC().Format(time.RFC3339Nano)
		}
	}
	return text
}
