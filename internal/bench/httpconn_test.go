package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func exchange(t *testing.T, c *httpConn, ctx context.Context, url, body string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

// TestHTTPConn: one connection serves call after call, and another is made only when the server
// closes it or a response was not read to its end.
func TestHTTPConn(t *testing.T) {
	remotes := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/close":
			w.Header().Set("Connection", "close")
		case "/chunked":
			_, _ = w.Write(body)
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	c := &httpConn{address: server.Listener.Addr().String()}
	defer c.close()
	large := strings.Repeat("x", 100_000)
	for _, step := range []struct {
		path, body, want string
		conns            int
	}{
		{"/", "a", "a", 1}, {"/", "", "", 1}, {"/", large, large, 1}, {"/chunked", "b", "bb", 1}, {"/?q=1", "c", "c", 1},
		{"/close", "d", "d", 1}, {"/", "e", "e", 2}, {"/", "f", "f", 2},
	} {
		got, err := exchange(t, c, t.Context(), server.URL+step.path, step.body)
		if err != nil || got != step.want || len(remotes) != step.conns {
			t.Errorf("%s: %d bytes, %v; %d connections, want %d", step.path, len(got), err, len(remotes), step.conns)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(large))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() // on purpose only after the next call
	if got, err := exchange(t, c, t.Context(), server.URL, "g"); err != nil || got != "g" || len(remotes) != 3 {
		t.Errorf("after a response that was not read: %q, %v; %d connections, want 3", got, err, len(remotes))
	}
}

// TestHTTPConnEnds: the end of the context that the connection was dialed with wakes a caller that
// waits for a response.
func TestHTTPConnEnds(t *testing.T) {
	arrived, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-leave
	}))
	defer server.Close()
	defer close(leave)
	ctx, cancel := context.WithCancel(t.Context())
	c := &httpConn{address: server.Listener.Addr().String()}
	defer c.close()
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := exchange(t, c, ctx, server.URL, "x"); err == nil {
		t.Error("there was a response")
	}
}
