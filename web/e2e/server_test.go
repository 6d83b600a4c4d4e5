package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/pgtest"
)

// A server is the program, serving a database of its own, with clients beside the browser.
type server struct {
	address string // host:port
	env     []string

	accounts  transfersv1connect.AccountServiceClient
	transfers transfersv1connect.TransferServiceClient
	ledger    transfersv1connect.LedgerServiceClient

	cmd    *exec.Cmd
	exited chan struct{}
	err    error         // of the exit; after exited is closed
	logs   *bytes.Buffer // standard error; after exited is closed
}

// serve starts the program on a new database, and waits until it listens. When the test ends, the
// ledger is proved and the program stopped.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{address: freeAddress(t), env: []string{"DATABASE_URL=" + pgtest.NewDatabase(t)}}
	s.start(t, args...)
	t.Cleanup(func() {
		check, err := s.ledger.CheckLedger(context.Background(), &transfersv1.CheckLedgerRequest{})
		if err != nil || !check.GetOk() {
			t.Errorf("the ledger is broken: %v %v", check, err)
		}
		s.stop(t)
	})
	return s
}

// freeAddress returns an address on which no process listens. No client gets its port by chance
// while a server is away from it: those have ports from 32768 on.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(10_000+rand.IntN(20_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return listener.Addr().String()
	}
}

// start starts the program at its address, again after a stop, and waits until it listens.
func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), buildProgram(t), append([]string{"serve"}, args...)...)
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"LISTEN_ADDR=" + s.address, "LOG_FORMAT=json"}, s.env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.exited, s.logs = make(chan struct{}), &bytes.Buffer{}
	listening := make(chan struct{}, 1)
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, s.logs))
		for lines.Scan() {
			var line struct{ Msg string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				listening <- struct{}{}
			}
		}
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case <-listening:
		s.accounts = transfersv1connect.NewAccountServiceClient(http.DefaultClient, s.url(""))
		s.transfers = transfersv1connect.NewTransferServiceClient(http.DefaultClient, s.url(""))
		s.ledger = transfersv1connect.NewLedgerServiceClient(http.DefaultClient, s.url(""))
	case <-s.exited:
		t.Fatalf("the server ended: %v\n%s", s.err, s.logs)
	}
}

// stop makes the program end and waits until it has.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	if s.err != nil {
		t.Errorf("SIGTERM: %v\n%s", s.err, s.logs)
	}
}

// url returns the address of a path, which begins with a slash.
func (s *server) url(path string) string { return "http://" + s.address + path }

// account opens an account beside the browser.
func (s *server) account(t *testing.T, name, balance string) string {
	t.Helper()
	r, err := s.accounts.CreateAccount(t.Context(), &transfersv1.CreateAccountRequest{DisplayName: name, InitialBalance: balance})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetAccount().GetAccountId()
}

// transfer moves money beside the browser.
func (s *server) transfer(t *testing.T, request *transfersv1.CreateTransferRequest) *transfersv1.Transfer {
	t.Helper()
	r, err := s.transfers.CreateTransfer(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return r.GetTransfer()
}

// balance reads an account's balance.
func (s *server) balance(t *testing.T, account string) string {
	t.Helper()
	r, err := s.accounts.GetAccount(t.Context(), &transfersv1.GetAccountRequest{AccountId: account})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetAccount().GetBalance()
}
