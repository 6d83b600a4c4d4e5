package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
)

const (
	watchers         = 20
	watchedTransfers = 2_000
)

// TestWatchersMissNothing: two processes make transfers, and each is killed and started again in
// between, while watchers connect to either, drop and resume at random. Each sees every event once,
// all in the same order.
func TestWatchersMissNothing(t *testing.T) {
	url := pgtest.NewDatabase(t)
	servers := [2]*process{serve(t, "DATABASE_URL="+url), serve(t, "DATABASE_URL="+url)}
	l := newLoad(t, servers[0].address, 8)
	addresses := func() *[]string { return &[]string{servers[0].address, servers[1].address} }
	l.servers.Store(addresses())

	last := uuid.NewString() // of the transfer that is made at the end
	seen := make([][]seenEvent, watchers)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var wg sync.WaitGroup
	for i := range watchers {
		wg.Go(func() { seen[i] = l.watch(ctx, rand.New(rand.NewPCG(uint64(i), 2)), last) })
	}

	for round := range 4 {
		part, enough := context.WithCancel(ctx)
		l.mu.Lock()
		l.enough = map[int]func(){len(l.answers) + watchedTransfers/4: func() {
			servers[round%2].kill()
			enough()
		}}
		l.mu.Unlock()
		l.run(part, true)
		enough()
		servers[round%2] = serve(t, "DATABASE_URL="+url)
		l.servers.Store(addresses())
	}
	request := l.request(rand.New(rand.NewPCG(1, 3)))
	request.TransferId = last
	for l.answered(last) == nil && ctx.Err() == nil {
		l.call(ctx, request, true, 0)
	}
	wg.Wait()

	want := l.listEvents(t, servers[0].address)
	made := make(map[string]bool)
	for _, e := range want {
		if made[e.transfer] {
			t.Errorf("transfer %s is made twice", e.transfer)
		}
		made[e.transfer] = true
	}
	for id := range l.answers {
		if !made[id] {
			t.Errorf("transfer %s has no event", id)
		}
	}
	if len(want) < watchedTransfers {
		t.Errorf("only %d events", len(want))
	}
	for i, got := range seen {
		if !slices.Equal(got, want) {
			t.Errorf("watcher %d saw %d events, others than the %d that there are", i, len(got), len(want))
		}
	}
	l.verify(t, servers[1].address)
	for _, p := range servers {
		p.terminate(t)
	}
}

// A seenEvent is what a watcher remembers of an event.
type seenEvent struct{ cursor, transfer string }

// watch reads all events of transfers, now from one server, now from another, until that of the
// last transfer.
func (l *load) watch(ctx context.Context, random *rand.Rand, last string) (seen []seenEvent) {
	cursor := "0"
	for ctx.Err() == nil {
		servers := *l.servers.Load()
		client := transfersv1connect.NewLedgerServiceClient(l.http, "http://"+servers[random.IntN(len(servers))])
		connection, drop := context.WithCancel(ctx)
		stream, err := client.WatchTransfers(connection, &transfersv1.WatchTransfersRequest{After: cursor})
		if err != nil {
			drop()
			continue // a killed server; another try finds one
		}
		for range 1 + random.IntN(30) {
			if !stream.Receive() {
				break
			}
			cursor = stream.Msg().GetCursor()
			for _, e := range stream.Msg().GetEvents() {
				seen = append(seen, seenEvent{e.GetCursor(), e.GetTransfer().GetTransferId()})
			}
			if len(seen) > 0 && seen[len(seen)-1].transfer == last {
				break
			}
		}
		drop()
		_ = stream.Close() // it was dropped
		if len(seen) > 0 && seen[len(seen)-1].transfer == last {
			return seen
		}
	}
	return seen
}

func (l *load) answered(id string) *transfersv1.Transfer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[id]
}

// listEvents reads all events of transfers, page by page.
func (l *load) listEvents(t *testing.T, address string) (events []seenEvent) {
	t.Helper()
	client := transfersv1connect.NewLedgerServiceClient(l.http, "http://"+address)
	for after, more := "", true; more; {
		page, err := client.ListEvents(t.Context(), &transfersv1.ListEventsRequest{After: after, PageSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		after, more = page.GetCursor(), page.GetMore()
		for _, e := range page.GetEvents() {
			if e.GetTransfer() != nil {
				events = append(events, seenEvent{e.GetCursor(), e.GetTransfer().GetTransferId()})
			}
		}
	}
	return events
}
