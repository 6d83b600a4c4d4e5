package server_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	transfersv1 "internaltransfers/gen/transfers/v1"
	"internaltransfers/server"
)

func newEarlyListener(t *testing.T) *server.EarlyListener {
	t.Helper()
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	early := server.NewEarlyListener(port, 100, nil, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = early.Close() })
	return early
}

// TestEarlyResponses: while the database is being prepared, probes report that the process is alive
// and not ready, and calls of every protocol get a retryable error.
func TestEarlyResponses(t *testing.T) {
	t.Parallel()
	early := newEarlyListener(t)
	f := &fixture{
		url:   "http://" + early.Addr().String(),
		http1: newClient(func(p *http.Protocols) { p.SetHTTP1(true) }),
		http2: newClient(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
	}
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthcheck", http.StatusOK, `{"status":"ok"}` + "\n"},
		{"/readycheck", http.StatusServiceUnavailable, `{"status":"starting","reason":"its database is being prepared"}` + "\n"},
		{"/readycheck?for=read", http.StatusServiceUnavailable, `{"status":"starting","reason":"its database is being prepared"}` + "\n"},
		{"/", http.StatusServiceUnavailable, "the server is starting"},
	} {
		if res, body := f.send(t, http.MethodGet, c.path, ""); res.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s", c.path, res.StatusCode, body)
		}
	}
	eachProtocol(t, f, func(t *testing.T, c client) {
		_, err := c.call(t.Context(), "AccountService/ListAccounts", &transfersv1.ListAccountsRequest{}, &transfersv1.ListAccountsResponse{})
		requireInfo(t, err, connect.CodeUnavailable, "STARTING")
	})
	health := grpchealth.NewClient(f.http2, f.url, connect.WithGRPC())
	if _, err := health.Check(t.Context(), &grpchealth.CheckRequest{}); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("gRPC health: %v", err)
	}
}

// bodyOf returns the body of a GET, or why it failed.
func bodyOf(client *http.Client, url string) string {
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// TestEarlyGivesWay: from Ready on, every connection goes to the server, while others are just
// being served.
func TestEarlyGivesWay(t *testing.T) {
	t.Parallel()
	early := newEarlyListener(t)
	url := "http://" + early.Addr().String() + "/"
	getWith := func(client *http.Client) string { return bodyOf(client, url) }
	get := func() string {
		client := newClient(func(p *http.Protocols) { p.SetHTTP1(true) }) // with its own connection
		defer client.CloseIdleConnections()
		return getWith(client)
	}
	h2 := newClient(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }) // with one connection
	if got := getWith(h2); !strings.Contains(got, "STARTING") {
		t.Errorf("HTTP/2, early: %s", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	responses := make(chan struct{}, 1000)
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if got := get(); got != "proper" && !strings.Contains(got, "STARTING") {
					t.Errorf("a call meanwhile: %s", got)
				}
				select {
				case responses <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 50 {
		<-responses
	}
	early.Ready()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	proper := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "proper") })}
	served := make(chan error, 1)
	after := make(chan string, 20)
	for range cap(after) {
		go func() { after <- get() }() // before Accept is called
	}
	go func() { served <- proper.Serve(early) }()
	for range cap(after) {
		if got := <-after; got != "proper" {
			t.Errorf("a call after Ready: %s", got)
		}
	}
	if got := getWith(h2); got != "proper" {
		t.Errorf("HTTP/2, after Ready: %s", got)
	}
	stop()
	callers.Wait()
	if err := proper.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
