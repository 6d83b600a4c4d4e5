package webhook_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"internaltransfers/internal/events"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// TestRetryAfterClockSetBack: a retry that is due in some seconds still is when the clock was set
// back by an hour since. So is what waited behind it.
func TestRetryAfterClockSetBack(t *testing.T) {
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
	r.deliver(r.config())
	first, second := r.pay(a, b), r.pay(a, b)
	to.next(t)
	r.until("both are kept", func() bool { return len(r.deliveries(e.ID)) == 2 })
	was := *r.deliveries(e.ID)[0].NextAttempt
	r.step(-time.Hour)
	r.until("the next attempt is brought forward", func() bool {
		d := r.deliveries(e.ID)[0]
		return d.NextAttempt != nil && !d.NextAttempt.After(was.Add(time.Second-time.Hour))
	})
	up.Store(true)
	r.step(6 * time.Second)
	for _, want := range []ledger.Transfer{first, second} {
		if m := to.next(t); m.transfer() != want.ID.String() {
			t.Errorf("got %s, want %s", m.transfer(), want.ID)
		}
	}
}

// TestLeaseAfterClockSetBack: the endpoint of a dead deliverer is taken over when its lease would
// have ended, not an hour later because the clock was set back.
func TestLeaseAfterClockSetBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{})
	deliverer, err := webhook.Start(r.config())
	if err != nil {
		t.Fatal(err)
	}
	r.pay(a, b)
	to.next(t)
	deliverer.Kill()
	r.step(-time.Hour)
	other := r.config()
	other.Store = r.openLedger().Webhooks
	r.deliver(other)
	r.until("the lease is shortened", func() bool {
		var ahead time.Duration
		err := r.conn.QueryRow(t.Context(), "SELECT lease_expire_time - ledger_now() FROM webhook_endpoint WHERE endpoint_id = $1", e.ID).Scan(&ahead)
		return err == nil && ahead <= 6*time.Second
	})
	r.step(7 * time.Second)
	last := r.pay(b, a)
	m := to.next(t)
	for m.transfer() != last.ID.String() {
		m = to.next(t) // the first one may be repeated
	}
}
