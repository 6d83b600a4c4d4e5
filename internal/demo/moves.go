package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/ledger"
)

const (
	// remembered bounds the holds and the purchases that are kept in mind.
	remembered = 200
	// payday is the number of moves between salaries, a minute or so.
	payday = 200
	// holdTTL is how long a checkout waits for its parcel; then the money is free again.
	holdTTL = 3 * time.Minute
)

// moves are the kinds of moves, and how often each comes in 1,000 moves.
var moves = []struct {
	weight int
	make   func(*Economy, context.Context) error
}{
	{450, (*Economy).buy},
	{130, (*Economy).giveFriend},
	{110, (*Economy).checkOut},
	{100, (*Economy).ship},
	{45, (*Economy).refund},
	{45, (*Economy).changeMoney},
	{40, (*Economy).supply},
	{30, (*Economy).payLater},
	{30, (*Economy).spendTooMuch},
	{20, (*Economy).tryForbidden},
}

// Step makes one move. A refused transfer is part of the demo, not an error.
func (e *Economy) Step(ctx context.Context) error {
	e.steps++
	if e.steps%payday == 0 {
		return e.paySalaries(ctx)
	}
	chance := e.random.IntN(1000)
	for _, m := range moves {
		if chance -= m.weight; chance < 0 {
			return m.make(e, ctx)
		}
	}
	return nil
}

// transfer makes a transfer and returns it, whether or not it was refused.
func (e *Economy) transfer(ctx context.Context, p ledger.TransferParams) (ledger.Transfer, error) {
	made, _, err := e.ledger.Transfer(ctx, p)
	return made, err
}

func (e *Economy) person() string { return people[e.random.IntN(len(people))] }

// amount returns an amount from least to most cents; small ones are more likely.
func (e *Economy) amount(least, most int64) decimal.Decimal {
	x := e.random.Float64()
	return decimal.New(least+int64(x*x*float64(most-least)), -2)
}

// purchase makes up a purchase.
func (e *Economy) purchase() ledger.TransferParams {
	s := &shops[e.random.IntN(len(shops))]
	return ledger.TransferParams{
		From: e.account(e.person()), To: e.account(s.name), Amount: e.amount(s.least, s.most),
		Reference: fmt.Sprintf("receipt-%06d", e.random.IntN(1_000_000)), Metadata: map[string]string{"item": s.sells},
	}
}

// buy has a person buy something in a shop, the teenager now and then.
func (e *Economy) buy(ctx context.Context) error {
	p := e.purchase()
	if e.random.IntN(25) == 0 {
		p.From = e.account(teenager)
	}
	made, err := e.transfer(ctx, p)
	if err == nil && made.Status == ledger.TransferSuccess {
		e.purchases = remember(e.purchases, made.ID)
	}
	return err
}

// remember appends, and forgets the oldest when there are too many.
func remember(ids []uuid.UUID, id uuid.UUID) []uuid.UUID {
	if len(ids) == remembered {
		ids = ids[1:]
	}
	return append(ids, id)
}

// giveFriend has a person pay a friend back.
func (e *Economy) giveFriend(ctx context.Context) error {
	i := e.random.IntN(len(people))
	friend := people[(i+1+e.random.IntN(5))%len(people)]
	why := []string{"lunch", "cinema", "birthday gift", "taxi", "concert", "groceries"}[e.random.IntN(6)]
	_, err := e.transfer(ctx, ledger.TransferParams{
		From: e.account(people[i]), To: e.account(friend), Amount: e.amount(300, 4500), Reference: why,
	})
	return err
}

// checkOut has a person order on the marketplace: the money is held until the parcel is shipped.
func (e *Economy) checkOut(ctx context.Context) error {
	made, err := e.transfer(ctx, ledger.TransferParams{
		From: e.account(e.person()), To: e.account(sellers[e.random.IntN(len(sellers))]), Amount: e.amount(1200, 18000),
		Reference: fmt.Sprintf("order-%06d", e.random.IntN(1_000_000)), Options: &ledger.TransferOptions{Hold: true, HoldTTL: holdTTL},
	})
	if err == nil && made.Status == ledger.TransferInit {
		e.holds = remember(e.holds, made.ID)
	}
	return err
}

// ship captures the oldest order, now and then without what was out of stock, or cancels it. Orders
// that are never shipped expire.
func (e *Economy) ship(ctx context.Context) error {
	if len(e.holds) == 0 {
		return e.checkOut(ctx)
	}
	id := e.holds[0]
	e.holds = e.holds[1:]
	switch e.random.IntN(10) {
	case 0:
		return nil // forgotten in the warehouse
	case 1:
		_, _, err := e.ledger.Void(ctx, id, false)
		return settled(err)
	case 2, 3:
		hold, err := e.ledger.GetTransfer(ctx, id)
		if err != nil {
			return err
		}
		part := decimal.NewNullDecimal(hold.Amount.Mul(decimal.New(int64(40+e.random.IntN(50)), -2)).Truncate(hold.Scale))
		_, _, _, err = e.ledger.Post(ctx, ledger.PostParams{HoldID: id, Amount: part, Final: true})
		return settled(err)
	default:
		_, _, _, err := e.ledger.Post(ctx, ledger.PostParams{HoldID: id})
		return settled(err)
	}
}

// settled drops the error of a hold that has ended meanwhile.
func settled(err error) error {
	if _, ended := errors.AsType[*ledger.StateError](err); ended {
		return nil
	}
	return err
}

// refund gives money back for a purchase, in full or half of it.
func (e *Economy) refund(ctx context.Context) error {
	if len(e.purchases) == 0 {
		return e.buy(ctx)
	}
	i := e.random.IntN(len(e.purchases))
	p := ledger.ReverseParams{TransferID: e.purchases[i], Reference: "refund"}
	e.purchases = append(e.purchases[:i], e.purchases[i+1:]...)
	if e.random.IntN(3) == 0 {
		bought, err := e.ledger.GetTransfer(ctx, p.TransferID)
		if err != nil {
			return err
		}
		p.Amount = decimal.NewNullDecimal(bought.Amount.Mul(decimal.New(5, -1)).RoundUp(bought.Scale))
	}
	_, _, _, err := e.ledger.Reverse(ctx, p)
	return err
}

// changeMoney has a person change USD to EUR or back: two transfers, both or none.
func (e *Economy) changeMoney(ctx context.Context) error {
	name := people[e.random.IntN(wallets)]
	paid := e.amount(1000, 12000)
	rate := decimal.New(int64(9000+e.random.IntN(400)), -4) // EUR for a USD
	from, to, got := " USD", " EUR", paid.Mul(rate)
	payer, payee := name, name+" EUR"
	if e.random.IntN(2) == 0 {
		from, to, got = " EUR", " USD", paid.DivRound(rate, 8)
		payer, payee = name+" EUR", name
	}
	reference := "at " + rate.String() + " EUR/USD"
	_, err := e.ledger.TransferBatch(ctx, []ledger.TransferParams{
		{From: e.account(payer), To: e.account(exchange + from), Amount: paid, Reference: reference},
		{From: e.account(exchange + to), To: e.account(payee), Amount: got.Truncate(2), Reference: reference},
	}, ledger.BatchOptions{Atomic: true})
	return err
}

// supply has a business pay its supplier, up to what it has, which is how the money comes back to
// the employer.
func (e *Economy) supply(ctx context.Context) error {
	payers := append([]string{landlord, streaming, gym}, sellers...)
	for i := range shops {
		payers = append(payers, shops[i].name)
	}
	_, err := e.transfer(ctx, ledger.TransferParams{
		From: e.account(payers[e.random.IntN(len(payers))]), To: e.account(employer), Amount: e.amount(50_000, 300_000),
		Reference: "supplier invoice", Options: &ledger.TransferOptions{UpTo: true},
	})
	return err
}

// payLater has a person schedule a bill.
func (e *Economy) payLater(ctx context.Context) error {
	_, err := e.transfer(ctx, ledger.TransferParams{
		From: e.account(e.person()), To: e.account(landlord), Amount: e.amount(2000, 9000), Reference: "utilities",
		Options: &ledger.TransferOptions{ExecuteTime: time.Now().Add(time.Duration(15+e.random.IntN(90)) * time.Second)},
	})
	if _, past := errors.AsType[*ledger.InvalidError](err); past {
		return nil // the database's clock is ahead
	}
	return err
}

// spendTooMuch has a person try to buy what is beyond their means.
func (e *Economy) spendTooMuch(ctx context.Context) error {
	_, err := e.transfer(ctx, ledger.TransferParams{
		From: e.account(e.person()), To: e.account("Volt Electronics"), Amount: e.amount(450_000, 1_200_000),
		Reference: "pre-order", Metadata: map[string]string{"item": "electric car"},
	})
	return err
}

// tryForbidden has a person try what a status, a block or a limit forbids.
func (e *Economy) tryForbidden(ctx context.Context) error {
	p := ledger.TransferParams{From: e.account(suspect), To: e.account(e.person()), Amount: e.amount(10_000, 90_000), Reference: "quick loan"}
	switch e.random.IntN(3) {
	case 0:
		p.From, p.Reference = e.account(audited), "advance"
	case 1:
		p.From, p.To, p.Reference = e.account(teenager), e.account("Volt Electronics"), "game console"
	}
	_, err := e.transfer(ctx, p)
	return err
}

// paySalaries pays all employees, all or none.
func (e *Economy) paySalaries(ctx context.Context) error {
	salaries := make([]ledger.TransferParams, 0, len(people))
	for i, name := range people {
		salaries = append(salaries, ledger.TransferParams{
			From: e.account(employer), To: e.account(name), Amount: decimal.New(int64(9000+700*(i%9)), -2), Reference: "salary",
		})
	}
	_, err := e.ledger.TransferBatch(ctx, salaries, ledger.BatchOptions{Atomic: true})
	return err
}
