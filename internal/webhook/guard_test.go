package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"internaltransfers/internal/events"
	"internaltransfers/internal/webhook"
)

// TestAddresses: no connection is made to an address that is not public on the Internet.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250",
		"240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1",
		"fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1",
	} {
		if err := webhook.Dial("tcp", net.JoinHostPort(address, "443")); err == nil {
			t.Errorf("%s is dialled", address)
		}
		network := "tcp4"
		if strings.Contains(address, ":") {
			network = "tcp6"
		}
		if err := webhook.Dial(network, net.JoinHostPort(address, "443")); err == nil {
			t.Errorf("%s is dialled over %s", address, network)
		}
		host := address
		if network == "tcp6" {
			host = "[" + strings.ReplaceAll(address, "%", "%25") + "]"
		}
		if webhook.CheckURL("https://"+host+"/hook", false) == nil {
			t.Errorf("%s is taken as a URL's host", address)
		}
		if err := webhook.CheckURL("https://"+host+"/hook", true); err != nil {
			t.Errorf("%s where private networks are allowed: %v", address, err)
		}
	}
	for _, address := range []string{"8.8.8.8:443", "1.1.1.1:8080", "[2606:4700:4700::1111]:443"} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		if err := webhook.Dial(network, address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if err := webhook.CheckURL("http://"+address, false); err != nil {
			t.Errorf("http://%s: %v", address, err)
		}
	}
	if webhook.Dial("unix", "/run/x.sock") == nil || webhook.Dial("udp4", "8.8.8.8:53") == nil {
		t.Error("other networks are dialled")
	}
}

// TestURLs: what is no URL of a host on the Internet is refused, with the reason.
func TestURLs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, reason string }{
		{"https://example.com/hook?key=1", ""}, {"http://example.com.:8080", ""}, {"https://EXAMPLE.com", ""}, {"https://bücher.example/", ""},
		{"https://example.com:65535/", ""}, {"ftp://example.com", "must begin with"}, {"//example.com", "must begin with"},
		{"javascript:alert(1)", "must begin with"}, {"https://", "must have a host"}, {"https:///x", "must have a host"}, {"https://:80", "must have a host"},
		{"https://user@example.com", "user or password"}, {"https://user:pass@example.com", "user or password"},
		{"https://@example.com", "user or password"}, {"https://example.com#x", "fragment"}, {"https://example.com/#", "fragment"},
		{"https://example.com:", "a port"}, {"https://example.com:0", "a port"}, {"https://example.com:65536", "a port"},
		{"https://exam ple.com", "must be an http"}, {"https://[::1", "must be an http"}, {"https://example.com/%zz", "must be an http"},
		{"https://127.1/", "four decimal numbers"}, {"https://2130706433/", "four decimal numbers"}, {"https://0x7f000001/", "four decimal numbers"},
		{"https://0177.0.0.1/", "four decimal numbers"}, {"https://127.0.0.1./", "four decimal numbers"}, {"https://./", "a host name"},
		{"https://localhost/", "private network"}, {"https://LOCALHOST./", "private network"}, {"https://x.localhost/", "private network"},
		{"https://metadata.google.internal/", "private network"}, {"https://printer.local/", "private network"},
	} {
		err := webhook.CheckURL(c.url, false)
		if c.reason == "" && err != nil || c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) {
			t.Errorf("%s: %v, want %q", c.url, err, c.reason)
		}
	}
}

// TestPrivateRefused: the address of a name is checked when the connection is made, whatever the
// endpoint was made with.
func TestPrivateRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b := r.account(), r.account()
	to := receive(t, nil)
	e := r.endpoint(to, events.Filter{})
	byName, _, err := r.ledger.Webhooks.Create(t.Context(), webhook.Params{URL: strings.Replace(to.URL, "127.0.0.1", "localhost", 1)})
	if err != nil {
		t.Fatal(err)
	}
	config := r.config()
	config.AllowPrivate = false
	r.deliver(config)
	r.pay(a, b)
	for _, id := range []webhook.Endpoint{e, byName} {
		r.until("the attempt has failed", func() bool { return r.get(id.ID).Failure != "" })
		if got := r.get(id.ID); got.Failure != "the host is in a private network" || got.LastSuccess != nil {
			t.Errorf("%+v", got)
		}
	}
	to.none(t)
}

// TestFailureText: why an attempt failed is one short line, which the database takes, without the
// URL.
func TestFailureText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{context.DeadlineExceeded, "there was no answer in time"},
		{&net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}, "the host is not known"},
		{&net.DNSError{Err: "server misbehaving", Name: "secret.example"}, "the host's name could not be resolved"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, Err: errors.New("connection refused")}, "connection refused"},
		{errors.New("a\x00b\nc\xff" + strings.Repeat("é", 300)), "a b c?" + strings.Repeat("é", 194)},
	} {
		got := webhook.FailureText(&url.Error{Op: "Post", URL: "https://secret.example", Err: fmt.Errorf("x: %w", c.err)})
		if !strings.HasSuffix(c.want, "é") && got != c.want || !utf8.ValidString(got) || utf8.RuneCountInString(got) > 200 ||
			strings.ContainsAny(got, "\x00\n") || strings.Contains(got, "secret") {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}
