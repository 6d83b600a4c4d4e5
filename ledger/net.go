package ledger

import (
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// A fold is what a batch does to one account.
type fold struct {
	delta  decimal.Decimal
	debits decimal.Decimal // what must be there for it
	moves  int64
}

type folded map[uuid.UUID]*fold

// foldAll answers what plain commands would do together if each succeeded, with the worst case as debits.
func foldAll(commands []command) folded {
	f := make(folded, 2*len(commands))
	for i := range commands {
		c := &commands[i]
		from, to := f.at(c.From), f.at(c.To)
		from.delta = from.delta.Sub(c.Amount)
		from.debits = from.debits.Add(c.Amount)
		from.moves++
		to.delta = to.delta.Add(c.Amount)
		to.moves++
	}
	return f
}

func (f folded) at(id uuid.UUID) *fold {
	a := f[id]
	if a == nil {
		a = &fold{}
		f[id] = a
	}
	return a
}
