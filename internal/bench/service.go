package bench

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// A population is the accounts that a run works on.
type population struct {
	accounts  []account
	transfers []string // ids of transfers that are there, for the workloads that read
}

// centsMax bounds the amount of a transfer; amounts are whole cents from 1 up.
const centsMax = 100

// amountTexts are all amounts of transfers, ready to send: "0.01" to "1.00".
var amountTexts = func() (texts [centsMax]string) {
	for i := range texts {
		texts[i] = fmt.Sprintf("%d.%02d", (i+1)/100, (i+1)%100)
	}
	return texts
}()

// serviceName is the name of the contender that the others are compared with.
const serviceName = "service"

// service returns the contender that is being measured: the API, over the network.
func (s *system) service(workload, protocol string, batch, callers int, p *population) (*contender, error) {
	dialer, err := newDialer(s.base, protocol, callers, s.options.Conns)
	if err != nil {
		return nil, err
	}
	pick := newPicker(workload, len(p.accounts))
	return &contender{
		name: serviceName, workload: workload, batch: batch, probe: &s.probe,
		newCaller: func(_ context.Context, index, _ int) (call, func(), error) {
			client, closeIt := dialer.client(index)
			c := &apiCaller{
				api:    newAPI(s.base, protocol, s.options.Gzip, client),
				source: newSource(), pick: pick, population: p,
			}
			return c.call(workload, batch), func() { closeIt(); dialer.close() }, nil
		},
	}, nil
}

// recentMax is how many of its own transfers a caller remembers to read.
const recentMax = 64

// An apiCaller makes the calls of one caller. It uses its request messages again and again.
type apiCaller struct {
	*source
	api        *api
	pick       picker
	population *population
	recent     []string // ids of this caller's last transfers

	transfer    transfersv1.CreateTransferRequest
	batch       transfersv1.BatchCreateTransfersRequest
	getAccount  transfersv1.GetAccountRequest
	getTransfer transfersv1.GetTransferRequest
}

func (c *apiCaller) call(workload string, batch int) call {
	switch {
	case workload == read:
		return c.read
	case workload == mixed:
		return c.mix
	case batch > 1:
		c.batch.Transfers = make([]*transfersv1.CreateTransferRequest, batch)
		for i := range c.batch.Transfers {
			c.batch.Transfers[i] = &transfersv1.CreateTransferRequest{}
		}
		return c.createBatch
	default:
		return c.create
	}
}

func (c *apiCaller) fill(r *transfersv1.CreateTransferRequest) {
	from, to := c.pick(c.source)
	r.TransferId = c.id().String()
	r.FromAccountId = c.population.accounts[from].text
	r.ToAccountId = c.population.accounts[to].text
	r.Amount = amountTexts[c.IntN(centsMax)]
}

func (c *apiCaller) create(ctx context.Context) (int, error) {
	c.fill(&c.transfer)
	answer, err := c.api.transfers.CreateTransfer(ctx, &c.transfer)
	if err != nil {
		return 0, err
	}
	if status := answer.GetTransfer().GetStatus(); status != transfersv1.Transfer_SUCCESS {
		return 0, fmt.Errorf("a transfer was answered with status %v", status)
	}
	return 1, nil
}

func (c *apiCaller) createBatch(ctx context.Context) (int, error) {
	for _, r := range c.batch.Transfers {
		c.fill(r)
	}
	answer, err := c.api.transfers.BatchCreateTransfers(ctx, &c.batch)
	if err != nil {
		return 0, err
	}
	if len(answer.GetResults()) != len(c.batch.GetTransfers()) {
		return 0, fmt.Errorf("a batch of %d was answered with %d results", len(c.batch.GetTransfers()), len(answer.GetResults()))
	}
	made := 0
	var failed itemErrors
	for _, result := range answer.GetResults() {
		if result.GetTransfer().GetStatus() == transfersv1.Transfer_SUCCESS {
			made++
			continue
		}
		if failed == nil {
			failed = itemErrors{}
		}
		failed[resultCode(result)]++
	}
	if failed != nil {
		return made, failed
	}
	return made, nil
}

// resultCode returns the code that the item's own call would have got.
func resultCode(result *transfersv1.TransferResult) string {
	if failed := result.GetError(); failed != nil {
		return connect.Code(failed.GetCode()).String()
	}
	return connect.CodeFailedPrecondition.String()
}

// read reads an account or a transfer.
func (c *apiCaller) read(ctx context.Context) (int, error) {
	if c.IntN(2) == 0 {
		c.getAccount.AccountId = c.population.accounts[c.IntN(len(c.population.accounts))].text
		answer, err := c.api.accounts.GetAccount(ctx, &c.getAccount)
		if err == nil && answer.GetAccount().GetAccountId() != c.getAccount.GetAccountId() {
			err = errors.New("another account was answered than asked for")
		}
		return one(err)
	}
	known := c.population.transfers
	if len(c.recent) > 0 {
		known = c.recent
	}
	c.getTransfer.TransferId = known[c.IntN(len(known))]
	answer, err := c.api.transfers.GetTransfer(ctx, &c.getTransfer)
	if err == nil && answer.GetTransfer().GetTransferId() != c.getTransfer.GetTransferId() {
		err = errors.New("another transfer was answered than asked for")
	}
	return one(err)
}

func one(err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// mix makes transfers, and reads accounts and what it has just made.
func (c *apiCaller) mix(ctx context.Context) (int, error) {
	if c.IntN(2) == 0 {
		return c.read(ctx)
	}
	made, err := c.create(ctx)
	if made == 1 {
		if len(c.recent) < recentMax {
			c.recent = append(c.recent, c.transfer.GetTransferId())
		} else {
			c.recent[c.IntN(recentMax)] = c.transfer.GetTransferId()
		}
	}
	return made, err
}
