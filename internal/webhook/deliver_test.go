package webhook_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
	"internaltransfers/internal/webhook"
	"internaltransfers/ledger"
)

// TestDeliver: what happens after an endpoint was made is posted, signed, in order along the
// account, and leaves no row.
func TestDeliver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	r.pay(a, b) // before
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{Types: []events.Type{events.TransferCreated, events.AccountChanged}})
	r.deliver(r.config())
	var want []string
	for range 20 {
		want = append(want, r.pay(a, b).ID.String())
	}
	name := "x"
	if _, err := r.ledger.UpdateAccount(t.Context(), ledger.AccountChange{ID: a, DisplayName: &name}); err != nil {
		t.Fatal(err)
	}
	for _, id := range want {
		if m := to.next(t); m.Type != "transfer.created" || m.Data.Type != "TRANSFER_CREATED" || m.transfer() != id {
			t.Errorf("got %+v, want transfer %s", m, id)
		}
	}
	last := to.next(t)
	if last.Type != "account.changed" || last.Data.Account == nil || last.Data.Account.AccountID != a.String() {
		t.Errorf("got %+v", last)
	}
	if at, err := time.Parse(time.RFC3339Nano, last.Timestamp); err != nil || at.IsZero() {
		t.Errorf("timestamp %q: %v", last.Timestamp, err)
	}
	r.until("the cursor is at the last event", func() bool { return r.get(e.ID).Cursor >= last.position() })
	if e = r.get(e.ID); e.LastSuccess == nil || e.LastFailure != nil || e.Pending != 0 || len(r.deliveries(e.ID)) != 0 {
		t.Errorf("afterwards: %+v", e)
	}
	to.none(t)
}

// TestFilter: only what passes is posted, and the cursor passes the rest.
func TestFilter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b, c := r.account(), r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{AccountIDs: []uuid.UUID{c}, Statuses: []ledger.TransferStatus{ledger.TransferSuccess}})
	r.deliver(r.config())
	r.pay(a, b)
	wanted := r.pay(b, c)
	r.pay(a, b)
	if m := to.next(t); m.transfer() != wanted.ID.String() {
		t.Errorf("got %+v", m)
	}
	end, err := r.ledger.Events.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.until("the cursor passes what does not pass", func() bool { return r.get(e.ID).Cursor >= end })
	to.none(t)
}

// TestRotation: while the overlap lasts messages are signed with both secrets, then with the new
// one.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{})
	r.deliver(r.config())
	signatures := func() int {
		r.pay(a, b)
		return len(strings.Fields(to.next(t).Signature))
	}
	if n := signatures(); n != 1 {
		t.Errorf("%d signatures at first", n)
	}
	changed, secret, err := r.ledger.Webhooks.RotateSecret(t.Context(), e.ID, time.Hour)
	if err != nil || changed.OldSecretExpire == nil || !changed.OldSecretExpire.Equal(changed.UpdateTime.Add(time.Hour)) {
		t.Fatalf("rotated: %+v, %v", changed, err)
	}
	// Every message is verified with the old secret, which is the only one that the receiver knows.
	r.until("both sign", func() bool { return signatures() == 2 })
	// Now it knows the new one only, which signs too, also when the old one no longer does.
	to.forget()
	to.verifyWith(secret)
	if n := signatures(); n != 2 {
		t.Errorf("%d signatures while both sign", n)
	}
	r.step(time.Hour)
	r.until("one signs", func() bool { return signatures() == 1 })
	if e = r.get(e.ID); e.OldSecretExpire != nil {
		t.Errorf("the old secret's time is still shown: %+v", e)
	}
	if _, _, err := r.ledger.Webhooks.RotateSecret(t.Context(), e.ID, 0); err != nil {
		t.Fatal(err)
	}
	if e = r.get(e.ID); e.OldSecretExpire != nil {
		t.Errorf("without an overlap: %+v", e)
	}
}

// TestSlowReceiver: an endpoint that does not respond holds up no other.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	release := make(chan struct{})
	slow := receive(t, func(http.ResponseWriter, message) { <-release })
	open := slow.opener(release)
	quick := receive(t, nil)
	r.endpoint(slow, events.Filter{})
	r.endpoint(quick, events.Filter{})
	r.deliver(r.config())
	r.pay(a, b)
	slow.next(t)
	for range 50 {
		r.pay(a, b)
	}
	for range 51 {
		quick.next(t)
	}
	slow.none(t)
	open()
	for range 50 {
		slow.next(t)
	}
}

// TestAbreast: events that share no account are posted side by side.
func TestAbreast(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b, c, d := r.account(), r.account(), r.account(), r.account()
	release := make(chan struct{})
	to := receive(t, func(http.ResponseWriter, message) { <-release })
	open := to.opener(release)
	r.endpoint(to, events.Filter{})
	r.deliver(r.config())
	r.pay(a, b)
	r.pay(b, a)
	r.pay(c, d)
	first, second := to.next(t), to.next(t)
	if one, other := first.Data.Transfer.FromAccountID, second.Data.Transfer.FromAccountID; one == other ||
		(one != a.String() && one != c.String()) || (other != a.String() && other != c.String()) {
		t.Errorf("side by side from %s and %s", one, other)
	}
	to.none(t)
	open()
	if m := to.next(t); m.Data.Transfer.FromAccountID != b.String() {
		t.Errorf("last from %s", m.Data.Transfer.FromAccountID)
	}
}

// TestDisabled: events wait until the endpoint is enabled, and none comes after it was deleted.
func TestDisabled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{})
	other := receive(t, nil)
	r.endpoint(other, events.Filter{})
	r.deliver(r.config())
	change := webhook.Change{ID: e.ID, URL: e.URL, Description: "paused", Filter: e.Filter, Disabled: true}
	changed, err := r.ledger.Webhooks.Update(t.Context(), change)
	if err != nil || changed.Status != webhook.Disabled || changed.Description != "paused" {
		t.Fatalf("disabled: %+v, %v", changed, err)
	}
	// A pump that was under way may still post what it had taken: nothing.
	waiting := r.pay(a, b)
	other.next(t)
	if _, err := r.ledger.Webhooks.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	change.Disabled = false
	if _, err := r.ledger.Webhooks.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	r.until("the event that waited comes", func() bool { m := to.next(t); return m.transfer() == waiting.ID.String() })
	for range 2 {
		deleted, err := r.ledger.Webhooks.Delete(t.Context(), e.ID)
		if err != nil || deleted.Status != webhook.Deleted {
			t.Fatalf("deleted: %+v, %v", deleted, err)
		}
	}
	r.until("the pump has ended", func() bool {
		r.pay(a, b)
		other.next(t)
		select {
		case <-to.got:
			return false
		default:
			return true
		}
	})
}

// TestGone: an endpoint that responds with 410 is disabled. What it did not take is kept.
func TestGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, status(http.StatusGone))
	e := r.endpoint(to, events.Filter{})
	r.deliver(r.config())
	r.pay(a, b)
	to.next(t)
	r.until("it is disabled", func() bool { return r.get(e.ID).Status == webhook.Disabled })
	if e = r.get(e.ID); e.Pending != 1 || e.Failure != "the answer had status 410" {
		t.Errorf("%+v", e)
	}
}

// TestAnswers: an endless response is not read to its end, and a redirect is not followed.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	elsewhere := receive(t, nil)
	var written atomic.Int64
	to := receive(t, func(w http.ResponseWriter, m message) {
		if m.Data.Transfer.FromAccountID == b.String() {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		chunk := make([]byte, 64<<10)
		for {
			n, err := w.Write(chunk)
			if err != nil {
				return
			}
			written.Add(int64(n))
		}
	})
	e := r.endpoint(to, events.Filter{})
	r.deliver(r.config())
	r.pay(a, b)
	to.next(t)
	r.until("the endless answer is a success", func() bool { return r.get(e.ID).LastSuccess != nil })
	if n := written.Load(); n > 64<<20 { // buffers on the way hold less
		t.Errorf("%d bytes of it were taken", n)
	}
	r.pay(b, a)
	to.next(t)
	r.until("the redirect is a failure", func() bool { return r.get(e.ID).Failure == "the answer had status 307" })
	elsewhere.none(t)
}

// TestClose: Close waits for what is under way, and the next deliverer goes on behind it.
func TestClose(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	release := make(chan struct{})
	to := receive(t, func(http.ResponseWriter, message) { <-release })
	open := to.opener(release)
	e := r.endpoint(to, events.Filter{})
	config := r.config()
	config.Interval = time.Hour // the cursor is not written before the end
	d, err := webhook.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	r.pay(a, b)
	first := to.next(t)
	closed := make(chan error, 1)
	go func() { closed <- d.Close(context.Background()) }()
	open()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if got := webhook.MessageID(r.get(e.ID).Cursor); got != first.ID {
		t.Errorf("the cursor is at %s, want %s", got, first.ID)
	}
	r.deliver(r.config()) // the lease was released
	next := r.pay(a, b)
	if m := to.next(t); m.transfer() != next.ID.String() {
		t.Errorf("got %+v", m)
	}
}
