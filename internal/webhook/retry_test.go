package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// looking starts a deliverer. looked waits until it has looked for due deliveries twice: the second
// look began after looked was called.
func (r *rig) looking() (looked func()) {
	r.t.Helper()
	looks := make(chan uuid.UUID)
	stopped := make(chan struct{})
	d, err := webhook.StartLooking(r.config(), func(id uuid.UUID) {
		select {
		case looks <- id:
		case <-stopped:
		default: // the test does not wait for it
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		close(stopped)
		if err := d.Close(context.Background()); err != nil {
			r.t.Errorf("close the deliverer: %v", err)
		}
	})
	return func() {
		r.t.Helper()
		for range 2 {
			select {
			case <-looks:
			case <-time.After(patience):
				r.t.Fatal("it does not look what is due")
			}
		}
	}
}

// TestRetries: a message that fails is repeated when the contract says, within a tenth, and then
// dead. Redelivered by hand, it gets all its attempts anew.
func TestRetries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	var up atomic.Bool
	to := receive(t, func(w http.ResponseWriter, _ message) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	e := r.endpoint(to, events.Filter{})
	looked := r.looking()
	r.pay(a, b)
	first := to.next(t)
	attempted := func(n int32) webhook.Delivery {
		t.Helper()
		var d webhook.Delivery
		r.until("the attempt is recorded", func() bool {
			all := r.deliveries(e.ID)
			if len(all) == 1 {
				d = all[0]
			}
			return d.Attempts == n
		})
		if d.Failure != "the answer had status 500" || webhook.MessageID(d.Position) != first.ID {
			t.Errorf("attempt %d: %+v", n, d)
		}
		return d
	}
	want := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
	for i, delay := range want {
		d := attempted(int32(i + 1))
		if wait := d.NextAttempt.Sub(*d.LastAttempt); d.Status != webhook.DeliveryPending || wait < delay*9/10 || wait > delay*11/10 {
			t.Errorf("attempt %d: next in %s, want about %s", i+1, wait, delay)
		}
		r.step(d.NextAttempt.Sub(*d.LastAttempt) - time.Microsecond)
		looked()
		to.none(t)
		r.step(time.Microsecond)
		if m := to.next(t); m.ID != first.ID {
			t.Errorf("repeated as %s, first %s", m.ID, first.ID)
		}
	}
	r.until("it is dead", func() bool { return r.get(e.ID).Dead == 1 })
	if d := attempted(10); d.Status != webhook.DeliveryDead || d.NextAttempt != nil {
		t.Errorf("at last: %+v", d)
	}
	if e = r.get(e.ID); e.Pending != 0 || e.LastFailure == nil || e.LastSuccess != nil || e.Cursor < r.deliveries(e.ID)[0].Position {
		t.Errorf("the endpoint: %+v", e)
	}
	// Dead, it holds up nothing.
	up.Store(true)
	next := r.pay(a, b)
	if m := to.next(t); m.transfer() != next.ID.String() {
		t.Errorf("after the dead one: %+v", m)
	}
	up.Store(false)
	r.again(to, &up, e.ID, first.ID)
}

// again redelivers a dead delivery, which fails, and then succeeds.
func (r *rig) again(to *receiver, up *atomic.Bool, endpoint uuid.UUID, message string) {
	r.t.Helper()
	if n, _, err := r.ledger.Webhooks.Redeliver(r.t.Context(), endpoint, r.deliveries(endpoint)[0].Position, nil); n != 1 || err != nil {
		r.t.Fatalf("redeliver: %d, %v", n, err)
	}
	if m := to.next(r.t); m.ID != message {
		r.t.Errorf("redelivered as %s, first %s", m.ID, message)
	}
	r.until("it is recorded", func() bool { return r.deliveries(endpoint)[0].Attempts == 1 })
	if d := r.deliveries(endpoint)[0]; d.Status != webhook.DeliveryPending || d.NextAttempt == nil {
		r.t.Errorf("redelivered: %+v", d)
	}
	up.Store(true)
	r.step(6 * time.Second)
	to.next(r.t)
	r.until("it is through", func() bool { return r.deliveries(endpoint)[0].Status == webhook.DeliveryDelivered })
	if d := r.deliveries(endpoint)[0]; d.Attempts != 2 || d.Failure != "" || d.NextAttempt != nil {
		r.t.Errorf("through: %+v", d)
	}
	r.until("the endpoint has nothing left", func() bool {
		e := r.get(endpoint)
		return e.Pending == 0 && e.Dead == 0 && e.LastSuccess != nil
	})
}

// TestHeldUp: an event that fails holds up the later ones of its accounts, and theirs, without an
// attempt, and no others.
func TestHeldUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b, c, d, x, y := r.account(), r.account(), r.account(), r.account(), r.account(), r.account()
	var down atomic.Bool
	down.Store(true)
	to := receive(t, func(w http.ResponseWriter, m message) {
		if down.Load() && m.Data.Transfer.FromAccountID == a.String() && m.Data.Transfer.ToAccountID == b.String() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	e := r.endpoint(to, events.Filter{})
	looked := r.looking()
	first := r.pay(a, b)
	if m := to.next(t); m.transfer() != first.ID.String() {
		t.Fatalf("got %+v", m)
	}
	behind := []ledger.Transfer{r.pay(b, c), r.pay(c, d), r.pay(a, d)}
	for range 10 {
		free := r.pay(x, y)
		if m := to.next(t); m.transfer() != free.ID.String() {
			t.Errorf("got %+v, want the transfer that waits for none", m)
		}
	}
	r.until("the others wait", func() bool { return r.get(e.ID).Pending == 4 })
	all := r.deliveries(e.ID)
	for i, want := range []int32{1, 0, 0, 0} {
		if all[i].Attempts != want || (all[i].NextAttempt != nil) != (i == 0) || all[i].Status != webhook.DeliveryPending {
			t.Errorf("delivery %d: %+v", i, all[i])
		}
	}
	if e = r.get(e.ID); e.Cursor < all[3].Position {
		t.Errorf("the cursor waits too: %+v", e)
	}
	looked()
	to.none(t)
	r.step(6 * time.Second)
	to.next(t)
	looked()
	to.none(t)
	down.Store(false)
	r.step(6 * time.Minute)
	if m := to.next(t); m.transfer() != first.ID.String() {
		t.Errorf("got %+v, want the one that failed", m)
	}
	for _, want := range behind {
		if m := to.next(t); m.transfer() != want.ID.String() {
			t.Errorf("got %+v, want %s", m, want.ID)
		}
	}
	r.until("nothing is left", func() bool { return r.get(e.ID).Pending == 0 })
	next := r.pay(a, b)
	if m := to.next(t); m.transfer() != next.ID.String() {
		t.Errorf("got %+v", m)
	}
	if n := len(r.deliveries(e.ID)); n != 4 {
		t.Errorf("%d deliveries are kept, want 4", n)
	}
}

// TestRedeliver: a range is delivered again in order along the account. What does not pass the
// filter is not delivered, and what is no event is refused.
func TestRedeliver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b, c := r.account(), r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{AccountIDs: []uuid.UUID{b}})
	r.deliver(r.config())
	var ids []string
	for range 10 {
		r.pay(a, c)
		ids = append(ids, r.pay(a, b).ID.String())
	}
	r.pay(a, c)
	for range ids {
		to.next(t)
	}
	end, err := r.ledger.Events.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.until("the cursor is at the end", func() bool { return r.get(e.ID).Cursor >= end })
	count, next, err := r.ledger.Webhooks.Redeliver(t.Context(), e.ID, e.Cursor+1, &end)
	if count != 10 || next != 0 || err != nil {
		t.Fatalf("redeliver: %d, %d, %v", count, next, err)
	}
	for _, id := range ids {
		if m := to.next(t); m.transfer() != id {
			t.Errorf("got %+v, want %s", m, id)
		}
	}
	r.until("all are through", func() bool { return r.get(e.ID).Pending == 0 })
	all := r.deliveries(e.ID)
	if len(all) != 10 || all[0].Status != webhook.DeliveryDelivered || all[0].Attempts != 1 {
		t.Errorf("%d deliveries, the first %+v", len(all), all[0])
	}
	before := all[0].Position - 1
	for _, c := range []struct {
		first int64
		last  *int64
		field string
		count int
	}{
		{0, nil, "first_cursor", 0}, {end + 1000, nil, "first_cursor", 0}, {end, &before, "last_cursor", 0},
		{end + 1, ptr(end + 1000), "", 0}, {1, ptr(int64(0)), "last_cursor", 0}, {0, ptr(int64(0)), "", 0},
		{all[3].Position, &all[3].Position, "", 1}, {before, nil, "", 1}, // whatever the filter is
	} {
		count, next, err := r.ledger.Webhooks.Redeliver(t.Context(), e.ID, c.first, c.last)
		var field string
		if invalid, ok := errors.AsType[*ledger.InvalidError](err); ok {
			field = invalid.Field
		} else if err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if field != c.field || count != c.count || next != 0 {
			t.Errorf("%+v: %d, %d, %v", c, count, next, err)
		}
	}
	for range 2 {
		to.next(t)
	}
	r.until("they are through too", func() bool { return r.get(e.ID).Pending == 0 })
}

func ptr[T any](v T) *T { return &v }

// TestRedeliverMuch: one call takes 1,000, and returns where to go on.
func TestRedeliverMuch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	begin, err := r.ledger.Events.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	params := make([]ledger.TransferParams, 1100)
	for i := range params {
		params[i] = ledger.TransferParams{From: a, To: b, Amount: decimalOne}
	}
	if _, err := r.ledger.TransferBatch(t.Context(), params, ledger.BatchOptions{}); err != nil {
		t.Fatal(err)
	}
	e := r.endpoint(to, events.Filter{}) // behind them all
	end := e.Cursor
	count, next, err := r.ledger.Webhooks.Redeliver(t.Context(), e.ID, begin+1, &end)
	if count != 1000 || next == 0 || err != nil {
		t.Fatalf("redeliver: %d, %d, %v", count, next, err)
	}
	if count, next, err = r.ledger.Webhooks.Redeliver(t.Context(), e.ID, next, &end); count != 100 || next != 0 || err != nil {
		t.Fatalf("redeliver the rest: %d, %d, %v", count, next, err)
	}
	if e = r.get(e.ID); e.Pending != 1100 {
		t.Errorf("%d are pending", e.Pending)
	}
	r.deliver(r.config())
	var last string
	for range 100 {
		m := to.next(t)
		if len(m.ID) < len(last) || (len(m.ID) == len(last) && m.ID <= last) {
			t.Errorf("%s after %s", m.ID, last)
		}
		last = m.ID
	}
}

// TestTooMuchPending: when too much is pending, the endpoint takes no more events until some of it
// is through.
func TestTooMuchPending(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{})
	r.exec(`INSERT INTO webhook_delivery (endpoint_id, position, account_id, next_attempt_time)
		SELECT $1, 1000000 + n, gen_random_uuid(), ledger_now() + interval '1 hour' FROM generate_series(1, $2) AS n`,
		e.ID, webhook.PendingMax)
	if _, _, err := r.ledger.Webhooks.Redeliver(t.Context(), e.ID, e.Cursor, nil); err == nil {
		t.Error("one more was made pending")
	}
	looked := r.looking()
	r.pay(a, b)
	looked()
	looked()
	to.none(t)
	if got := r.get(e.ID); got.Cursor != e.Cursor {
		t.Errorf("the cursor went from %d to %d", e.Cursor, got.Cursor)
	}
	r.exec("UPDATE webhook_delivery SET status = 'DEAD', attempts = 1, last_attempt_time = ledger_now(), next_attempt_time = NULL WHERE position = 1000001")
	r.exec("UPDATE webhook_endpoint SET version = version + 1")
	to.next(t)
}
