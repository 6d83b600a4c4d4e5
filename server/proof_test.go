package server_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/internal/pgtest"
	"internaltransfers/server"
)

const checkLedger = "LedgerService/CheckLedger"

// A gate keeps proofs from ending, by a lock on what they read.
type gate struct {
	t    *testing.T
	conn *pgx.Conn
}

func newGate(t *testing.T, f *fixture) *gate {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.Superuser(f.database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &gate{t, conn}
}

func (g *gate) shut() { g.exec("BEGIN; LOCK TABLE account IN ACCESS EXCLUSIVE MODE") }
func (g *gate) open() { g.exec("ROLLBACK") }

func (g *gate) exec(sql string) {
	g.t.Helper()
	if _, err := g.conn.Exec(context.Background(), sql); err != nil {
		g.t.Fatalf("%s: %v", sql, err)
	}
}

// await returns when n proofs wait at the gate.
func (g *gate) await(n int) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	for got := -1; got != n; {
		err := g.conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks
			WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&got)
		if err != nil {
			g.t.Fatalf("%d proofs at the gate, want %d: %v", got, n, err)
		}
	}
}

// An answeredProof is what a caller got.
type answeredProof struct {
	*transfersv1.CheckLedgerResponse
	err *connect.Error
}

// prove starts a proof and returns where its result comes.
func prove(ctx context.Context, c client, scope transfersv1.CheckLedgerRequest_Scope) <-chan answeredProof {
	answer := make(chan answeredProof, 1)
	go func() {
		res := &transfersv1.CheckLedgerResponse{}
		_, err := c.call(ctx, checkLedger, &transfersv1.CheckLedgerRequest{Scope: scope}, res)
		answer <- answeredProof{res, err}
	}()
	return answer
}

func (a answeredProof) require(t *testing.T) *transfersv1.CheckLedgerResponse {
	t.Helper()
	if a.err != nil || !a.GetOk() {
		t.Fatalf("%v, %v", a.CheckLedgerResponse, a.err)
	}
	return a.CheckLedgerResponse
}

const (
	full        = transfersv1.CheckLedgerRequest_FULL
	incremental = transfersv1.CheckLedgerRequest_INCREMENTAL
)

// TestCheckLedgerScopes: an incremental proof names the proof that it continues.
func TestCheckLedgerScopes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	eachProtocol(t, f, func(t *testing.T, c client) {
		all := (<-prove(t.Context(), c, full)).require(t)
		if all.GetCheckpointTime() != nil {
			t.Errorf("a full proof went on from %v", all.GetCheckpointTime())
		}
		some := (<-prove(t.Context(), c, incremental)).require(t)
		if !some.GetCheckpointTime().AsTime().Equal(all.GetCheckTime().AsTime()) {
			t.Errorf("a proof went on from %v, the last was at %v", some.GetCheckpointTime(), all.GetCheckTime())
		}
	})
}

// TestCheckLedgerTakesItsTime: a proof may take longer than other calls, and its result still
// comes.
func TestCheckLedgerTakesItsTime(t *testing.T) {
	const requestTimeout = 100 * time.Millisecond
	f := newFixture(t, server.Config{RequestTimeout: requestTimeout, CheckTimeout: time.Minute})
	g := newGate(t, f)
	eachProtocol(t, f, func(t *testing.T, c client) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		g.shut()
		answer := prove(ctx, c, full)
		g.await(1)
		select {
		case a := <-answer:
			g.open()
			t.Fatalf("returned at the gate: %v, %v", a.CheckLedgerResponse, a.err)
		case <-time.After(4 * requestTimeout): // longer than net/http gives any other call
		}
		g.open()
		(<-answer).require(t)
	})
}

// TestCheckLedgerEnds: a proof has a limit, too.
func TestCheckLedgerEnds(t *testing.T) {
	f := newFixture(t, server.Config{CheckTimeout: 200 * time.Millisecond})
	g := newGate(t, f)
	g.shut()
	defer g.open()
	if a := <-prove(t.Context(), f.protocol(t, "connect+proto"), full); a.err == nil || a.err.Code() != connect.CodeDeadlineExceeded {
		t.Errorf("got %v, %v", a.CheckLedgerResponse, a.err)
	}
	g.await(0)
}

// TestCheckLedgerIsShared: a caller that comes while a proof runs shares it, or waits when it
// proves less than requested.
func TestCheckLedgerIsShared(t *testing.T) {
	f := newFixture(t, server.Config{})
	g := newGate(t, f)
	c := f.protocol(t, "connect+proto")
	(<-prove(t.Context(), c, full)).require(t) // for a checkpoint

	g.shut()
	first := prove(t.Context(), c, full)
	g.await(1)
	var others []<-chan answeredProof
	for range 20 {
		others = append(others, prove(t.Context(), c, full), prove(t.Context(), c, incremental))
	}
	g.joined(others)
	g.open()
	want := (<-first).require(t).GetCheckTime().AsTime()
	for _, other := range others {
		if got := (<-other).require(t); !got.GetCheckTime().AsTime().Equal(want) || got.GetCheckpointTime() != nil {
			t.Errorf("a proof at %v that went on from %v, want the one at %v", got.GetCheckTime(), got.GetCheckpointTime(), want)
		}
	}

	g.shut()
	less := prove(t.Context(), c, incremental)
	g.await(1)
	more := prove(t.Context(), c, full)
	g.joined([]<-chan answeredProof{more})
	g.open()
	if (<-less).require(t).GetCheckpointTime() == nil || (<-more).require(t).GetCheckpointTime() != nil {
		t.Error("the full proof covers less, or the incremental one more")
	}
}

// joined gives callers time to come to the gate, where there must still be one proof.
func (g *gate) joined(callers []<-chan answeredProof) {
	g.t.Helper()
	var wait sync.WaitGroup
	for _, c := range callers {
		wait.Go(func() {
			select {
			case a := <-c:
				g.t.Errorf("returned at the gate: %v, %v", a.CheckLedgerResponse, a.err)
			case <-time.After(200 * time.Millisecond):
			}
		})
	}
	wait.Wait()
	if g.t.Failed() {
		g.t.FailNow()
	}
	g.await(1)
}

// TestCheckLedgerIsAbandoned: a proof that no caller waits for ends, and the next caller gets its
// own.
func TestCheckLedgerIsAbandoned(t *testing.T) {
	t.Parallel()
	f := newFixture(t, server.Config{})
	g := newGate(t, f)
	c := f.protocol(t, "connect+h2")
	g.shut()
	ctx, cancel := context.WithCancel(t.Context())
	one, two := prove(ctx, c, full), prove(ctx, c, incremental)
	g.await(1)
	cancel()
	<-one
	<-two
	g.await(0)
	g.open()
	(<-prove(t.Context(), c, full)).require(t)
}
