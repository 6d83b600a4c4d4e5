// Package server is the HTTP edge of the ledger: one handler for Connect, gRPC, gRPC-Web, JSON and
// REST.
//
// It knows HTTP and protobuf, not SQL. A request passes withCall (its id and body deadline), the
// checks of its host and of the page that sent it, the interceptors (log, recovery, time limit,
// errors, validation) and a handler, which converts, calls the ledger and converts back. RPC paths
// are mounted straight on the mux; REST paths pass through a check of our own and vanguard to the
// same handlers.
package server

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/gen/transfers/v1/transfersv1connect"
	"internaltransfers/internal/access"
	"internaltransfers/internal/postgres"
)

// Config is what a Server is made with. Zero fields but Ledger have defaults; negative ones are
// refused.
type Config struct {
	Ledger *postgres.Ledger // serves the calls; its owner closes it after Serve has returned
	Logger *slog.Logger     // default: slog.Default()
	// RequestTimeout bounds each call when the client's own deadline is later or absent, and the
	// time in which a request's body must have come. Default: 30 s.
	RequestTimeout time.Duration
	// CheckTimeout bounds a proof of the ledger, in place of RequestTimeout: its time grows with
	// the ledger. Default: 10 min.
	CheckTimeout time.Duration
	// MaxRequestBytes bounds the body of a request with many transfers, compressed or not; others
	// may have 64 or 384 KiB. Default: 8 MiB; a batch of 10,000 transfers in JSON is about 3 MB.
	MaxRequestBytes int
	// RequestMemoryBytes bounds the memory of all requests in flight, at least four times
	// MaxRequestBytes. Default: 128 MiB, or 16 times MaxRequestBytes if that is more.
	RequestMemoryBytes int
	// MaxConnections bounds the connections that are open at once; more wait to be accepted.
	// Default: 10,000.
	MaxConnections int
	// DrainTimeout bounds how long Serve waits at its end for calls in flight. Default: 30 s.
	DrainTimeout time.Duration
	// TLS makes Serve use TLS, as NewTLS configures it. Default: it does not.
	TLS *tls.Config
	// AllowedHosts are the names that the Host of a request may have, beside IP addresses and
	// localhost, such as ledger.example.com or *.example.com; * is any.
	AllowedHosts []string
	// AllowedOrigins are the origins, such as https://console.example.com, whose pages browsers let
	// call us. Empty: none.
	AllowedOrigins []string
	// AllowedHeaders are headers that these pages may send beside those of Connect, gRPC-Web, REST
	// and OpenTelemetry.
	AllowedHeaders []string
	// PrivateWebhooks lets webhook endpoints have URLs in private networks.
	PrivateWebhooks bool
	// BasePath is the path, such as /ledger, under which a proxy shows the server and which it
	// leaves in its requests. Empty: none, or the proxy strips it.
	BasePath string
	// Keys are the API keys. Nil: none are kept, and AccessService has only GetCaller.
	Keys *access.Keyring
	// AuthRequired refuses calls without a key. It needs Keys.
	AuthRequired bool
	// RateLimit is how many calls a second a key may make, and an address without one. A call costs
	// one; 100 items of a batch or rows of a page cost one more. 0: any number.
	RateLimit float64
	// RateBurst is how many of them at once. Default: what two seconds allow.
	RateBurst int
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// SessionTTL is how long a key that was typed into the console is good there. Default: 12 h.
	SessionTTL time.Duration
	// Metrics gets the metrics of calls. Default: none are kept.
	Metrics prometheus.Registerer
}

// A Server serves the API. It is an http.Handler; Serve also gives it a listener with limits and a
// graceful end.
type Server struct {
	config      Config
	logger      *slog.Logger
	ledger      *postgres.Ledger
	keys        *access.Keyring
	rates       *rateLimiter                  // nil: there is no limit
	permissions map[string]access.Permissions // that calls need, by procedure
	validator   protovalidate.Validator
	metrics     *callMetrics
	bodies      *bodies
	handler     http.Handler
	draining    atomic.Bool     // calls in flight are finished, new ones are not wanted
	watches     context.Context // of endless streams; ends when draining begins
	endWatches  context.CancelFunc

	readyToWrite, readyToRead *readiness
}

// compressMinBytes is the size from which responses are compressed for clients that take it. A
// single account or transfer is smaller: to compress it would cost more than the rest of the call
// and save a network nothing.
const compressMinBytes = 2 << 10

func newDecompressor() connect.Decompressor { return new(gzip.Reader) }

// newCompressor compresses fast rather than well: ids do not compress, and at the default level the
// response to a large batch takes more time to compress than its transfers take to make.
func newCompressor() connect.Compressor {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant, and right
	}
	return w
}

// A service is a handler of one of the RPC services and where it is mounted.
type service struct {
	name    string // such as transfers.v1.AccountService
	path    string
	handler http.Handler
	exports map[string]connect.StreamingHandlerFunc // of REST routes that stream bodies, by procedure
}

// New makes a Server. It fails when a Config field is out of range or the proto files' annotations
// cannot be served.
func New(config Config) (*Server, error) {
	if config.Ledger == nil {
		return nil, errors.New("server: Config.Ledger is nil")
	}
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	validator, err := newValidator()
	if err != nil {
		return nil, fmt.Errorf("server: validation rules: %w", err)
	}
	metrics, err := newCallMetrics(config.Metrics)
	if err != nil {
		return nil, fmt.Errorf("server: metrics: %w", err)
	}
	s := &Server{config: config, logger: config.Logger, ledger: config.Ledger, keys: config.Keys, validator: validator, metrics: metrics}
	if s.rates, err = newRateLimiter(config.RateLimit, config.RateBurst); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.watches, s.endWatches = context.WithCancel(context.Background()) // Serve ends it
	s.readyToWrite = &readiness{name: "writing", ask: s.ledger.ReadyToWrite, log: s.logger}
	s.readyToRead = &readiness{name: "reading", ask: s.ledger.ReadyToRead, log: s.logger}
	s.bodies, err = newBodies(&budget{size: int64(config.RequestMemoryBytes)}, config.MaxRequestBytes,
		transfersv1connect.AccountServiceName, transfersv1connect.TransferServiceName, transfersv1connect.ScheduleServiceName,
		transfersv1connect.WebhookServiceName, transfersv1connect.LedgerServiceName, transfersv1connect.AccessServiceName)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	services := s.services()
	if s.permissions, err = permissionsOf(services); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	rest, err := newREST(services, s.bodies)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	allowed := newOrigins(config.AllowedOrigins, config.AllowedHeaders)
	served := allowed.protect(isAPI, withHTTP2(s.mux(services, rest)))
	// A preflight has no credentials, so it ends in share, before anything that wants some.
	s.handler = s.withCall(withLength(newHosts(config.AllowedHosts).only(allowed.share(s.withBasePath(served)))))
	return s, nil
}

func (c *Config) setDefaults() error {
	if c.SessionTTL < 0 || c.RateLimit < 0 || c.RateBurst < 0 || c.RequestTimeout < 0 || c.CheckTimeout < 0 || c.DrainTimeout < 0 || c.MaxConnections < 0 ||
		c.MaxRequestBytes < 0 || c.MaxRequestBytes > math.MaxInt32 {
		return errors.New("server: a limit in Config is out of range")
	}
	if err := CheckHosts(c.AllowedHosts); err != nil {
		return fmt.Errorf("server: Config.AllowedHosts: %w", err)
	}
	if err := CheckHeaderNames(c.AllowedHeaders); err != nil {
		return fmt.Errorf("server: Config.AllowedHeaders: %w", err)
	}
	if err := CheckBasePath(c.BasePath); err != nil {
		return fmt.Errorf("server: Config.BasePath: %w", err)
	}
	if c.AuthRequired && c.Keys == nil {
		return errors.New("server: Config.AuthRequired needs Config.Keys")
	}
	if c.SessionTTL == 0 {
		c.SessionTTL = 12 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	if c.CheckTimeout == 0 {
		c.CheckTimeout = 10 * time.Minute
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = 8 << 20
	}
	if c.RequestMemoryBytes == 0 {
		c.RequestMemoryBytes = max(128<<20, 16*c.MaxRequestBytes)
	}
	if c.RequestMemoryBytes < 4*c.MaxRequestBytes {
		return errors.New("server: Config.RequestMemoryBytes is less than four times Config.MaxRequestBytes")
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 10_000
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) services() []service {
	options := connect.WithHandlerOptions(withCodecs(), s.bodies.limit(), s.interceptors(),
		connect.WithCompressMinBytes(compressMinBytes), connect.WithCompression("gzip", newDecompressor, newCompressor))
	services := make([]service, 0, 6)
	add := func(path string, handler http.Handler) {
		services = append(services, service{name: strings.Trim(path, "/"), path: path, handler: handler})
	}
	accounts := &accountService{ledger: s.ledger, watches: s.watches}
	add(transfersv1connect.NewAccountServiceHandler(accounts, options))
	services[0].exports = map[string]connect.StreamingHandlerFunc{
		transfersv1connect.AccountServiceExportStatementProcedure: s.export(accounts.exportOverREST),
	}
	add(transfersv1connect.NewTransferServiceHandler(
		&transferService{ledger: s.ledger, logger: s.logger, validator: s.validator}, options))
	add(transfersv1connect.NewScheduleServiceHandler(&scheduleService{ledger: s.ledger}, options))
	add(transfersv1connect.NewWebhookServiceHandler(
		&webhookService{ledger: s.ledger, allowPrivate: s.config.PrivateWebhooks}, options))
	add(transfersv1connect.NewLedgerServiceHandler(&ledgerService{
		ledger: s.ledger, watches: s.watches, prover: &prover{ledger: s.ledger, timeout: s.config.CheckTimeout},
	}, options))
	add(transfersv1connect.NewAccessServiceHandler(
		&accessService{keys: s.keys, required: s.config.AuthRequired}, options))
	return services
}

// mux mounts everything that the one port serves.
func (s *Server) mux(services []service, rest http.Handler) http.Handler {
	mux := http.NewServeMux()
	names := make([]string, 0, len(services)+1)
	for _, service := range services {
		mux.Handle(service.path, uncached(s.authenticated(s.bodies.prepare(service.handler))))
		names = append(names, service.name)
	}
	mux.Handle(grpchealth.NewHandler(&healthChecker{server: s, services: slices.Clone(names)}, s.bodies.limit(),
		connect.WithInterceptors(streamInterceptorFunc(s.guardStreams), streamInterceptorFunc(endable))))
	reflector := grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, s.bodies.limit()))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, s.bodies.limit()))
	mux.HandleFunc("GET /healthcheck", alive)
	mux.HandleFunc("GET /readycheck", s.ready)
	mux.HandleFunc("GET /docs", docs)
	mux.HandleFunc("GET /docs/", docs)
	mux.Handle("/api/", uncached(s.authenticated(rest)))
	mux.Handle("POST "+sessionPath, uncached(http.HandlerFunc(s.openSession)))
	mux.Handle("DELETE "+sessionPath, uncached(http.HandlerFunc(s.closeSession)))
	return withConsole(mux)
}

// uncached tells caches to keep no response: a balance, or that something is not found, is true of
// its moment only.
func uncached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}
