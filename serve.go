package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"internaltransfers/internal/access"
	"internaltransfers/internal/demo"
	"internaltransfers/internal/pgdb"
	"internaltransfers/internal/postgres"
	"internaltransfers/internal/webhook"
	"internaltransfers/server"
)

type serveCommand struct {
	serveConfig `embed:""`
}

// Run serves until a signal comes, then drains: calls in flight are finished, queued batches are
// applied.
func (c *serveCommand) Run(ctx context.Context) error {
	// Whoever reads the log may end. A line that nobody takes must not end the server.
	signal.Ignore(syscall.SIGPIPE)
	logger, this := c.logger(), thisBuild()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := this.register(registry); err != nil {
		return err
	}
	secure, err := c.tls(logger)
	if err != nil {
		return err
	}
	// The ports come first: one that is taken must be found before a database is started or
	// changed.
	port, err := listen("LISTEN_ADDR", c.ListenAddr)
	if err != nil {
		return err
	}
	listener := server.NewEarlyListener(port, c.MaxConnections, secure, logger)
	defer func() { _ = listener.Close() }() // it is closed already when everything went well
	admin, err := c.serveAdmin(ctx, logger, registry)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }() // its requests are not worth a wait
	logger.InfoContext(ctx, "starting", slog.Any("", this), slog.String("address", listener.Addr().String()))
	limitMemory(ctx, logger, memlimit.FromCgroup, c.DatabaseURL == "")
	return c.withDatabase(ctx, logger, func(ctx context.Context, target pgdb.Target) error {
		if c.Demo {
			if err := fillDemo(ctx, target, logger); err != nil {
				return err
			}
		}
		return c.serveLedger(ctx, target, server.Config{Logger: logger, TLS: secure, Metrics: registry}, registry, listener, admin)
	})
}

// serveLedger opens a ledger with what works beside the calls, and serves a configuration that has
// what is no option.
func (c *serveCommand) serveLedger(ctx context.Context, target pgdb.Target, config server.Config, registry *prometheus.Registry,
	listener *server.EarlyListener, admin *server.Admin,
) error {
	logger := config.Logger
	proxy, err := c.webhookProxy()
	if err != nil {
		return err
	}
	l, err := postgres.Open(ctx, postgres.Config{
		DatabaseURL: target.URL, Schema: target.Schema, ReadConns: c.ReadConns, BatchesInFlight: c.BatchesInFlight, BatchMax: c.BatchMax,
		QueueMax: c.QueueMax, BatchTimeout: c.BatchTimeout, Workers: c.Workers, WorkerBatch: c.WorkerBatch,
		WorkerInterval: c.WorkerInterval, ProfileCache: c.ProfileCache, FollowersMax: c.WatchersMax, Logger: logger, Metrics: registry,
	})
	if err != nil {
		return err
	}
	if role, excess := l.RoleExcess(); excess != "" {
		logger.WarnContext(ctx, "the database role may do more than a server needs; docs/roles.sql makes one that may not",
			slog.String("role", role), slog.String("excess", excess))
	}
	keys, err := c.openKeys(ctx, l)
	if err != nil {
		return errors.Join(err, l.Close(ctx))
	}
	defer keys.Close()
	hooks, err := webhook.Start(webhook.Config{
		Store: l.Webhooks, Encode: server.EventJSON, AllowPrivate: c.PrivateWebhooks, Proxy: proxy, Logger: logger, Metrics: registry,
	})
	stopDemo := func() {}
	if err == nil && c.Demo {
		stopDemo, err = moveDemo(ctx, l, logger)
	}
	if err == nil {
		config.Ledger, config.Keys = l, keys
		err = c.serve(ctx, config, listener, admin)
	}
	stopDemo()
	closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if hooks != nil {
		err = errors.Join(err, hooks.Close(closeCtx))
	}
	return errors.Join(err, l.Close(closeCtx))
}

// openKeys opens the API keys, and refuses a server that nobody could call.
func (c *serveCommand) openKeys(ctx context.Context, l *postgres.Ledger) (*access.Keyring, error) {
	keys, err := l.OpenKeys(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, keys, c.ListenAddr); err != nil {
		keys.Close()
		return nil, err
	}
	return keys, nil
}

// listen takes the port of an option.
func listen(variable, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: address %s is in use", optionNames(variable), address)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // without the address again
	}
	return nil, fmt.Errorf("%s: cannot listen on %s: %w", optionNames(variable), address, err)
}

// serveAdmin serves metrics, profiles and health on ADMIN_ADDR, if there is one, until it is
// closed.
func (c *serveCommand) serveAdmin(ctx context.Context, logger *slog.Logger, registry *prometheus.Registry) (*server.Admin, error) {
	admin, err := server.NewAdmin(server.AdminConfig{Metrics: registry, AllowedHosts: c.hosts(c.AdminAddr)})
	if err != nil || c.AdminAddr == "" {
		return admin, err
	}
	listener, err := listen("ADMIN_ADDR", c.AdminAddr)
	if err != nil {
		return nil, err
	}
	go func() { _ = admin.Serve(listener) }()
	logger.InfoContext(ctx, "metrics and profiles", slog.String("admin_address", listener.Addr().String()))
	return admin, nil
}

// fillDemo makes the database a demo, or refuses one that has other data, before there are workers
// that would change it.
func fillDemo(ctx context.Context, target pgdb.Target, logger *slog.Logger) error {
	logger.WarnContext(ctx, "this is a DEMO: its accounts and transfers are made up")
	l, err := postgres.Open(ctx, postgres.Config{DatabaseURL: target.URL, Schema: target.Schema, Logger: logger})
	if err != nil {
		return err
	}
	_, err = demo.Open(ctx, demo.Config{Ledger: l, Logger: logger})
	return errors.Join(err, l.Close(ctx))
}

// moveDemo keeps a demo moving until stop is called.
func moveDemo(ctx context.Context, l *postgres.Ledger, logger *slog.Logger) (stop func(), err error) {
	economy, err := demo.Open(ctx, demo.Config{Ledger: l, Logger: logger})
	if err != nil {
		return func() {}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		economy.Run(ctx)
	}()
	return func() {
		cancel()
		<-stopped
	}, nil
}

// serve serves a configuration that has what is no option.
func (c *serveCommand) serve(ctx context.Context, config server.Config, listener *server.EarlyListener, admin *server.Admin) error {
	config.RequestTimeout, config.CheckTimeout, config.DrainTimeout = c.RequestTimeout, c.CheckTimeout, c.DrainTimeout
	config.MaxRequestBytes, config.RequestMemoryBytes, config.MaxConnections = c.MaxRequestBytes, c.RequestMemory, c.MaxConnections
	config.AllowedHosts, config.AllowedOrigins, config.AllowedHeaders = c.hosts(c.ListenAddr), c.AllowedOrigins, c.AllowedHeaders
	config.BasePath, config.PrivateWebhooks = c.BasePath, c.PrivateWebhooks
	config.AuthRequired, config.SessionTTL = c.required(c.ListenAddr), c.SessionTTL
	config.RateLimit, config.RateBurst, config.TrustedProxies = c.RateLimit, c.RateBurst, c.proxies()
	s, err := server.New(config)
	if err != nil {
		return err
	}
	listener.Ready()
	admin.Ready(s)
	logger, address, scheme := config.Logger, listener.Addr().String(), "http"
	if config.TLS != nil {
		scheme = "https"
	}
	logger.InfoContext(ctx, "listening", slog.String("address", address), slog.String("database", config.Ledger.Database()))
	if c.LogFormat == "text" {
		fmt.Fprintf(os.Stderr, "\nOpen %[2]s://%[1]s in a browser, or try:\n  curl -X POST %[2]s://%[1]s/api/v1/account/create -H 'Content-Type: application/json' "+
			"-d '{\"initial_balance\": 100.0}'\n\n", address, scheme)
	}
	go c.warnOpen(ctx, logger, c.ListenAddr)
	err = s.Serve(ctx, listener)
	logger.InfoContext(ctx, "drained")
	return err
}
