package postgres

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/internal/durable"
	"internaltransfers/internal/paging"
	"internaltransfers/ledger"
)

// batchTransfersMax is how many transfers one call of TransferBatch takes.
const batchTransfersMax = 10_000

// Transfer moves money, and returns after the commit. A transfer that the ledger refuses is no
// error: it is recorded, and returned with status FAILED and its reason. A hold or a scheduled
// transfer is returned as INIT. A transfer that was decided before under the id is returned again,
// replayed; when its fields were others, the error is a ConflictError. An InvalidError or
// OverloadedError means that nothing was recorded. After ErrUnavailable or the end of ctx the
// outcome is unknown: repeat the call with the same id, or read the transfer; with the error, t has
// the id.
func (l *Ledger) Transfer(ctx context.Context, p ledger.TransferParams) (t ledger.Transfer, replayed bool, err error) {
	c, err := ledger.NewCommand(p)
	if err != nil {
		return ledger.Transfer{ID: c.ID}, false, err
	}
	o, err := l.one(ctx, c, p.Options != nil && p.Options.DryRun)
	return o.Transfer, o.Replayed, err
}

// one applies a command that stands alone. With an error, the outcome has the id of the command.
func (l *Ledger) one(ctx context.Context, c ledger.Command, dryRun bool) (ledger.Outcome, error) {
	outcomes, err := l.submit(&call{ctx: ctx, commands: []ledger.Command{c}}, dryRun)
	if err != nil {
		return ledger.Outcome{Transfer: ledger.Transfer{ID: c.ID}}, err
	}
	return outcomes[0], outcomes[0].Err
}

// submit has a call's commands applied, or with dryRun returns what would become of them.
func (l *Ledger) submit(c *call, dryRun bool) ([]ledger.Outcome, error) {
	if dryRun {
		return l.preview(c.ctx, c.commands)
	}
	if err := l.batcher.do(c); err != nil {
		return nil, err // no outcomes: they may be being set just now
	}
	return c.outcomes, nil
}

// TransferBatch makes up to 10,000 transfers in order and returns their outcomes by index; each is
// what Transfer would have returned. An atomic batch is applied as a whole or not at all: a refusal
// makes the others fail as GROUP_FAILED, and anything that is no refusal is the error of the whole
// call, with nothing recorded.
//
// A batch that is not atomic and has more than Config.BatchMax transfers is applied part by part;
// when ctx ends or the database goes away in between, the outcomes of the later parts carry that
// error.
func (l *Ledger) TransferBatch(ctx context.Context, ps []ledger.TransferParams, options ledger.BatchOptions) ([]ledger.Outcome, error) {
	if len(ps) == 0 || len(ps) > batchTransfersMax {
		return nil, &ledger.InvalidError{Field: "transfers", Reason: fmt.Sprintf("must be 1 to %d", batchTransfersMax)}
	}
	if options.Atomic {
		return l.transferGroup(ctx, ps, options)
	}
	if options.GroupID != uuid.Nil {
		return nil, &ledger.InvalidError{Field: "group_id", Reason: "is for atomic batches only"}
	}
	outcomes := make([]ledger.Outcome, len(ps))
	commands := make([]ledger.Command, 0, len(ps))
	index := make([]int, 0, len(ps)) // of each command among the outcomes
	for i, p := range ps {
		c, err := ledger.NewCommand(p)
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		commands = append(commands, c)
		index = append(index, i)
	}
	size := l.config.BatchMax
	if options.DryRun {
		size = len(ps) // the outcomes depend on those before
	}
	var err error
	for begin := 0; begin < len(commands); {
		end := min(begin+size, len(commands))
		var part []ledger.Outcome
		if err == nil {
			part, err = l.submit(&call{ctx: ctx, commands: commands[begin:end], admitted: begin > 0}, options.DryRun)
		}
		if err != nil && begin == 0 {
			return nil, err
		}
		for i := begin; i < end; i++ {
			if err != nil {
				outcomes[index[i]] = ledger.Outcome{Transfer: ledger.Transfer{ID: commands[i].ID}, Err: err}
			} else {
				outcomes[index[i]] = part[i-begin]
			}
		}
		begin = end
	}
	return outcomes, nil
}

// transferGroup makes transfers of which all happen or none.
func (l *Ledger) transferGroup(ctx context.Context, ps []ledger.TransferParams, options ledger.BatchOptions) ([]ledger.Outcome, error) {
	made := options.GroupID == uuid.Nil
	if made {
		options.GroupID = uuid.Must(uuid.NewV7())
	}
	commands := make([]ledger.Command, 0, len(ps))
	seen := make(map[uuid.UUID]struct{}, len(ps))
	for i, p := range ps {
		c, err := ledger.NewCommand(p)
		if err != nil {
			return nil, ledger.InGroup(err, i)
		}
		if _, ok := seen[c.ID]; ok {
			return nil, ledger.InGroup(&ledger.InvalidError{Field: "transfer_id", Reason: "occurs twice in the group"}, i)
		}
		seen[c.ID] = struct{}{}
		c.Group, c.GroupID, c.GroupMade = 1, options.GroupID, made
		commands = append(commands, c)
	}
	outcomes, err := l.submit(&call{ctx: ctx, commands: commands}, options.DryRun)
	if err != nil {
		return nil, err
	}
	for i := range outcomes {
		if err := outcomes[i].Err; err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// GetTransfer reads a transfer, a refused one too; the error is a NotFoundError when there is none.
func (l *Ledger) GetTransfer(ctx context.Context, id uuid.UUID) (ledger.Transfer, error) {
	t, found, err := l.transferReads.get(ctx, id)
	if err == nil && !found {
		err = &ledger.NotFoundError{Kind: "transfer", ID: id}
	}
	return t, err
}

// ListTransfers lists transfers, newest first, and returns the token of the next page; empty: this
// is the last.
func (l *Ledger) ListTransfers(ctx context.Context, f TransferFilter, page paging.Page) ([]ledger.Transfer, string, error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	limit, err := page.Limit()
	if err != nil {
		return nil, "", err
	}
	for _, t := range [...]struct{ field, text string }{{"currency", f.Currency}, {"reference", f.Reference}} {
		if err := ledger.CheckText(t.field, t.text); err != nil {
			return nil, "", err
		}
	}
	if f.Start, f.End, err = bounds(f.Start, f.End); err != nil {
		return nil, "", err
	}
	before, err := l.tokens.Key("transfers", f, page.Token)
	if err != nil {
		return nil, "", err
	}
	if before == nil {
		before = &paging.Key{Time: f.End} // position 0 is before every row of that moment
	}
	rows, err := l.listTransfers(ctx, f, before, limit+1)
	if err != nil {
		return nil, "", durable.ReadError(ctx, "list transfers", err)
	}
	rows, next := paging.Trim(rows, limit, page, transferSize, func(last *db.TransferFull) string {
		return l.tokens.Token("transfers", f, paging.Key{Time: last.CreateTime, Position: last.Position})
	})
	transfers, err := l.shownTransfers(ctx, rows)
	return transfers, next, err
}

// check returns an InvalidError for filters that exclude each other.
func (f *TransferFilter) check() error {
	others := *f
	others.GroupID, others.ParentID, others.Status = uuid.Nil, uuid.Nil, ""
	for _, one := range [...]struct {
		field string
		id    uuid.UUID
		other uuid.UUID
	}{{"group_id", f.GroupID, f.ParentID}, {"parent_transfer_id", f.ParentID, f.GroupID}} {
		if one.id != uuid.Nil && (one.other != uuid.Nil || others != TransferFilter{}) {
			return &ledger.InvalidError{Field: one.field, Reason: "goes with no other filter but status"}
		}
	}
	return nil
}

// listTransfers reads the rows before a page key by the query whose index fits the filter best.
func (l *Ledger) listTransfers(ctx context.Context, f TransferFilter, before *paging.Key, limit int32) (
	[]db.TransferFull, error,
) {
	switch {
	case f.GroupID != uuid.Nil:
		return unwrap(l.queries.TransferListByGroup(ctx, l.pool, db.TransferListByGroupParams{
			GroupID: f.GroupID, BeforeTime: before.Time, BeforePosition: before.Position, Status: string(f.Status),
			RowLimit: limit,
		}))
	case f.ParentID != uuid.Nil:
		return unwrap(l.queries.TransferListByParent(ctx, l.pool, db.TransferListByParentParams{
			ParentID: f.ParentID, BeforeTime: before.Time, BeforePosition: before.Position, Status: string(f.Status),
			RowLimit: limit,
		}))
	case f.Reference != "":
		return unwrap(l.queries.TransferListByReference(ctx, l.pool, db.TransferListByReferenceParams{
			Reference: f.Reference, BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start,
			AnyAccount: f.AccountID == uuid.Nil, AccountID: f.AccountID, Status: string(f.Status),
			Currency: f.Currency, RowLimit: limit,
		}))
	case f.AccountID != uuid.Nil:
		return unwrap(l.queries.TransferListByAccount(ctx, l.pool, db.TransferListByAccountParams{
			AccountID: f.AccountID, BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start,
			Status: string(f.Status), Currency: f.Currency, RowLimit: limit,
		}))
	default:
		return unwrap(l.queries.TransferList(ctx, l.pool, db.TransferListParams{
			BeforeTime: before.Time, BeforePosition: before.Position, StartTime: f.Start, Status: string(f.Status),
			Currency: f.Currency, RowLimit: limit,
		}))
	}
}

// unwrap takes transfers out of the row types that the generated code wraps them in, one type a
// query.
func unwrap[R ~struct{ TransferFull db.TransferFull }](rows []R, err error) ([]db.TransferFull, error) {
	transfers := make([]db.TransferFull, 0, len(rows))
	for _, r := range rows {
		transfers = append(transfers, struct{ TransferFull db.TransferFull }(r).TransferFull)
	}
	return transfers, err
}

// Post captures a hold: it moves money that the hold reserved. It returns the capture, a transfer
// of its own, and the hold as it is then; otherwise as Transfer does. The error is a NotFoundError
// when there is no transfer HoldID.
func (l *Ledger) Post(ctx context.Context, p ledger.PostParams) (capture, hold ledger.Transfer, replayed bool, err error) {
	c, err := ledger.NewPost(p)
	if err != nil {
		return ledger.Transfer{}, ledger.Transfer{}, false, err
	}
	return l.child(ctx, c, p.DryRun)
}

// Reverse moves money of a transfer that succeeded back. It returns the reversal, a transfer of its
// own, and the transfer as it is then; otherwise as Transfer does. The error is a NotFoundError
// when there is no transfer TransferID.
func (l *Ledger) Reverse(ctx context.Context, p ledger.ReverseParams) (reversal, reversed ledger.Transfer, replayed bool, err error) {
	c, err := ledger.NewReverse(p)
	if err != nil {
		return ledger.Transfer{}, ledger.Transfer{}, false, err
	}
	return l.child(ctx, c, p.DryRun)
}

// child applies a command that makes a new transfer of another.
func (l *Ledger) child(ctx context.Context, c ledger.Command, dryRun bool) (child, parent ledger.Transfer, replayed bool, err error) {
	o, err := l.one(ctx, c, dryRun)
	if o.Parent != nil {
		parent = *o.Parent
	}
	return o.Transfer, parent, o.Replayed, err
}

// Void ends a hold, which releases what it still reserves, or cancels a scheduled transfer. A
// transfer that was voided before is returned again, replayed. The error is a RefusedError when it
// is not pending, and a NotFoundError when there is none.
func (l *Ledger) Void(ctx context.Context, id uuid.UUID, dryRun bool) (t ledger.Transfer, replayed bool, err error) {
	c, err := ledger.NewVoid(id)
	if err != nil {
		return ledger.Transfer{}, false, err
	}
	o, err := l.one(ctx, c, dryRun)
	return o.Transfer, o.Replayed, err
}
