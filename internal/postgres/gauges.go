package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"internaltransfers/internal/events"
	"internaltransfers/internal/proof"
	"internaltransfers/internal/webhook"
)

const (
	gaugesTimeout = time.Second     // for the database to respond to a scrape
	gaugesKept    = 2 * time.Second // how long a result is used for others, at least
)

// gauges are the metrics that are read at collection. What needs the database is read
// for a tenth of the time at most, however many collect. While the database is away, only that is
// left out.
type gauges struct {
	ledger *Ledger

	pace
	last *observed // guarded by the turn; nil: it could not be read
}

// observed is what the database returned at a time.
type observed struct {
	proof    *proof.Result // nil: there was none
	backlogs map[webhook.Status]webhook.Backlog
	lag      *events.Lag
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	gaugeFollowers    = describe("ledger_event_followers", "Readers that follow events, those of webhook endpoints included.")
	gaugeConns        = describe("ledger_db_connections", "Database connections, by pool (read, write) and state (acquired, idle, constructing).", "pool", "state")
	gaugeConnsMax     = describe("ledger_db_connections_max", "The most database connections that a pool opens.", "pool")
	counterAcquires   = describe("ledger_db_acquires_total", "Times that a connection was taken from a pool.", "pool")
	counterWaits      = describe("ledger_db_acquire_waits_total", "Times that a connection had to be waited for, because all were in use or none was open.", "pool")
	counterWaited     = describe("ledger_db_acquire_wait_seconds_total", "How long connections were waited for, together.", "pool")
	counterGivenUp    = describe("ledger_db_acquires_canceled_total", "Times that nobody waited any more when a connection was free.", "pool")
	gaugeDatabase     = describe("ledger_database_up", "Whether the metrics that need the database could be read from it within a second (1). While they cannot (0), they are left out.")
	gaugeLag          = describe("ledger_event_horizon_lag_positions", "Positions of events that are committed, but held back from readers by a transaction that does not end.")
	gaugeLagWait      = describe("ledger_event_horizon_wait_seconds", "For how long readers of events have waited for a transaction that does not end; 0: they do not.")
	gaugeEndpoints    = describe("webhook_endpoints", "Webhook endpoints by status (ENABLED, DISABLED), of all servers on the database.", "endpoint_status")
	gaugePending      = describe("webhook_deliveries_pending", "Deliveries that are to be tried again or wait behind such ones, by the status of their endpoint, of all servers on the database.", "endpoint_status")
	gaugeBehind       = describe("webhook_positions_behind", "Positions of events between the cursor of the endpoint that is furthest behind and the newest event, by the status of endpoints.", "endpoint_status")
	gaugeOldest       = describe("webhook_oldest_undelivered_seconds", "The age of the oldest event that has not reached an endpoint which may want it, by the status of endpoints; 0: there is none.", "endpoint_status")
	gaugeProofTime    = describe("ledger_last_proof_timestamp_seconds", "When the last proof of the ledger was as of, whoever made it, in Unix time; left out before the first.")
	gaugeProofOK      = describe("ledger_last_proof_ok", "Whether all invariants held in that proof (1).")
	gaugeProofPartial = describe("ledger_last_proof_incremental", "Whether that proof went on from an earlier one (1), or proved everything (0).")

	gaugeDescs = []*prometheus.Desc{
		gaugeFollowers, gaugeConns, gaugeConnsMax, counterAcquires, counterWaits, counterWaited, counterGivenUp, gaugeDatabase,
		gaugeLag, gaugeLagWait, gaugeEndpoints, gaugePending, gaugeBehind, gaugeOldest, gaugeProofTime, gaugeProofOK, gaugeProofPartial,
	}
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range gaugeDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(metrics chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	for name, pool := range map[string]*pgxpool.Pool{"read": g.ledger.pool.Others.Pool, "write": g.ledger.pool.Batches.Pool} {
		s := pool.Stat()
		tell(gaugeConns, float64(s.AcquiredConns()), name, "acquired")
		tell(gaugeConns, float64(s.IdleConns()), name, "idle")
		tell(gaugeConns, float64(s.ConstructingConns()), name, "constructing")
		tell(gaugeConnsMax, float64(s.MaxConns()), name)
		count(counterAcquires, float64(s.AcquireCount()), name)
		count(counterWaits, float64(s.EmptyAcquireCount()), name)
		count(counterWaited, s.EmptyAcquireWaitTime().Seconds(), name)
		count(counterGivenUp, float64(s.CanceledAcquireCount()), name)
	}
	tell(gaugeFollowers, float64(g.ledger.Events.Followers()))

	o := g.observe()
	tell(gaugeDatabase, number(o != nil))
	if o == nil {
		return
	}
	if o.lag.Positions >= 0 {
		tell(gaugeLag, float64(o.lag.Positions))
		tell(gaugeLagWait, o.lag.Waiting.Seconds())
	}
	for _, status := range []webhook.Status{webhook.Enabled, webhook.Disabled} {
		b := o.backlogs[status]
		tell(gaugeEndpoints, float64(b.Endpoints), string(status))
		tell(gaugePending, float64(b.Pending), string(status))
		tell(gaugeBehind, float64(b.Behind), string(status))
		tell(gaugeOldest, b.Oldest.Seconds(), string(status))
	}
	if o.proof != nil {
		tell(gaugeProofTime, float64(o.proof.Time.UnixMilli())/1000)
		tell(gaugeProofOK, number(len(o.proof.Broken) == 0))
		tell(gaugeProofPartial, number(o.proof.Incremental))
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// observe returns the last observation, or a new one when that is due; nil: it could not be read.
func (g *gauges) observe() *observed {
	ctx, cancel := context.WithTimeout(context.Background(), gaugesTimeout)
	defer cancel()
	if g.enter(ctx) != nil {
		return nil
	}
	defer g.leave()
	if !g.rested() {
		return g.last
	}
	start := time.Now()
	o, err := g.ledger.observe(ctx)
	if err != nil {
		o = nil // readiness says why
	}
	g.last = o
	g.rest(start)
	if kept := start.Add(gaugesKept); g.ready.Before(kept) {
		g.ready = kept
	}
	return o
}

// observe reads the values of the gauges.
func (l *Ledger) observe(ctx context.Context) (*observed, error) {
	o := &observed{}
	var err error
	if o.proof, err = proof.Last(ctx, l.pool); err != nil {
		return nil, err
	}
	if o.lag, err = l.Events.Lag(ctx); err != nil {
		return nil, err
	}
	if o.backlogs, err = l.Webhooks.Backlogs(ctx, o.lag); err != nil {
		return nil, err
	}
	return o, nil
}
