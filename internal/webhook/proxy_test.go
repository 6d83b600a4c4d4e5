package webhook_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"internaltransfers/internal/events"
	"internaltransfers/internal/webhook"
)

// A connectProxy takes CONNECT, and connects to where leads says instead of the requested target.
type connectProxy struct {
	*httptest.Server
	leads func(target string) string

	mu    sync.Mutex
	asked []string // guarded by mu; the targets, each with the credentials that came
}

func newConnectProxy(t *testing.T, secure bool, leads func(target string) string) *connectProxy {
	p := &connectProxy{leads: leads}
	p.Server = httptest.NewUnstartedServer(p)
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization")))
	p.mu.Unlock()
	to, err := net.Dial("tcp", p.leads(r.RequestURI))
	if r.Method != http.MethodConnect || err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	from, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
}

// took returns the targets requested since the last call.
func (p *connectProxy) took() (asked string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked = strings.Join(p.asked, ", ")
	p.asked = nil
	return asked
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := webhook.ParseProxy(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestProxy: a deliverer goes through the proxy, with its password.
func TestProxy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	proxy := newConnectProxy(t, false, func(target string) string { return target })
	to := receive(t, nil)
	r.endpoint(to, events.Filter{})
	config := r.config()
	config.Proxy = mustParse(t, strings.Replace(proxy.URL, "://", "://user:p%40ss@", 1))
	r.deliver(config)
	for range 2 {
		paid := r.pay(a, b)
		if m := to.next(t); m.transfer() != paid.ID.String() {
			t.Errorf("got %+v, want %s", m, paid.ID)
		}
	}
	// One tunnel is for all messages.
	if got, want := proxy.took(), "CONNECT "+strings.TrimPrefix(to.URL, "http://")+" Basic dXNlcjpwQHNz"; got != want {
		t.Errorf("the proxy got %q, want %q", got, want)
	}
}

// TestProxyIsGuarded: the proxy gets addresses that were checked, and no others; the endpoint's
// certificate must match the URL.
func TestProxyIsGuarded(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	roots := x509.NewCertPool()
	roots.AddCert(receiver.Certificate())
	leads := func(target string) string {
		switch target {
		case "93.184.216.34:443", "[2606:2800:220:1::1]:443", "example.com:443":
			return receiver.Listener.Addr().String()
		case "93.184.216.34:80":
			return plain.Listener.Addr().String()
		}
		return "127.0.0.1:0"
	}
	const public, private = "93.184.216.34", "the host is in a private network"
	for _, c := range []struct {
		url, resolved string
		allowPrivate  bool
		asked, fails  string
	}{
		{url: "https://example.com/hook", resolved: public, asked: "CONNECT 93.184.216.34:443"},
		{url: "https://example.com/hook", resolved: "::ffff:93.184.216.34", asked: "CONNECT 93.184.216.34:443"},
		{url: "https://example.com/hook", resolved: "2606:2800:220:1::1", asked: "CONNECT [2606:2800:220:1::1]:443"},
		{url: "http://example.com/hook", resolved: public, asked: "CONNECT 93.184.216.34:80"},
		{url: "https://example.com/hook", resolved: "10.0.0.1 127.0.0.1 169.254.169.254 ::1", fails: private},
		{url: "https://example.com/hook", resolved: "10.0.0.1 93.184.216.34", asked: "CONNECT 93.184.216.34:443"},
		{url: "https://example.com/hook", resolved: "8.8.8.8 93.184.216.34", asked: "CONNECT 8.8.8.8:443, CONNECT 93.184.216.34:443"},
		{
			url: "https://example.com/hook", resolved: "8.8.8.1 8.8.8.2 8.8.8.3 8.8.8.4 93.184.216.34",
			asked: "CONNECT 8.8.8.1:443, CONNECT 8.8.8.2:443, CONNECT 8.8.8.3:443, CONNECT 8.8.8.4:443", fails: "the proxy responded with status 502",
		},
		{url: "https://example.com/hook", fails: "the host is not known"},
		{url: "https://10.0.0.1/hook", resolved: "10.0.0.1", fails: private},
		{url: "https://other.example/hook", resolved: public, asked: "CONNECT 93.184.216.34:443", fails: "not other.example"},
		{url: "https://example.com/hook", allowPrivate: true, asked: "CONNECT example.com:443"},
	} {
		for _, secure := range []bool{false, true} {
			proxy := newConnectProxy(t, secure, leads)
			failure := webhook.SendThrough(t.Context(), webhook.Through{
				Proxy: mustParse(t, proxy.URL), AllowPrivate: c.allowPrivate, Roots: roots,
				Resolve: func(context.Context, string, string) (addresses []netip.Addr, err error) {
					for _, text := range strings.Fields(c.resolved) {
						addresses = append(addresses, netip.MustParseAddr(text))
					}
					if len(addresses) == 0 {
						err = &net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: true}
					}
					return addresses, err
				},
			}, c.url)
			if asked := proxy.took(); asked != c.asked || failure != c.fails && (c.fails == "" || !strings.Contains(failure, c.fails)) {
				t.Errorf("%s at %q (proxy secure: %t): target %q, failed with %q; want %q, %q", c.url, c.resolved, secure, asked,
					failure, c.asked, c.fails)
			}
		}
	}
}

// TestProxyFails: a failure at the proxy is described in a short line, without the proxy's address.
func TestProxyFails(t *testing.T) {
	t.Parallel()
	answer := func(text string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	away := answer("")
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		away = l.Addr().String()
		_ = l.Close()
	}
	for _, c := range []struct{ proxy, fails string }{
		{"http://" + away, "the proxy cannot be reached"},
		{"https://" + answer("HTTP/1.1 200 OK\r\n\r\n"), "the proxy cannot be reached"}, // it speaks no TLS
		{"http://" + answer("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), "the proxy responded with status 407"},
		{"http://" + answer("HTTP/1.1 403 Forbidden\r\n\r\n<html>"), "the proxy responded with status 403"},
		{"http://" + answer("SSH-2.0-OpenSSH\r\n"), "the proxy does not respond as one"},
		{"http://" + answer("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)), "the proxy does not respond as one"},
		{"http://" + answer(""), "the proxy does not respond as one"},
		{"http://" + answer("HTTP/1.0 200 Connection established\r\n\r\n"), "the connection was closed before a response"}, // and closes
	} {
		failure := webhook.SendThrough(t.Context(), webhook.Through{Proxy: mustParse(t, c.proxy), AllowPrivate: true}, "http://example.com/")
		if failure != c.fails {
			t.Errorf("%s: failed with %q, want %q", c.proxy, failure, c.fails)
		}
	}
}

// TestProxyHangs: a proxy that does not respond is given up with the attempt.
func TestProxyHangs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	release := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
	}))
	t.Cleanup(proxy.Close)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	failure := webhook.SendThrough(ctx, webhook.Through{Proxy: mustParse(t, proxy.URL), AllowPrivate: true}, "http://example.com/")
	if failure != "context canceled" {
		t.Errorf("failed with %q", failure)
	}
}

// TestNoProxyOfTheEnvironment: without the setting events go straight to the endpoint.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "http://proxy.example:3128")
	}
	for _, to := range []string{"http://example.com/", "https://example.com/"} {
		dialled := ""
		webhook.SendThrough(t.Context(), webhook.Through{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = address
			return nil, errors.New("not here")
		}}, to)
		if want := map[string]string{"http": "example.com:80", "https": "example.com:443"}[strings.Split(to, ":")[0]]; dialled != want {
			t.Errorf("%s: connected to %s", to, dialled)
		}
	}
}

// TestParseProxy: what is no proxy's URL is refused with the reason, without a password that may be
// in it.
func TestParseProxy(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"http://proxy:3128": "", "https://user:pass@proxy.example/": "", "http://[::1]:3128": "", "http://10.0.0.1": "",
		"proxy:3128": "http://", "socks5://hunter2@proxy": "http://", "http://": "host", "http://hunter2@": "host", "": "http://",
		"http://proxy/hunter2": "nothing behind", "http://proxy?hunter2": "nothing behind", "http://proxy#hunter2": "nothing behind",
		"http://user:hunter2@%zz": "a URL", "http://user:hunter2@proxy:port": "a URL", "http://user:hunter2 @proxy": "a URL",
	} {
		_, err := webhook.ParseProxy(text)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
