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
	// The ports come first: one that is taken must be found before a database is started or
	// changed.
	port, err := listen("LISTEN_ADDR", c.ListenAddr)
	if err != nil {
		return err
	}
	listener := server.NewEarlyListener(port, c.MaxConnections, logger)
	defer func() { _ = listener.Close() }() // it is closed already when everything went well
	closeAdmin, err := c.serveAdmin(ctx, logger, registry)
	if err != nil {
		return err
	}
	defer closeAdmin()
	logger.InfoContext(ctx, "starting", slog.Any("", this), slog.String("address", listener.Addr().String()))
	return c.withDatabase(ctx, logger, func(ctx context.Context, target pgdb.Target) error {
		if c.Demo {
			if err := fillDemo(ctx, target, logger); err != nil {
				return err
			}
		}
		l, err := postgres.Open(ctx, postgres.Config{
			DatabaseURL: target.URL, Schema: target.Schema, ReadConns: c.ReadConns, BatchesInFlight: c.BatchesInFlight, BatchMax: c.BatchMax,
			QueueMax: c.QueueMax, BatchTimeout: c.BatchTimeout, Workers: c.Workers, WorkerBatch: c.WorkerBatch,
			WorkerInterval: c.WorkerInterval, ProfileCache: c.ProfileCache, FollowersMax: c.WatchersMax, Logger: logger, Metrics: registry,
		})
		if err != nil {
			return err
		}
		proxy, err := c.webhookProxy()
		if err != nil {
			return err
		}
		if role, excess := l.RoleExcess(); excess != "" {
			logger.WarnContext(ctx, "the database role may do more than a server needs; docs/roles.sql makes one that may not",
				slog.String("role", role), slog.String("excess", excess))
		}
		keys, err := c.openKeys(ctx, target, logger)
		if err != nil {
			return err
		}
		defer keys.Close()
		hooks, err := webhook.Start(webhook.Config{
			Ledger: l, Encode: server.EventJSON, AllowPrivate: c.PrivateWebhooks, Proxy: proxy, Logger: logger, Metrics: registry,
		})
		stopDemo := func() {}
		if err == nil && c.Demo {
			stopDemo, err = moveDemo(ctx, l, logger)
		}
		if err == nil {
			err = c.serve(ctx, l, keys, listener, logger, registry)
		}
		stopDemo()
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if hooks != nil {
			err = errors.Join(err, hooks.Close(closeCtx))
		}
		return errors.Join(err, l.Close(closeCtx))
	})
}

// openKeys opens the API keys, and refuses a server that nobody could call.
func (c *serveCommand) openKeys(ctx context.Context, target pgdb.Target, logger *slog.Logger) (*access.Keyring, error) {
	keys, err := access.Open(ctx, access.Config{Target: target, Logger: logger})
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

// serveAdmin serves metrics and profiles on ADMIN_ADDR, if there is one, until closeAdmin is
// called.
func (c *serveCommand) serveAdmin(ctx context.Context, logger *slog.Logger, registry *prometheus.Registry) (
	closeAdmin func(), err error,
) {
	if c.AdminAddr == "" {
		return func() {}, nil
	}
	listener, err := listen("ADMIN_ADDR", c.AdminAddr)
	if err != nil {
		return nil, err
	}
	admin := server.NewAdmin(registry)
	go func() { _ = admin.Serve(listener) }()
	logger.InfoContext(ctx, "metrics and profiles", slog.String("admin_address", listener.Addr().String()))
	return func() { _ = admin.Close() }, nil // its requests are not worth a wait
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

func (c *serveCommand) serve(
	ctx context.Context, l *postgres.Ledger, keys *access.Keyring, listener *server.EarlyListener, logger *slog.Logger, registry *prometheus.Registry,
) error {
	s, err := server.New(server.Config{
		Ledger: l, Logger: logger, RequestTimeout: c.RequestTimeout, CheckTimeout: c.CheckTimeout, DrainTimeout: c.DrainTimeout,
		MaxRequestBytes: c.MaxRequestBytes, MaxConnections: c.MaxConnections, AllowedOrigins: c.AllowedOrigins,
		AllowedHeaders:  c.AllowedHeaders,
		BasePath:        c.BasePath,
		Keys:            keys,
		AuthRequired:    c.authConfig.required(c.ListenAddr),
		SessionTTL:      c.SessionTTL,
		PrivateWebhooks: c.PrivateWebhooks,
		Metrics:         registry,
	})
	if err != nil {
		return err
	}
	listener.Ready()
	address := listener.Addr().String()
	logger.InfoContext(ctx, "listening", slog.String("address", address), slog.String("database", l.Database()))
	if c.LogFormat == "text" {
		fmt.Fprintf(os.Stderr, "\nOpen http://%[1]s in a browser, or try:\n  curl -X POST http://%[1]s/api/v1/account/create -H 'Content-Type: application/json' "+
			"-d '{\"initial_balance\": 100.0}'\n\n", address)
	}
	go c.warnOpen(ctx, logger, c.ListenAddr)
	err = s.Serve(ctx, listener)
	logger.InfoContext(ctx, "drained")
	return err
}
