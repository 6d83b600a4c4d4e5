package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"

	"github.com/google/uuid"

	"internaltransfers/internal/events"
)

// StartLooking is Start, and calls looked each time after a pump has read the due deliveries.
func StartLooking(config Config, looked func(id uuid.UUID)) (*Deliverer, error) {
	d, err := newDeliverer(config)
	if err != nil {
		return nil, err
	}
	due := d.due
	d.due = func(ctx context.Context, id uuid.UUID, underWay []int64, limit int) ([]dueDelivery, error) {
		deliveries, err := due(ctx, id, underWay, limit)
		looked(id)
		return deliveries, err
	}
	d.start()
	return d, nil
}

// Kill ends everything as a crash does: nothing more is written, and nothing is released.
func (d *Deliverer) Kill() {
	d.stop()
	<-d.ended
	for _, p := range d.pumps {
		<-p.done
	}
}

// Dial returns the dialer's error before it connects to an address.
func Dial(network, address string) error {
	return newDialer(false).Control(network, address, syscall.RawConn(nil))
}

// FailureText is failureText.
var FailureText = failureText

// PendingMax is pendingMax.
const PendingMax = pendingMax

// Backoff is backoff.
var Backoff = backoff[:]

// A Through is the way in which SendThrough posts.
type Through struct {
	Proxy        *url.URL // nil: none
	AllowPrivate bool
	Roots        *x509.CertPool // of proxy and endpoint
	Resolve      func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Dial         func(ctx context.Context, network, address string) (net.Conn, error) // without a proxy
}

// SendThrough posts an event to a URL, and returns why that failed; empty: it did not.
func SendThrough(ctx context.Context, how Through, to string) string {
	s := newSender(how.Proxy, how.AllowPrivate, func(*events.Event) ([]byte, error) { return []byte("{}"), nil })
	defer s.close()
	transport := s.client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: how.Roots}
	if how.Proxy != nil {
		t := newTunneler(how.Proxy, how.AllowPrivate)
		t.resolve, t.tls = how.Resolve, transport.TLSClientConfig.Clone()
		transport.DialContext = t.dial
	} else {
		transport.DialContext = how.Dial
	}
	failure, _ := s.send(ctx, to, nil, &events.Event{Position: 1, Type: events.TransferCreated})
	return failure
}
