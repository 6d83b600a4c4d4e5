package webhook_test

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
	"internaltransfers/internal/paging"
	"internaltransfers/internal/webhook"
)

// TestKilled: a killed deliverer leaves messages that the next one repeats, once the lease is over:
// one without a response, though later ones of other accounts had theirs, and one whose response
// came before the cursor was written. Nothing is left out.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		r := newRig(t)
		a, b, c, d := r.account(), r.account(), r.account(), r.account()
		dead := make(chan struct{})
		to := receive(t, func(_ http.ResponseWriter, m message) {
			if !answered && m.Data.Transfer.FromAccountID == a.String() {
				<-dead
			}
		})
		open := to.opener(dead)
		e := r.endpoint(to, events.Filter{})
		config := r.config()
		if answered {
			config.Interval = time.Hour // the cursor is not written
		}
		first := r.killedAfter(config, to, [4]uuid.UUID{a, b, c, d})
		if got := r.get(e.ID).Cursor; got >= first.position() {
			t.Fatalf("the cursor is at %d, the first message was %s", got, first.ID)
		}
		open()
		other := r.config()
		other.Store = r.openLedger().Webhooks
		r.deliver(other)
		// Another endpoint shows that the second one is at work.
		witness := receive(t, nil)
		r.endpoint(witness, events.Filter{})
		last := r.pay(b, a)
		witness.next(t)
		to.none(t) // the lease of the dead one is not over
		r.step(7 * time.Second)
		again := false
		for m := to.next(t); m.transfer() != last.ID.String(); m = to.next(t) {
			again = again || m.ID == first.ID
		}
		if !again {
			t.Errorf("delivered %v: the first message was not repeated", answered)
		}
	}
}

// killedAfter has a deliverer post a first message, and one of other accounts, and kills it.
func (r *rig) killedAfter(config webhook.Config, to *receiver, accounts [4]uuid.UUID) (first message) {
	r.t.Helper()
	deliverer, err := webhook.Start(config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.pay(accounts[0], accounts[1])
	first = to.next(r.t)
	r.pay(accounts[2], accounts[3])
	to.next(r.t)
	if config.Interval == interval {
		r.until("the other one is recorded", func() bool {
			list, _, err := r.ledger.Webhooks.List(r.t.Context(), paging.Page{})
			return err == nil && list[0].LastSuccess != nil
		})
	}
	deliverer.Kill()
	return first
}

// TestLeaseLost: a deliverer that lost its lease unnoticed records nothing, and stops.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	release := make(chan struct{})
	to := receive(t, func(w http.ResponseWriter, m message) {
		if m.Data.Transfer.FromAccountID == a.String() {
			<-release
		}
	})
	open := to.opener(release)
	e := r.endpoint(to, events.Filter{})
	stuck := r.config()
	stuck.Interval = time.Hour // it does not check whether it holds the endpoint
	r.deliver(stuck)
	r.pay(a, b)
	first := to.next(t)
	r.exec("UPDATE webhook_endpoint SET holder = gen_random_uuid(), lease_expire_time = ledger_now() - interval '1 second'")
	other := r.config()
	other.Store = r.openLedger().Webhooks
	r.deliver(other)
	if m := to.next(t); m.ID != first.ID {
		t.Errorf("got %+v, want the first one again", m)
	}
	open()
	r.until("the cursor is written", func() bool { return webhook.MessageID(r.get(e.ID).Cursor) == first.ID })
	next := r.pay(b, a)
	for {
		// The stuck one may post it too, and records neither.
		if m := to.next(t); m.transfer() == next.ID.String() {
			break
		}
	}
}

// TestChaos: two servers deliver, one of them is killed again and again, leases run out, and the
// receiver fails. All the same every event is received, and along each account they come in order:
// none is first received before an earlier one succeeded.
func TestChaos(t *testing.T) {
	const accounts, transfers = 6, 200
	r := newRig(t)
	var ids []uuid.UUID
	for range accounts {
		ids = append(ids, r.account())
	}
	o := newOrder()
	to := receive(t, o.answer)
	e := r.endpoint(to, events.Filter{})
	to.got = make(chan message, 100*transfers)
	random := rand.New(rand.NewPCG(1, 2))
	r.deliver(r.config())
	other := r.config()
	other.Store = r.openLedger().Webhooks
	killed, err := webhook.Start(other)
	if err != nil {
		t.Fatal(err)
	}
	for i := range transfers {
		from := random.IntN(accounts)
		r.pay(ids[from], ids[(from+1+random.IntN(accounts-1))%accounts])
		if i%50 == 49 {
			killed.Kill()
			r.step(10 * time.Second) // the leases run out; the first server gets the endpoint
			if killed, err = webhook.Start(other); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Time passes once nothing happens any more: retries become due, and a lease may run out.
	before := -1
	r.until("all were received and recorded", func() bool {
		got := r.get(e.ID)
		if seen := o.attempted(); seen == before {
			r.step(11 * time.Second)
		} else {
			before = seen
		}
		return o.received() == transfers && got.Pending == 0
	})
	if err := killed.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if e = r.get(e.ID); e.Dead != 0 {
		t.Errorf("%d are dead", e.Dead)
	}
	o.verify(t, r)
}

// An order is what an unreliable receiver saw.
type order struct {
	mu       sync.Mutex
	attempts map[string]int
	begun    map[string][]int64 // by account: positions that came, in order, each once
	through  map[int64]bool     // by position: the response was success
	early    []string           // events that came before an earlier one of an account was through
}

func newOrder() *order {
	return &order{attempts: make(map[string]int), begun: make(map[string][]int64), through: make(map[int64]bool)}
}

func (o *order) answer(w http.ResponseWriter, m message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	position := m.position()
	if o.attempts[m.ID]++; o.attempts[m.ID] == 1 {
		for _, account := range []string{m.Data.Transfer.FromAccountID, m.Data.Transfer.ToAccountID} {
			for _, before := range o.begun[account] {
				if before > position || !o.through[before] {
					o.early = append(o.early, m.ID+" and "+webhook.MessageID(before))
				}
			}
			o.begun[account] = append(o.begun[account], position)
		}
	}
	// One in four fails, once or twice.
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(m.ID))
	if fails := int(hash.Sum32()>>8) % 8; fails < 2 && o.attempts[m.ID] <= fails+1 {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	o.through[position] = true
}

// attempted returns how many messages came.
func (o *order) attempted() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, attempts := range o.attempts {
		n += attempts
	}
	return n
}

// received returns how many events succeeded.
func (o *order) received() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.through)
}

// verify proves that each account's events came as the ledger has them.
func (o *order) verify(t *testing.T, r *rig) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.early) > 0 {
		t.Errorf("%d came out of order: %s", len(o.early), strings.Join(o.early[:min(len(o.early), 5)], ", "))
	}
	want := make(map[string][]int64)
	all, _, _, err := r.ledger.Events.Read(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if _, came := o.attempts[webhook.MessageID(e.Position)]; e.Type == events.TransferCreated && (came || e.Transfer.Amount.Equal(decimalOne)) {
			for _, id := range e.Accounts() {
				want[id.String()] = append(want[id.String()], e.Position)
			}
		}
	}
	for account, positions := range want {
		if got := o.begun[account]; len(got) != len(positions) {
			t.Errorf("account %s: %d events of %d", account, len(got), len(positions))
		}
	}
}
