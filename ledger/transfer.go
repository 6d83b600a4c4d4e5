package ledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
)

// batchTransfersMax is how many transfers one call of TransferBatch takes.
const batchTransfersMax = 10_000

// Transfer moves money, and answers after the commit. A transfer that the ledger refuses is no error: it is recorded,
// and answered with status FAILED and its reason. A transfer that was decided before under the id is answered again,
// replayed; when its fields were others, the error is a ConflictError. An InvalidError or OverloadedError means that
// nothing was recorded. After ErrUnavailable or the end of ctx the transfer may or may not have happened: ask again with
// the same id, or read it; with the error, t has the id.
func (l *Ledger) Transfer(ctx context.Context, p TransferParams) (t Transfer, replayed bool, err error) {
	c, err := newCommand(p)
	if err != nil {
		return Transfer{ID: c.ID}, false, err
	}
	waiting := &call{ctx: ctx, commands: []command{c}}
	if err := l.batcher.do(waiting); err != nil {
		return Transfer{ID: c.ID}, false, err
	}
	o := &waiting.outcomes[0]
	return o.Transfer, o.Replayed, o.Err
}

// TransferBatch makes up to 10,000 transfers in order and answers their outcomes by index; each is what Transfer would
// have answered. With atomic all happen or none: a refusal makes the others fail as GROUP_FAILED, and anything that is
// no refusal is the error of the whole call, with nothing recorded.
//
// Without atomic, a call of more than Config.BatchMax transfers is applied part by part; when ctx ends or the database
// goes away in between, the outcomes of the later parts carry that error.
func (l *Ledger) TransferBatch(ctx context.Context, ps []TransferParams, atomic bool) ([]Outcome, error) {
	if len(ps) == 0 || len(ps) > batchTransfersMax {
		return nil, &InvalidError{Field: "transfers", Reason: fmt.Sprintf("must be 1 to %d", batchTransfersMax)}
	}
	if atomic {
		return l.transferGroup(ctx, ps)
	}
	outcomes := make([]Outcome, len(ps))
	commands := make([]command, 0, len(ps))
	index := make([]int, 0, len(ps)) // of each command among the outcomes
	for i, p := range ps {
		c, err := newCommand(p)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		commands = append(commands, c)
		index = append(index, i)
	}
	var err error
	for begin := 0; begin < len(commands); {
		end := min(begin+l.config.BatchMax, len(commands))
		part := &call{ctx: ctx, commands: commands[begin:end], admitted: begin > 0}
		if err == nil {
			err = l.batcher.do(part)
		}
		if err != nil && begin == 0 {
			return nil, err
		}
		for i := begin; i < end; i++ {
			if err != nil {
				outcomes[index[i]] = Outcome{Transfer: Transfer{ID: commands[i].ID}, Err: err}
			} else {
				outcomes[index[i]] = part.outcomes[i-begin]
			}
		}
		begin = end
	}
	return outcomes, nil
}

// transferGroup makes transfers of which all happen or none.
func (l *Ledger) transferGroup(ctx context.Context, ps []TransferParams) ([]Outcome, error) {
	commands := make([]command, 0, len(ps))
	seen := make(map[uuid.UUID]struct{}, len(ps))
	for i, p := range ps {
		c, err := newCommand(p)
		if err != nil {
			return nil, inGroup(err, i)
		}
		if _, ok := seen[c.ID]; ok {
			return nil, inGroup(&InvalidError{Field: "transfer_id", Reason: "occurs twice in the group"}, i)
		}
		seen[c.ID] = struct{}{}
		c.group = 1
		commands = append(commands, c)
	}
	group := &call{ctx: ctx, commands: commands}
	if err := l.batcher.do(group); err != nil {
		return nil, err
	}
	for i := range group.outcomes {
		if err := group.outcomes[i].Err; err != nil {
			return nil, err
		}
	}
	return group.outcomes, nil
}

// newCommand checks the parameters and gives them an id.
func newCommand(p TransferParams) (command, error) {
	c := command{TransferParams: p}
	if c.ID == uuid.Nil {
		c.ID, c.made = uuid.Must(uuid.NewV7()), true
	}
	if c.From == c.To {
		return c, &InvalidError{Field: "to_account_id", Reason: "must differ from from_account_id"}
	}
	if err := checkSize("amount", c.Amount); err != nil {
		return c, err
	}
	if !c.Amount.IsPositive() {
		return c, &InvalidError{Field: "amount", Reason: "must be greater than zero"}
	}
	if err := checkText("currency", c.Currency); err != nil {
		return c, err
	}
	if err := checkText("reference", c.Reference); err != nil {
		return c, err
	}
	return c, checkMetadata(c.Metadata)
}

// GetTransfer reads a transfer, a refused one too; the error is a NotFoundError when there is none.
func (l *Ledger) GetTransfer(ctx context.Context, id uuid.UUID) (Transfer, error) {
	t, found, err := l.transferReads.get(ctx, id)
	if err == nil && !found {
		err = &NotFoundError{Kind: "transfer", ID: id}
	}
	return t, err
}

func (l *Ledger) transferOf(ctx context.Context, conn db.DBTX, r *db.Transfer) (Transfer, error) {
	scale, err := l.currencies.scale(ctx, conn, r.Currency)
	if err != nil {
		return Transfer{}, err
	}
	return transferOf(r, scale)
}

// ListTransfers lists transfers, newest first, and answers the token of the next page; empty: this is the last.
func (l *Ledger) ListTransfers(ctx context.Context, f TransferFilter, page Page) ([]Transfer, string, error) {
	limit, err := page.limit()
	if err != nil {
		return nil, "", err
	}
	for _, t := range [...]struct{ field, text string }{{"currency", f.Currency}, {"reference", f.Reference}} {
		if err := checkText(t.field, t.text); err != nil {
			return nil, "", err
		}
	}
	if f.Start, f.End, err = bounds(f.Start, f.End); err != nil {
		return nil, "", err
	}
	before, err := l.tokens.place("transfers", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &place{Time: f.End} // position 0 is before every row of that moment
	}
	rows, err := l.listTransfers(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", readError(ctx, "list transfers", err)
	}
	rows, next := cut(rows, limit, func(last *db.Transfer) string {
		return l.tokens.token("transfers", f, place{Time: last.CreateTime, Position: last.Position})
	})
	transfers := make([]Transfer, 0, len(rows))
	for i := range rows {
		t, err := l.transferOf(ctx, l.readers, &rows[i])
		if err != nil {
			return nil, "", err
		}
		transfers = append(transfers, t)
	}
	return transfers, next, nil
}

// listTransfers reads the rows before a place in the list by the query whose index fits the filter best.
func (l *Ledger) listTransfers(ctx context.Context, f TransferFilter, before *place, limit int32) (
	[]db.Transfer, error,
) {
	switch {
	case f.Reference != "":
		return unwrap(l.queries.TransferListByReference(ctx, l.readers, db.TransferListByReferenceParams{
			Reference: f.Reference, BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start,
			AnyAccount: f.AccountID == uuid.Nil, AccountID: f.AccountID, Status: string(f.Status),
			Currency: f.Currency, RowLimit: limit,
		}))
	case f.AccountID != uuid.Nil:
		return unwrap(l.queries.TransferListByAccount(ctx, l.readers, db.TransferListByAccountParams{
			AccountID: f.AccountID, BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start,
			Status: string(f.Status), Currency: f.Currency, RowLimit: limit,
		}))
	default:
		return unwrap(l.queries.TransferList(ctx, l.readers, db.TransferListParams{
			BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start, Status: string(f.Status),
			Currency: f.Currency, RowLimit: limit,
		}))
	}
}

// unwrap takes transfers out of the row types that the generated code wraps them in, one type a query.
func unwrap[R ~struct{ Transfer db.Transfer }](rows []R, err error) ([]db.Transfer, error) {
	transfers := make([]db.Transfer, 0, len(rows))
	for _, r := range rows {
		transfers = append(transfers, struct{ Transfer db.Transfer }(r).Transfer)
	}
	return transfers, err
}
