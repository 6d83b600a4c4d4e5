package ledger

import (
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// naiveIDs are the accounts of FuzzDecide; the last does not exist.
var naiveIDs = []uuid.UUID{{1}, {2}, {3}, {4}}

// A naive executes commands on whole numbers, one after another.
type naive struct {
	balances, floors, entries [3]int64
	frozen                    [3]bool
	commands                  []Command
	answers                   []naiveAnswer
	decided                   map[uuid.UUID]int // the command that was decided under an id
}

// A naiveAnswer is what becomes of a command.
type naiveAnswer struct {
	reason             ErrorReason
	replayed, conflict bool
}

// newNaive reads three accounts and then commands, three bytes each. A group has distinct ids, as
// TransferBatch sees to.
func newNaive(data []byte) *naive {
	n := &naive{decided: map[uuid.UUID]int{}}
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	for i := range n.balances {
		b := next()
		n.balances[i] = int64(b % 32)
		n.floors[i] = -int64(b >> 5 & 3)
		n.frozen[i] = b == 255
	}
	group := 0
	inGroup := map[uuid.UUID]bool{}
	for len(data) > 2 {
		route, amount, id := next(), next(), next()
		from := route % 4
		c := Command{TransferParams: TransferParams{
			ID: uuid.UUID{15: byte(id % 16)}, From: naiveIDs[from], To: naiveIDs[(from+1+route/4%3)%4],
			Amount: decimal.NewFromInt(int64(1 + amount%20)),
		}}
		if id&0x40 != 0 {
			if id&0x20 != 0 || inGroup[c.ID] || len(inGroup) == 0 {
				group++
				clear(inGroup)
			}
			inGroup[c.ID] = true
			c.Group, c.GroupID, c.GroupMade = group, uuid.UUID{0: 9, 15: byte(group), 14: byte(group >> 8)}, true
		} else {
			clear(inGroup)
		}
		n.commands = append(n.commands, c)
	}
	n.answers = make([]naiveAnswer, len(n.commands))
	return n
}

func (n *naive) states() map[uuid.UUID]*AccountState {
	states := map[uuid.UUID]*AccountState{}
	for i := range n.balances {
		balance := decimal.NewFromInt(n.balances[i])
		states[naiveIDs[i]] = &AccountState{
			Currency: Currency{Code: "TST"}, Status: AccountOpen, Balance: balance,
			Floor: decimal.NewNullDecimal(decimal.NewFromInt(n.floors[i])),
		}
		if n.frozen[i] {
			states[naiveIDs[i]].Status = AccountFrozen
		}
	}
	return states
}

func (n *naive) execute() {
	for i := 0; i < len(n.commands); {
		end := i + 1
		for n.commands[i].Group != 0 && end < len(n.commands) && n.commands[end].Group == n.commands[i].Group {
			end++
		}
		n.group(i, end)
		i = end
	}
}

// group executes commands all or none; one alone is a group of one.
func (n *naive) group(begin, end int) {
	known, same, earlier := 0, true, 0
	for i := begin; i < end; i++ {
		if j, ok := n.decided[n.commands[i].ID]; ok {
			a, b := n.commands[i], n.commands[j]
			if known++; known == 1 {
				earlier = b.Group
			}
			same = same && a.From == b.From && a.To == b.To && a.Amount.Equal(b.Amount) &&
				(a.Group == 0 || (b.Group != 0 && b.Group == earlier && n.size(b.Group) == end-begin))
		}
	}
	if known > 0 {
		for i := begin; i < end; i++ {
			if same && known == end-begin {
				n.answers[i] = naiveAnswer{reason: n.answers[n.decided[n.commands[i].ID]].reason, replayed: true}
			} else {
				n.answers[i] = naiveAnswer{conflict: true}
			}
		}
		return
	}
	balances, entries := n.balances, n.entries
	failed := -1
	for i := begin; i < end && failed < 0; i++ {
		if n.answers[i].reason = n.move(&n.commands[i]); n.answers[i].reason != "" {
			failed = i
		}
	}
	for i := begin; i < end; i++ {
		n.decided[n.commands[i].ID] = i
		if failed >= 0 && i != failed {
			n.answers[i].reason = GroupFailed
		}
	}
	if failed >= 0 {
		n.balances, n.entries = balances, entries
	}
}

// size is how many commands a group has.
func (n *naive) size(group int) (size int) {
	for i := range n.commands {
		if n.commands[i].Group == group {
			size++
		}
	}
	return size
}

func (n *naive) move(c *Command) ErrorReason {
	from, to := int(c.From[0])-1, int(c.To[0])-1
	amount := c.Amount.IntPart()
	switch {
	case from == 3:
		return FromAccountNotFound
	case to == 3:
		return ToAccountNotFound
	case n.frozen[from] || n.frozen[to]:
		return ReasonAccountFrozen
	case n.balances[from]-amount < n.floors[from]:
		return InsufficientFunds
	}
	n.balances[from] -= amount
	n.balances[to] += amount
	n.entries[from]++
	n.entries[to]++
	return ""
}
