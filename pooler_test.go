package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"internaltransfers/internal/pgtest"
)

// TestPgBouncerTransactionMode: eight callers never see an internal error while the pooler goes
// over to transaction mode and back, though statements come to sessions that did not prepare them.
// The errors are retryable, the log says once what is wrong, and the server goes on by itself as
// soon as it is mended.
func TestPgBouncerTransactionMode(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, nil, database)
	p := serve(t, "DATABASE_URL="+pooler.URL(t, database))
	crowd := newCrowd(t, p)
	crowd.until(20, http.StatusOK)
	pooler.Set(t, "pool_mode", "transaction")
	crowd.until(20, http.StatusServiceUnavailable)
	pooler.Set(t, "pool_mode", "session")
	crowd.until(20, http.StatusOK)
	crowd.stop()
	p.terminate(t)
	if n := strings.Count(p.logs.String(), "pool_mode=session"); n != 1 {
		t.Errorf("the log says %d times what is wrong, wanted once:\n%s", n, p.logs)
	}
	if out, err := program(t, []string{"DATABASE_URL=" + database}, "check").CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// TestPgBouncerRefused: behind a pooler in transaction mode no command starts, and each error names
// the remedy. In session mode all do.
func TestPgBouncerRefused(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	pooler := pgtest.NewPgBouncer(t, map[string]string{"pool_mode": "transaction"}, database)
	env := []string{"DATABASE_URL=" + pooler.URL(t, database), "LISTEN_ADDR=127.0.0.1:0"}
	for _, command := range []string{"serve", "migrate", "check"} {
		out, err := program(t, env, command).CombinedOutput()
		if err == nil || strings.Count(string(out), "pool_mode=session") != 1 {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	pooler.Set(t, "pool_mode", "session")
	for _, command := range []string{"migrate", "check"} {
		if out, err := program(t, env, command).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
}

// A crowd calls a server, eight at a time, until it is stopped.
type crowd struct {
	t       *testing.T
	p       *process
	running sync.WaitGroup
	done    atomic.Bool

	mu    sync.Mutex
	seen  map[int]int // responses by status since until began; guarded by mu
	moved chan struct{}
}

func newCrowd(t *testing.T, p *process) *crowd {
	c := &crowd{t: t, p: p, seen: make(map[int]int), moved: make(chan struct{}, 1)}
	for range 8 {
		c.running.Go(c.run)
	}
	t.Cleanup(c.stop)
	return c
}

func (c *crowd) run() {
	from, to := uuid.NewString(), uuid.NewString()
	for !c.done.Load() {
		c.call("accounts", `{"account_id": %q, "initial_balance": 100}`, from)
		c.call("accounts", `{"account_id": %q}`, to)
		c.call("transfers", `{"transfer_id": %q, "from_account_id": %q, "to_account_id": %q, "amount": "0.01"}`,
			uuid.NewString(), from, to)
		c.call("accounts/"+from, "")
		c.call("transfers?account_id="+to, "")
	}
}

// call makes one call, of GET without a body, and counts its status. A 404 is as good as a 200: the
// account may not have been made.
func (c *crowd) call(path, format string, args ...any) {
	address := "http://" + c.p.address + "/api/v1/" + path
	var response *http.Response
	var err error
	if format == "" {
		response, err = http.Get(address)
	} else {
		response, err = http.Post(address, "application/json", strings.NewReader(fmt.Sprintf(format, args...)))
	}
	if err != nil {
		if !c.done.Load() {
			c.t.Errorf("%s: %v", path, err)
		}
		return
	}
	defer func() { _ = response.Body.Close() }()
	status := response.StatusCode
	switch status {
	case http.StatusOK, http.StatusNotFound, http.StatusConflict:
		status = http.StatusOK
	case http.StatusServiceUnavailable:
	default:
		var answer json.RawMessage
		_ = json.NewDecoder(response.Body).Decode(&answer)
		c.t.Errorf("%s: %d %s", path, response.StatusCode, answer)
	}
	c.mu.Lock()
	c.seen[status]++
	c.mu.Unlock()
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// until waits until that many responses have that status.
func (c *crowd) until(n, status int) {
	c.t.Helper()
	c.mu.Lock()
	c.seen = make(map[int]int)
	c.mu.Unlock()
	for {
		select {
		case <-c.moved:
		case <-c.t.Context().Done():
			c.t.Fatal("the callers got stuck")
		}
		c.mu.Lock()
		seen := c.seen[status]
		c.mu.Unlock()
		if seen >= n || c.t.Failed() {
			return
		}
	}
}

func (c *crowd) stop() {
	c.done.Store(true)
	c.running.Wait()
}
