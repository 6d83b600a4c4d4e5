package ledgertest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

// A mirror is a ledger rebuilt from its events alone.
type mirror struct {
	accounts  map[uuid.UUID]*mirrored
	transfers map[uuid.UUID]*ledger.Transfer
	position  int64
	errors    []string
}

type mirrored struct {
	ledger.Account
	known                   bool // its opening was heard of
	balance, held, incoming decimal.Decimal
}

func newMirror() *mirror {
	return &mirror{accounts: make(map[uuid.UUID]*mirrored), transfers: make(map[uuid.UUID]*ledger.Transfer)}
}

func (m *mirror) complain(format string, args ...any) {
	if len(m.errors) < 10 {
		m.errors = append(m.errors, fmt.Sprintf(format, args...))
	}
}

func (m *mirror) account(id uuid.UUID) *mirrored {
	if m.accounts[id] == nil {
		m.accounts[id] = &mirrored{}
	}
	return m.accounts[id]
}

// hear takes the next event, which must go on from those before.
func (m *mirror) hear(e *events.Event) {
	if e.Position <= m.position {
		m.complain("position %d after %d", e.Position, m.position)
	}
	m.position = e.Position
	switch e.Type {
	case events.AccountCreated:
		a := m.account(e.Account.ID)
		if a.known || !a.balance.IsZero() || !e.Account.Balance.IsZero() {
			m.complain("%d: account %s is opened with %s, having %s", e.Position, e.Account.ID, e.Account.Balance, a.balance)
		}
		a.Account, a.known = *e.Account, true
	case events.AccountChanged:
		a := m.account(e.Account.ID)
		if !e.Account.Balance.Equal(a.balance) || !e.Account.Held.Equal(a.held) || !e.Account.Incoming.Equal(a.incoming) {
			m.complain("%d: account %s changes at %s, %s held, %s incoming; heard of %s, %s, %s", e.Position, e.Account.ID,
				e.Account.Balance, e.Account.Held, e.Account.Incoming, a.balance, a.held, a.incoming)
		}
		a.Account, a.known = *e.Account, true
	case events.TransferCreated:
		if m.transfers[e.Transfer.ID] != nil {
			m.complain("%d: transfer %s is made again", e.Position, e.Transfer.ID)
		}
		m.transfers[e.Transfer.ID] = e.Transfer
		m.made(e)
	case events.TransferChanged:
		before := m.transfers[e.Transfer.ID]
		if before == nil {
			m.complain("%d: transfer %s changes before it is made", e.Position, e.Transfer.ID)
			return
		}
		m.transfers[e.Transfer.ID] = e.Transfer
		m.reserve(e.Transfer, open(e.Transfer).Sub(open(before)))
		if before.Status == ledger.TransferInit && e.Transfer.Version != before.Version+1 {
			m.complain("%d: transfer %s has version %d after %d", e.Position, e.Transfer.ID, e.Transfer.Version, before.Version)
		}
		if before.Status != ledger.TransferInit && before.Status != e.Transfer.Status {
			m.complain("%d: transfer %s was %s and becomes %s", e.Position, e.Transfer.ID, before.Status, e.Transfer.Status)
		}
	default:
		m.complain("%d: type %q", e.Position, e.Type)
	}
}

// made takes a new transfer.
func (m *mirror) made(e *events.Event) {
	t := e.Transfer
	from, to := m.account(t.From), m.account(t.To)
	switch t.Status {
	case ledger.TransferInit:
		m.reserve(t, open(t))
	case ledger.TransferSuccess:
		from.balance, to.balance = from.balance.Sub(t.Amount), to.balance.Add(t.Amount)
	default: // refused, it does nothing
	}
	for _, side := range []struct {
		id      uuid.UUID
		balance decimal.Decimal
		told    decimal.NullDecimal
	}{{t.From, from.balance, t.FromBalance}, {t.To, to.balance, t.ToBalance}} {
		if side.told.Valid && !side.told.Decimal.Equal(side.balance) {
			m.complain("%d: %s %s of %s leaves account %s with %s; heard of %s", e.Position, t.Status, t.Kind(), t.Amount, side.id,
				side.told.Decimal, side.balance)
		}
	}
}

func (m *mirror) reserve(t *ledger.Transfer, amount decimal.Decimal) {
	from, to := m.account(t.From), m.account(t.To)
	from.held, to.incoming = from.held.Add(amount), to.incoming.Add(amount)
}

// open is what a hold reserves.
func open(t *ledger.Transfer) decimal.Decimal {
	if t.Detail == nil {
		return decimal.Zero
	}
	return t.Detail.Open.Decimal
}

// RequireRetold fails the test when the ledger cannot be rebuilt from its events, which are all
// there.
func RequireRetold(t testing.TB, l *postgres.Ledger) {
	t.Helper()
	ctx := context.Background()
	m := newMirror()
	for after, more := int64(0), true; more; {
		var events []*events.Event
		var err error
		if events, after, more, err = l.Events.Read(ctx, after, 1000); err != nil {
			t.Fatalf("read events: %v", err)
		}
		for _, e := range events {
			m.hear(e)
		}
	}
	for token, first := "", true; first || token != ""; first = false {
		transfers, next, err := l.ListTransfers(ctx, postgres.TransferFilter{}, paging.Page{Size: 1000, Token: token})
		if err != nil {
			t.Fatalf("list transfers: %v", err)
		}
		for i := range transfers {
			heard := expiredBy(m.transfers[transfers[i].ID], &transfers[i])
			delete(m.transfers, transfers[i].ID)
			if heard == nil {
				m.complain("no event tells of transfer %s", transfers[i].ID)
			} else if is, was := Spell(&transfers[i]), Spell(heard); is != was {
				m.complain("transfer %s is %s; heard of %s", transfers[i].ID, is, was)
			}
		}
		token = next
	}
	if len(m.transfers) > 0 {
		m.complain("events tell of %d transfers that are not there", len(m.transfers))
	}
	for token, first := "", true; first || token != ""; first = false {
		accounts, next, err := l.ListAccounts(ctx, postgres.AccountFilter{}, paging.Page{Size: 1000, Token: token})
		if err != nil {
			t.Fatalf("list accounts: %v", err)
		}
		for i := range accounts {
			a, heard := &accounts[i], m.account(accounts[i].ID)
			if !a.Balance.Equal(heard.balance) {
				m.complain("account %s has %s; heard of %s", a.ID, a.Balance, heard.balance)
			}
			if heard.known && (a.Status != heard.Status || a.DisplayName != heard.DisplayName || a.MinBalance.Decimal.Cmp(heard.MinBalance.Decimal) != 0) {
				m.complain("account %s is %s %q from %s; heard of %s %q from %s", a.ID, a.Status, a.DisplayName, a.MinBalance.Decimal,
					heard.Status, heard.DisplayName, heard.MinBalance.Decimal)
			}
		}
		token = next
	}
	for _, complaint := range m.errors {
		t.Errorf("events: %s", complaint)
	}
}

// expiredBy is the transfer of an event as reads show it: a hold that has expired reserves nothing,
// which no event says until it is ended.
func expiredBy(heard, shown *ledger.Transfer) *ledger.Transfer {
	if heard == nil || shown.Status != ledger.TransferInit || shown.Kind() != ledger.KindHold || !open(shown).IsZero() {
		return heard
	}
	expired, detail := *heard, *heard.Detail
	detail.Open.Decimal = decimal.Zero
	expired.Detail = &detail
	return &expired
}

// Spell writes down what changes of a transfer.
func Spell(t *ledger.Transfer) string {
	text := fmt.Sprintf("%s %s v%d at %s/%s %s", t.Status, t.Reason, t.Version, t.FromBalance.Decimal, t.ToBalance.Decimal,
		t.UpdateTime.Format("15:04:05.000000"))
	if d := t.Detail; d != nil {
		text += fmt.Sprintf(" %s open %s %v posted %s reversed %s %v", d.Kind, d.Open.Decimal, d.Open.Valid, d.Posted.Decimal,
			d.Reversed.Decimal, d.Refusal)
	}
	return text
}
