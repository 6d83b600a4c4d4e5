package pgtest

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
)

// A relay carries bytes between a standby and its primary, until it is frozen or closed.
type relay struct {
	listener net.Listener
	target   string // the primary's address

	mu     sync.Mutex
	thawed sync.Cond  // of mu
	frozen bool       // guarded by mu
	closed bool       // guarded by mu
	conns  []net.Conn // guarded by mu

	running sync.WaitGroup
}

func newRelay(t testing.TB, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	r := &relay{listener: listener, target: target}
	r.thawed.L = &r.mu
	r.running.Go(r.serve)
	t.Cleanup(func() {
		r.close()
		r.running.Wait()
	})
	return r
}

// conninfo makes a standby replicate through the relay from the server at a URL.
func (r *relay) conninfo(source *url.URL) string {
	password, _ := source.User.Password()
	address := r.listener.Addr().(*net.TCPAddr)
	return fmt.Sprintf("host=%s port=%d user=%s password=%s application_name=%s",
		address.IP, address.Port, source.User.Username(), password, StandbyName)
}

func (r *relay) serve() {
	for {
		standby, err := r.listener.Accept()
		if err != nil {
			return
		}
		primary, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = standby.Close()
			continue
		}
		if !r.keep(standby, primary) {
			return
		}
		r.running.Go(func() { r.carry(standby, primary) })
		r.running.Go(func() { r.carry(primary, standby) })
	}
}

// keep remembers connections, or closes them when the relay is closed.
func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
	if r.closed {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	return !r.closed
}

// carry copies until either side ends.
func (r *relay) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !r.pass() {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// pass waits until the relay is not frozen, and reports whether it is still open.
func (r *relay) pass() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.frozen && !r.closed {
		r.thawed.Wait()
	}
	return !r.closed
}

func (r *relay) freeze(frozen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = frozen
	r.thawed.Broadcast()
}

// close ends all connections for good.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.thawed.Broadcast()
	_ = r.listener.Close()
	for _, c := range r.conns {
		_ = c.Close()
	}
}
