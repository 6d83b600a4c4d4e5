package ledger

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// TestMayNotIssue: for a caller that must not issue money no command of any kind lets an equity
// account pay, also one that was done before, and nothing is recorded or changed.
func TestMayNotIssue(t *testing.T) {
	t.Parallel()
	equity, account := uuid.UUID{1}, uuid.UUID{2}
	amount := decimal.NewFromInt(5)
	paid := Transfer{ID: uuid.UUID{7}, From: equity, To: account, Amount: amount, Currency: "TST", Status: TransferSuccess, Version: 1}
	received := Transfer{ID: uuid.UUID{8}, From: account, To: equity, Amount: amount, Currency: "TST", Status: TransferSuccess, Version: 1}
	hold := Transfer{
		ID: uuid.UUID{9}, From: equity, To: account, Amount: amount, Currency: "TST", Status: TransferInit, Version: 1,
		Detail: &TransferDetail{Kind: KindHold, Open: decimal.NewNullDecimal(amount)},
	}
	move := TransferParams{From: equity, To: account, Amount: amount, NoIssue: true}
	with := func(o TransferOptions) TransferParams {
		p := move
		p.Options = &o
		return p
	}
	repeated := move
	repeated.ID = paid.ID
	command := func(c Command, err error) Command {
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	aimed := func(c Command, at *Transfer) Command {
		c.Aim(at)
		return c
	}
	for name, commands := range map[string][]Command{
		"transfer":  {command(NewCommand(move))},
		"replay":    {command(NewCommand(repeated))},
		"hold":      {command(NewCommand(with(TransferOptions{Hold: true})))},
		"sweep":     {command(NewCommand(with(TransferOptions{UpTo: true})))},
		"post":      {aimed(command(NewPost(PostParams{HoldID: hold.ID, NoIssue: true})), &hold)},
		"reversal":  {aimed(command(NewReverse(ReverseParams{TransferID: received.ID, NoIssue: true})), &received)},
		"forced":    {aimed(command(NewReverse(ReverseParams{TransferID: received.ID, Force: true, NoIssue: true})), &received)},
		"group":     grouped(command(NewCommand(TransferParams{From: account, To: equity, Amount: amount, NoIssue: true})), command(NewCommand(move))),
		"in a list": {command(NewCommand(move)), command(NewCommand(move))},
	} {
		d := Decide(commands, &Snapshot{
			Accounts: map[uuid.UUID]*AccountState{
				equity: {Currency: Currency{Code: "TST"}, Status: AccountOpen},
				account: {
					Currency: Currency{Code: "TST"}, Status: AccountOpen, Balance: decimal.NewFromInt(100),
					Floor: decimal.NewNullDecimal(decimal.Zero),
				},
			},
			Stored: []StoredTransfer{{Transfer: paid}, {Transfer: received}, {Transfer: hold}},
		})
		for i := range d.Outcomes {
			if !errors.Is(d.Outcomes[i].Err, ErrMayNotIssue) {
				t.Errorf("%s: the outcome of command %d is %+v", name, i, d.Outcomes[i])
			}
		}
		if len(d.Recorded) > 0 || len(d.Changes) > 0 || !d.Accounts[account].Balance.Equal(decimal.NewFromInt(100)) {
			t.Errorf("%s: something was recorded or changed", name)
		}
	}
}

// grouped makes commands an atomic group.
func grouped(commands ...Command) []Command {
	for i := range commands {
		commands[i].Group, commands[i].GroupID, commands[i].GroupMade = 1, uuid.UUID{3}, true
	}
	return commands
}
