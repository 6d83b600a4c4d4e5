// Package webhook keeps endpoints, which are URLs, and posts events to them, signed by the Standard
// Webhooks specification.
//
// Each endpoint is held by one Deliverer at a time, of all servers on the database, by a lease
// (leasedEndpoint). It runs a pump, which follows the events from the endpoint's cursor on
// and posts those that pass its filter. Events that share no account go side by side; those of an
// account go one after the other. What succeeds at once leaves nothing behind but the cursor, which
// is written now and then. What fails becomes a pending delivery in the database, as do the later
// events of its accounts, without an attempt. Those are tried when they are due, by the database's
// clock.
//
// A message may be posted twice: when a server dies between a response and the cursor, when a lease
// is lost, when an endpoint is changed. It is never left out, and never first posted before an
// earlier one of its accounts is through.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/internal/events"
)

const (
	lease        = 6 * time.Second // others take a silent holder's endpoints after it
	roundTimeout = 5 * time.Second
	endTimeout   = 5 * time.Second // for open attempts to end when the Deliverer closes
)

// Config is what a Deliverer is made with. Zero fields but Store and Encode have the defaults
// named.
type Config struct {
	Store        *Store
	Encode       func(*events.Event) ([]byte, error) // an event as JSON
	AllowPrivate bool                                // post to hosts in private networks too
	Proxy        *url.URL                            // see ParseProxy; nil: none, not even the environment's
	Interval     time.Duration                       // between looks for work; default 1 s
	Logger       *slog.Logger                        // default: slog.Default()
	Metrics      prometheus.Registerer               // default: none are kept
}

// A Deliverer posts events until it is closed.
type Deliverer struct {
	config  Config
	store   *Store
	log     *slog.Logger
	holder  uuid.UUID
	sender  *sender
	metrics *metrics
	due     func(ctx context.Context, id uuid.UUID, underWay []int64, limit int) ([]dueDelivery, error)

	stop    context.CancelFunc // ends everything at once
	closing chan struct{}      // closed: no more rounds
	ended   chan struct{}      // closed: there are none

	// Of run's goroutine, and of Close after it.
	pumps   map[uuid.UUID]*pump
	renewed time.Time // when the leases were surely held for the last time
	clock   time.Time // the database's, when last no delivery waited beyond its delay
	failing bool      // the last round failed
}

// Start begins to deliver.
func Start(config Config) (*Deliverer, error) {
	d, err := newDeliverer(config)
	if err != nil {
		return nil, err
	}
	d.start()
	return d, nil
}

func newDeliverer(config Config) (*Deliverer, error) {
	if config.Interval == 0 {
		config.Interval = time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	d := &Deliverer{
		config: config, store: config.Store, log: config.Logger, holder: uuid.New(), metrics: newMetrics(),
		due:     config.Store.due,
		sender:  newSender(config.Proxy, config.AllowPrivate, config.Encode),
		closing: make(chan struct{}), ended: make(chan struct{}), pumps: make(map[uuid.UUID]*pump),
	}
	if config.Metrics != nil {
		if err := d.metrics.register(config.Metrics); err != nil {
			return nil, fmt.Errorf("webhooks: register metrics: %w", err)
		}
	}
	return d, nil
}

func (d *Deliverer) start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	go d.run(ctx)
}

// Close takes no more events, waits a little for open attempts, writes how far each endpoint has
// come, and releases the endpoints to other servers. When ctx ends first, it stops at once.
func (d *Deliverer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, d.stop)()
	close(d.closing)
	<-d.ended
	for _, p := range d.pumps {
		close(p.quit)
	}
	for _, p := range d.pumps {
		<-p.done
	}
	d.stop()
	d.sender.close()
	releaseCtx, cancelRelease := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancelRelease()
	return d.store.release(releaseCtx, d.holder)
}

// run goes from round to round.
func (d *Deliverer) run(ctx context.Context) {
	defer close(d.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.closing:
			return
		case <-ctx.Done():
			return
		}
		d.report(ctx, d.round(ctx))
		timer.Reset(d.config.Interval)
	}
}

// report counts rounds that failed. It logs once when failures begin, and once when they end.
func (d *Deliverer) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && d.failing:
		d.log.InfoContext(ctx, "webhooks are delivered again")
	case err != nil && !d.failing:
		d.log.WarnContext(ctx, "webhooks cannot be delivered; it is tried again and again", slog.Any("error", err))
	}
	if err != nil {
		d.metrics.roundsFailed.Inc()
	}
	d.failing = err != nil
}

// round renews the leases, takes endpoints that are free, and has one pump for each that is held.
func (d *Deliverer) round(ctx context.Context) error {
	begin := time.Now()
	asking, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	held, now, err := d.store.lease(asking, d.holder, lease)
	if err == nil && (d.clock.IsZero() || now.Before(d.clock)) {
		err = d.store.hasten(asking, delaysMax())
	}
	if err != nil {
		if time.Since(d.renewed) > lease {
			// Another server may have the endpoints by now.
			for id := range d.pumps {
				d.end(ctx, id)
			}
		}
		return err
	}
	d.renewed, d.clock = begin, now
	names := make(map[uuid.UUID]bool, len(held))
	for i := range held {
		h := &held[i]
		names[h.ID] = true
		if p := d.pumps[h.ID]; p != nil && p.endpoint.Version == h.Version && !p.over() {
			p.look(h.Secrets)
			continue
		}
		d.end(ctx, h.ID)
		d.pumps[h.ID] = d.begin(ctx, h)
	}
	for id := range d.pumps {
		if !names[id] {
			d.end(ctx, id)
		}
	}
	d.metrics.held.Set(float64(len(d.pumps)))
	return nil
}

// begin starts a pump.
func (d *Deliverer) begin(ctx context.Context, h *leasedEndpoint) *pump {
	ctx, stop := context.WithCancel(ctx)
	p := newPump(d, h, stop)
	go p.run(ctx)
	return p
}

// end stops the pump of an endpoint at once, if there is one. The next pump posts again what was
// under way.
func (d *Deliverer) end(ctx context.Context, id uuid.UUID) {
	p := d.pumps[id]
	if p == nil {
		return
	}
	p.stop()
	<-p.done
	delete(d.pumps, id)
	switch {
	case p.err == nil, errors.Is(p.err, context.Canceled), errors.Is(p.err, errLost):
	default:
		d.log.WarnContext(ctx, "the delivery to a webhook endpoint is begun anew",
			slog.String("endpoint_id", id.String()), slog.Any("error", p.err))
	}
}

// metrics are the metrics of a Deliverer.
type metrics struct {
	attempts     *prometheus.CounterVec
	seconds      prometheus.Histogram
	dead         prometheus.Counter
	held         prometheus.Gauge
	roundsFailed prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhook_attempts_total",
			Help: "Messages that were posted to webhook endpoints, by outcome: DELIVERED or FAILED.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "webhook_attempt_duration_seconds",
			Help:    "How long it took until a message was answered, or failed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15), // 1 ms to 16 s
		}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "webhook_deliveries_dead_total",
			Help: "Deliveries of which all attempts have failed.",
		}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "webhook_endpoints_held",
			Help: "Endpoints that this server delivers to.",
		}),
		roundsFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "webhook_rounds_failed_total",
			Help: "Looks at what there is to deliver that failed.",
		}),
	}
}

// register hands the metrics to a registry.
func (m *metrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.attempts, m.seconds, m.dead, m.held, m.roundsFailed} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// attempted counts an attempt.
func (m *metrics) attempted(took time.Duration, failure string) {
	m.seconds.Observe(took.Seconds())
	outcome := "DELIVERED"
	if failure != "" {
		outcome = "FAILED"
	}
	m.attempts.WithLabelValues(outcome).Inc()
}
