package ledger

import (
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// A NetChange is what a batch does to one account.
type NetChange struct {
	Delta  decimal.Decimal
	Debits decimal.Decimal // what must be there for it
	Moves  int64
}

type NetChanges map[uuid.UUID]*NetChange

// NetOf returns what plain commands would do together if each succeeded, with the worst case as
// debits.
func NetOf(commands []Command) NetChanges {
	f := make(NetChanges, 2*len(commands))
	for i := range commands {
		c := &commands[i]
		from, to := f.At(c.From), f.At(c.To)
		from.Delta = from.Delta.Sub(c.Amount)
		from.Debits = from.Debits.Add(c.Amount)
		from.Moves++
		to.Delta = to.Delta.Add(c.Amount)
		to.Moves++
	}
	return f
}

func (f NetChanges) At(id uuid.UUID) *NetChange {
	a := f[id]
	if a == nil {
		a = &NetChange{}
		f[id] = a
	}
	return a
}
