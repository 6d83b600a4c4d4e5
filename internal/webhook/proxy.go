package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// proxyAddressesMax is how many of a host's addresses are tried through a proxy.
const proxyAddressesMax = 4

// A proxyError is a failure at the proxy. Its text does not tell an endpoint's owner where the
// proxy is.
type proxyError string

func (e proxyError) Error() string { return string(e) }

const errNoProxy = proxyError("the proxy cannot be reached")

// ParseProxy reads the URL of a proxy. No error has the URL in it, since that may have a password.
func ParseProxy(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("must be a URL such as http://user:password@proxy:3128")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("must have a host")
	case (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must have nothing behind the host and port")
	}
	return u, nil
}

// A tunneler connects to endpoints through a proxy, by CONNECT, whether they are http or https.
//
// Unless private networks are allowed, it resolves an endpoint's name itself, and has the proxy
// connect to an address that it has checked: a name could lead the proxy elsewhere, and the proxy
// may reach networks that endpoints must not. Where they are allowed, the proxy gets the name, and
// decides. The proxy itself may be anywhere.
type tunneler struct {
	proxy        *url.URL
	allowPrivate bool
	dialer       net.Dialer
	tls          *tls.Config // to an https proxy; nil: the default
	resolve      func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newTunneler(proxy *url.URL, allowPrivate bool) *tunneler {
	return &tunneler{
		proxy: proxy, allowPrivate: allowPrivate, dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second},
		resolve: net.DefaultResolver.LookupNetIP,
	}
}

// dial connects to an endpoint.
func (t *tunneler) dial(ctx context.Context, _, target string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	if t.allowPrivate {
		return t.tunnel(ctx, target)
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	addresses, err := t.resolve(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	err = errPrivate
	tried := 0
	for _, address := range addresses {
		if address = address.Unmap(); guardian.SafeAddr(address) != nil || tried == proxyAddressesMax {
			continue
		}
		tried++
		var conn net.Conn
		if conn, err = t.tunnel(ctx, net.JoinHostPort(address.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// tunnel has the proxy connect to a host and port.
func (t *tunneler) tunnel(ctx context.Context, target string) (net.Conn, error) {
	conn, err := t.reach(ctx)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		if err = t.ask(conn, target); !stop() {
			err = ctx.Err()
		}
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil:
		return conn, nil
	}
	if conn != nil {
		_ = conn.Close()
	}
	return nil, err
}

// ask sends CONNECT to the proxy, over a connection to it.
func (t *tunneler) ask(conn net.Conn, target string) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: make(http.Header)}
	request.Header.Set("User-Agent", userAgent)
	if user := t.proxy.User; user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return errNoProxy
	}
	// The reader loses nothing behind the response: the endpoint sends nothing before the client
	// does.
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, headerBytesMax)), request) //nolint:bodyclose // CONNECT has none
	switch {
	case err != nil:
		return proxyError("the proxy does not respond as one")
	case response.StatusCode < 200 || response.StatusCode > 299:
		return proxyError(fmt.Sprintf("the proxy responded with status %d", response.StatusCode))
	}
	return nil
}

// reach connects to the proxy itself.
func (t *tunneler) reach(ctx context.Context) (net.Conn, error) {
	port := t.proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[t.proxy.Scheme]
	}
	dial := t.dialer.DialContext
	if t.proxy.Scheme == "https" {
		dial = (&tls.Dialer{NetDialer: &t.dialer, Config: t.tls}).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(t.proxy.Hostname(), port))
	if err != nil {
		return nil, errNoProxy
	}
	return conn, nil
}
