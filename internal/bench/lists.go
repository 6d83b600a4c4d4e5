package bench

import (
	"context"

	transfersv1 "internaltransfers/gen/transfers/v1"
)

// A listing requests the first page of a list.
type listing struct {
	name string
	ask  func(context.Context, *apiCaller) error
}

// listings are all lists, with each filter that has an index of its own.
var listings = []listing{
	{"ListAccounts", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.accounts.ListAccounts(ctx, &transfersv1.ListAccountsRequest{})
		return err
	}},
	{"ListAccounts by currency", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.accounts.ListAccounts(ctx, &transfersv1.ListAccountsRequest{Currency: "USD"})
		return err
	}},
	{"ListTransfers", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.transfers.ListTransfers(ctx, &transfersv1.ListTransfersRequest{})
		return err
	}},
	{"ListTransfers by account", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.transfers.ListTransfers(ctx, &transfersv1.ListTransfersRequest{AccountId: c.anyAccount()})
		return err
	}},
	{"ListTransfers by status", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.transfers.ListTransfers(ctx, &transfersv1.ListTransfersRequest{Status: transfersv1.Transfer_FAILED})
		return err
	}},
	{"ListTransfers by reference", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.transfers.ListTransfers(ctx, &transfersv1.ListTransfersRequest{Reference: "none has it"})
		return err
	}},
	{"ListEntries, newest first", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.accounts.ListEntries(ctx, &transfersv1.ListEntriesRequest{AccountId: c.anyAccount()})
		return err
	}},
	{"ListEntries, oldest first", func(ctx context.Context, c *apiCaller) error {
		_, err := c.api.accounts.ListEntries(ctx, &transfersv1.ListEntriesRequest{
			AccountId: c.anyAccount(), Order: transfersv1.ListEntriesRequest_OLDEST_FIRST,
		})
		return err
	}},
}

func (c *apiCaller) anyAccount() string {
	return c.population.accounts[c.IntN(len(c.population.accounts))].text
}

// lister returns the contender that requests one list again and again.
func (s *system) lister(list listing, p *population) (*contender, error) {
	dialer, err := newDialer(s.base, connectProto, 1, 0)
	if err != nil {
		return nil, err
	}
	return &contender{name: list.name, workload: rowLists, batch: 1, newCaller: func(_ context.Context, index, _ int) (call, func(), error) {
		client, closeIt := dialer.client(index)
		c := &apiCaller{
			api: newAPI(s.base, connectProto, s.options.Gzip, client), source: newSource(), population: p,
		}
		return func(ctx context.Context) (int, error) { return one(list.ask(ctx, c)) }, closeIt, nil
	}}, nil
}

// lists requests the first page of each list, from one caller: how long a page takes, not how many
// there can be.
func (r *suiteRun) lists(ctx context.Context, p *population) error {
	for _, list := range listings {
		c, err := r.lister(list, p)
		if err != nil {
			return err
		}
		sum := &sample{}
		one, err := r.leg(ctx, c, turns{callers: 1, warmUp: r.options.WarmUp / 4}, r.options.Duration/4, "")
		if err != nil {
			return err
		}
		sum.add(one)
		r.note(rowLists, c, 1, 0, sum)
	}
	return nil
}
