package postgres_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An action is what a proxy does when the statement it waits for comes by.
type action int

const (
	look            action = iota // only sees; the statement goes on its way
	cutBefore                     // the statement never arrives; both ends are closed
	cutAnswer                     // the statement arrives, its response does not; both ends close
	cutAndForget                  // the same, unnoticed by the server: a host that lost power
	cutBeforeAnswer               // the client is cut off at once, the statement arrives later
	cutClient                     // the statement arrives; only the client is cut off
	keepSilent                    // the statement arrives, its response does not; nothing is closed
)

// A fault happens once, at the first statement that begins with the fault's text or has its name in
// queries/, after the faults before it.
type fault struct {
	at   string
	do   action
	then func() // called at the fault; of cutBeforeAnswer and look: before the statement
}

// A proxy stands between pgx and Postgres, understands enough of the protocol to see which
// statement is executed, and breaks connections at exact points.
type proxy struct {
	listener net.Listener
	network  string // of the server
	address  string
	url      string // of the database, through this proxy

	mu     sync.Mutex
	faults []fault    // still to come; guarded by mu
	conns  []net.Conn // all that were opened; guarded by mu

	running sync.WaitGroup
}

// newProxy puts a proxy before a database. The test's end closes it.
func newProxy(t testing.TB, database string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	through, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	port := p.listener.Addr().(*net.TCPAddr).Port
	through.Host, through.RawQuery = net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "sslmode=disable"
	p.url = through.String()
	p.running.Go(p.serve)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		rest := p.faults
		p.mu.Unlock()
		p.running.Wait()
		for _, f := range rest {
			t.Errorf("the proxy never saw %q", f.at)
		}
	})
	return p
}

// expect arms faults, in order.
func (p *proxy) expect(faults ...fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, faults...)
}

// take returns the next fault when it is about this statement.
func (p *proxy) take(statement string) (fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	statement = strings.TrimPrefix(statement, "-- name: ")
	if statement == "" || len(p.faults) == 0 || !strings.HasPrefix(statement, p.faults[0].at) {
		return fault{}, false
	}
	f := p.faults[0]
	p.faults = p.faults[1:]
	return f, true
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(p.network, p.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(client)
		p.keep(server)
		c := &proxied{proxy: p, client: client, server: server, statements: make(map[string]string)}
		c.answered = make(chan struct{}, 1)
		p.running.Go(c.forward)
		p.running.Go(c.backward)
	}
}

// A proxied connection has one goroutine for each direction.
type proxied struct {
	proxy          *proxy
	client, server net.Conn
	statements     map[string]string // prepared, by name; used by forward only

	mu       sync.Mutex
	swallow  bool          // responses are dropped; guarded by mu
	answered chan struct{} // gets a token at the end of a dropped response
}

// forward carries the client's messages to the server, until a fault.
func (c *proxied) forward() {
	keepServer := false
	defer func() {
		_ = c.client.Close()
		if !keepServer {
			_ = c.server.Close()
		}
	}()
	first := true
	var cut *fault // from its statement to the end of the pipeline
	for {
		kind, message, err := readMessage(c.client, first)
		if err != nil {
			return
		}
		first = false
		if cut == nil {
			if f, ok := c.proxy.take(c.statement(kind, message)); ok {
				switch f.do {
				case look:
					f.then()
				case cutBefore:
					if f.then != nil {
						f.then()
					}
					return
				default:
					cut = &f
					c.mu.Lock()
					c.swallow = true
					c.mu.Unlock()
					if f.do == cutBeforeAnswer {
						rest := c.drain(kind, message)
						_ = c.client.Close()
						f.then()
						if _, err := c.server.Write(rest); err == nil {
							<-c.answered
						}
						return
					}
				}
			}
		}
		if _, err := c.server.Write(message); err != nil {
			return
		}
		if cut != nil && (kind == 'S' || kind == 'Q') && cut.do != keepSilent {
			if cut.do != cutClient {
				<-c.answered
			}
			keepServer = cut.do == cutAndForget || cut.do == cutClient
			if cut.then != nil {
				cut.then()
			}
			return
		}
	}
}

// drain reads the rest of a pipeline.
func (c *proxied) drain(kind byte, message []byte) []byte {
	rest := bytes.Clone(message)
	for kind != 'S' && kind != 'Q' {
		var err error
		if kind, message, err = readMessage(c.client, false); err != nil {
			return rest
		}
		rest = append(rest, message...)
	}
	return rest
}

// backward carries the server's messages to the client.
func (c *proxied) backward() {
	for {
		kind, message, err := readMessage(c.server, false)
		if err != nil {
			// The client sees it; a reader of the response gets none.
			_ = c.client.Close()
			select {
			case c.answered <- struct{}{}:
			default:
			}
			return
		}
		c.mu.Lock()
		swallow := c.swallow
		c.mu.Unlock()
		switch {
		case !swallow:
			_, _ = c.client.Write(message)
		case kind == 'Z':
			select {
			case c.answered <- struct{}{}:
			default: // without a waiter
			}
		}
	}
}

// statement returns the text of the statement that a message executes, or nothing.
func (c *proxied) statement(kind byte, message []byte) string {
	body := message[5:]
	switch kind {
	case 'P': // Parse: name, text
		if name, rest, ok := bytes.Cut(body, []byte{0}); ok {
			text, _, _ := bytes.Cut(rest, []byte{0})
			c.statements[string(name)] = string(text)
		}
	case 'B': // Bind: portal, name
		if _, rest, ok := bytes.Cut(body, []byte{0}); ok {
			name, _, _ := bytes.Cut(rest, []byte{0})
			return c.statements[string(name)]
		}
	case 'Q':
		return string(body)
	}
	return ""
}

// readMessage reads one protocol message, whole. Only the first of a client has no kind.
func readMessage(r io.Reader, first bool) (kind byte, message []byte, err error) {
	header := make([]byte, 5)
	if first {
		header = header[:4]
	}
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, nil, err
	}
	if !first {
		kind = header[0]
	}
	size := int(binary.BigEndian.Uint32(header[len(header)-4:])) - 4
	message = make([]byte, len(header)+size)
	copy(message, header)
	_, err = io.ReadFull(r, message[len(header):])
	return kind, message, err
}
