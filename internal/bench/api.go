package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"internaltransfers/gen/transfers/v1/transfersv1connect"
)

// The protocols.
const (
	connectProto = "connect-proto" // Connect with protobuf, HTTP/1.1
	connectJSON  = "connect-json"  // Connect with JSON, HTTP/1.1
	grpcProto    = "grpc"          // gRPC, HTTP/2 without TLS
	grpcWeb      = "grpc-web"      // gRPC-Web, HTTP/1.1
	rest         = "rest"          // the REST routes with JSON, HTTP/1.1
)

// An api is the public API over one protocol.
type api struct {
	accounts  transfersv1connect.AccountServiceClient
	transfers transfersv1connect.TransferServiceClient
	ledger    transfersv1connect.LedgerServiceClient
}

// newAPI makes a client of the server at base.
func newAPI(base, protocol string, gzip bool, client connect.HTTPClient) *api {
	if protocol == rest {
		caller := &restCaller{base: base, http: client}
		return &api{accounts: &restAccounts{restCaller: caller}, transfers: &restTransfers{restCaller: caller}}
	}
	var options []connect.ClientOption
	switch protocol {
	case connectJSON:
		options = append(options, connect.WithProtoJSON())
	case grpcProto:
		options = append(options, connect.WithGRPC())
	case grpcWeb:
		options = append(options, connect.WithGRPCWeb())
	}
	if !gzip {
		options = append(options, connect.WithAcceptCompression("gzip", nil, nil))
	}
	return &api{
		accounts:  transfersv1connect.NewAccountServiceClient(client, base, options...),
		transfers: transfersv1connect.NewTransferServiceClient(client, base, options...),
		ledger:    transfersv1connect.NewLedgerServiceClient(client, base, options...),
	}
}

// callersPerConn is how many callers share an HTTP/2 connection by default. A connection's frames
// are written one at a time, on both sides.
const callersPerConn = 32

// A dialer gives the callers of a leg their HTTP clients.
type dialer struct {
	base   *url.URL
	http2  bool
	shared []*http.Client // HTTP/2: a connection each, until one has too many streams
}

func newDialer(base, protocol string, callers, conns int) (*dialer, error) {
	parsed, err := url.Parse(base)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" {
		return nil, fmt.Errorf("the target must be a URL such as http://localhost:9091, not %q", base)
	}
	d := &dialer{base: parsed, http2: protocol == grpcProto}
	if d.http2 {
		if conns == 0 {
			conns = (callers + callersPerConn - 1) / callersPerConn
		}
		for range min(conns, callers) {
			d.shared = append(d.shared, newHTTP2Client())
		}
	}
	return d, nil
}

func newHTTP2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true}}
}

// client returns the HTTP client of one caller. closeIt is called when the caller has ended.
func (d *dialer) client(index int) (client connect.HTTPClient, closeIt func()) {
	if d.http2 {
		return d.shared[index%len(d.shared)], func() {}
	}
	conn := &httpConn{address: d.base.Host}
	return conn, conn.close
}

func (d *dialer) close() {
	for _, client := range d.shared {
		client.CloseIdleConnections()
	}
}

// newControl returns the client for what is not measured: opening accounts, reading them, proving
// the ledger.
func newControl(base string, callers int) (*api, func()) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, IdleConnTimeout: time.Minute}}
	return newAPI(base, connectProto, true, client), client.CloseIdleConnections
}

// awaitReady requests the readiness of a server that listens, and returns why it is not ready.
func awaitReady(ctx context.Context, base string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readycheck", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", request.URL, response.Status)
	}
	return nil
}
