package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"internaltransfers/internal/pgtest"
	"internaltransfers/internal/postgres"
	"internaltransfers/server"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// newTarget starts a server in this process, on a database of its own.
func newTarget(t *testing.T) (base, databaseURL string) {
	t.Helper()
	databaseURL = pgtest.NewDatabase(t)
	logger := slog.New(slog.DiscardHandler)
	l, err := postgres.Open(context.Background(), postgres.Config{DatabaseURL: databaseURL, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	s, err := server.New(server.Config{Ledger: l, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + listener.Addr().String(), pgtest.Superuser(databaseURL)
}

// newSystem returns a server and a few accounts, as a run has them.
func newSystem(t *testing.T, accounts int) (*system, *api, *population) {
	t.Helper()
	base, databaseURL := newTarget(t)
	s := &system{options: &Options{Gzip: true, Stderr: io.Discard}, base: base, databaseURL: databaseURL, serverURL: databaseURL}
	control, closeControl := newControl(base, 4)
	t.Cleanup(closeControl)
	opened, _, _, err := openAccounts(t.Context(), control, accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &population{accounts: opened}
	if err := preload(t.Context(), control, p, 30, nil); err != nil {
		t.Fatal(err)
	}
	if len(p.transfers) != 30 {
		t.Fatalf("%d transfers are known after the preload, want 30", len(p.transfers))
	}
	return s, control, p
}

func requireProof(t *testing.T, control *api, p *population) {
	t.Helper()
	proof, err := prove(t.Context(), control, p.accounts)
	if err != nil {
		t.Fatal(err)
	}
	if !proof.Sound() || proof.Accounts != len(p.accounts) || proof.Examined == 0 {
		t.Errorf("proof: %+v", proof)
	}
}

// makeCalls makes n calls of a contender, by two callers in turn, and returns how many items
// succeeded.
func makeCalls(t *testing.T, c *contender, n int) (items int) {
	t.Helper()
	var calls []call
	for i := range 2 {
		do, stop, err := c.newCaller(t.Context(), i, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		calls = append(calls, do)
	}
	for i := range n {
		done, err := calls[i%2](t.Context())
		if err != nil {
			t.Fatalf("%s, %s, call %d: %v", c.name, c.workload, i, err)
		}
		items += done
	}
	return items
}

// TestEveryProtocolAndWorkload: tens of calls each against a real server, none of which fails, and
// no money is lost.
func TestEveryProtocolAndWorkload(t *testing.T) {
	s, control, p := newSystem(t, 20)
	for _, protocol := range Protocols {
		for _, workload := range Workloads {
			for _, batch := range []int{1, 3} {
				if batch > 1 && (workload == read || workload == mixed) {
					continue
				}
				c, err := s.service(workload, protocol, batch, 2, p)
				if err != nil {
					t.Fatal(err)
				}
				if items := makeCalls(t, c, 20); items != 20*batch {
					t.Errorf("%s over %s, %d a call: %d items, want %d", workload, protocol, batch, items, 20*batch)
				}
			}
		}
	}
	for _, list := range listings {
		c, err := s.lister(list, p)
		if err != nil {
			t.Fatal(err)
		}
		makeCalls(t, c, 4)
	}
	requireProof(t, control, p)
}

// TestContenders: what the service is compared with moves the same money, and refuses to overdraw.
func TestContenders(t *testing.T) {
	s, control, p := newSystem(t, 10)
	for _, workload := range []string{uniform, hotDebit, hotCredit, pingPong} {
		list, stop, err := s.contenders(t.Context(), workload, connectProto, 1, 2, p, true, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			if items := makeCalls(t, c, 20); items != 20 {
				t.Errorf("%s, %s: %d items, want 20", c.name, workload, items)
			}
			if c.check != nil {
				if err := c.check(t.Context()); err != nil {
					t.Errorf("%s, %s: %v", c.name, workload, err)
				}
			}
		}
		stop()
	}
	requireProof(t, control, p)
}

// TestBaselinesRefuse: a hand-written transfer that would overdraw fails and changes nothing, in
// either order of locks.
func TestBaselinesRefuse(t *testing.T) {
	s, _, p := newSystem(t, 2)
	b, err := openBaseline(t.Context(), s.databaseURL, 2, p)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var tooMuch pgtype.Numeric
	if err := tooMuch.Scan("1000000000000"); err != nil {
		t.Fatal(err)
	}
	for name, move := range map[string]func(context.Context, *movement) error{
		"a": b.stepwise, "b": b.oneStatement, "c": b.lockFirst,
	} {
		for _, ends := range [][2]int{{0, 1}, {1, 0}} {
			m := &movement{uuid.New(), p.accounts[ends[0]].id, p.accounts[ends[1]].id, tooMuch}
			err := move(t.Context(), m)
			if !errors.Is(err, errInsufficientFunds) && (err == nil || errorCode(err) != "SQLSTATE 23514") {
				t.Errorf("(%s) payer first %v: %v", name, m.payerFirst(), err)
			}
		}
	}
	if err := b.conserved(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRun: a whole run prints a report with what was measured, and draws it.
func TestRun(t *testing.T) {
	base, databaseURL := newTarget(t)
	plot := filepath.Join(t.TempDir(), "plot.svg")
	var out, progress bytes.Buffer
	options := Options{
		Target: base, DatabaseURL: databaseURL, Workload: uniform, Protocol: connectProto, Batch: 1, Callers: 4,
		Accounts: 20, Gzip: true, WarmUp: time.Millisecond, Duration: 100 * time.Millisecond, Rounds: 2,
		Baseline: true, SQLDirect: true, JSON: true, Plot: plot, Stdout: &out, Stderr: &progress,
	}
	if err := Run(t.Context(), options); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var report Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	var names []string
	for i := range report.Measurements {
		names = append(names, report.Measurements[i].Contender)
	}
	if got := strings.Join(names, " "); got != "service sql-direct baseline-a baseline-b baseline-c" {
		t.Errorf("measured %s", got)
	}
	if len(report.Ratios) != 4 || !report.Proof.Sound() || report.Machine.Postgres["fsync"] == "" {
		t.Errorf("report: %s", &out)
	}
	svg, err := os.ReadFile(plot)
	if err != nil {
		t.Fatal(err)
	}
	requireXML(t, svg)
	var text strings.Builder
	if err := report.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fsync=", "every invariant holds", "conserved", "service / baseline-a"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, &text)
		}
	}
}

func requireXML(t *testing.T, text []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
}

// TestVerdict: a run whose ledger is not sound, or that saw errors, fails.
func TestVerdict(t *testing.T) {
	sound := &Proof{OK: true, Conserved: true}
	for _, c := range []struct {
		name   string
		report Report
		ok     bool
	}{
		{"sound", Report{Proof: sound}, true},
		{"no proof", Report{}, false},
		{"an invariant is broken", Report{Proof: &Proof{Conserved: true}}, false},
		{"money is missing", Report{Proof: &Proof{OK: true}}, false},
		{"errors", Report{Proof: sound, Measurements: []Measurement{{Errors: map[string]int64{"internal": 1}}}}, false},
		{"the queue was full", Report{Proof: sound, Measurements: []Measurement{{Errors: map[string]int64{"resource_exhausted": 1}}}}, true},
	} {
		if err := c.report.verdict(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
