package postgres

import (
	"time"

	"internaltransfers/ledger"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a ledger counts, whether or not they are collected.
type metrics struct {
	batchSize    prometheus.Histogram
	batchSeconds prometheus.Histogram
	retries      prometheus.Counter
	outcomes     *prometheus.CounterVec
	workerLag    prometheus.Gauge
	settled      *prometheus.CounterVec
	roundsFailed prometheus.Counter
	commitsLeft  prometheus.Gauge
	proofSeconds prometheus.Gauge
}

func newMetrics() *metrics {
	return &metrics{
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "ledger_batch_size",
			Help:    "Transfers and openings that were committed together.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000},
		}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "ledger_batch_duration_seconds",
			Help:    "From when a batch was taken from the queue until it was committed, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.000_25, 2, 16), // 0.25 ms to 8 s
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ledger_batch_retries_total",
			Help: "Attempts at a batch that failed and were repeated.",
		}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_transfers_total",
			Help: "Transfers by outcome: SUCCESS, the reason of a refusal, REPLAYED, or ERROR for what never became one.",
		}, []string{"outcome"}),
		workerLag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ledger_worker_lag_seconds",
			Help: "How long the longest due of all expired holds, scheduled transfers and schedules has been due, when a worker last looked; 0: nothing was.",
		}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ledger_worker_items_total",
			Help: "Items that workers have settled, by kind (HOLD, SCHEDULED, OCCURRENCE) and by outcome, as in ledger_transfers_total.",
		}, []string{"kind", "outcome"}),
		roundsFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ledger_worker_rounds_failed_total",
			Help: "Rounds in which workers could not settle what was due.",
		}),
		commitsLeft: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ledger_commits_left",
			Help: "COMMITs that take longer than their callers wait, most likely for a synchronous standby that is away.",
		}),
		proofSeconds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ledger_last_proof_duration_seconds",
			Help: "How long the last proof of the ledger took that this server has made; 0: it has made none.",
		}),
	}
}

// register hands the metrics to a registry, with the depth of the queue.
func (m *metrics) register(registry prometheus.Registerer, b *batcher) error {
	depth := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ledger_queue_depth",
		Help: "Transfers and openings that wait for their batch to begin.",
	}, func() float64 { return float64(b.depth()) })
	for _, c := range []prometheus.Collector{
		depth, m.batchSize, m.batchSeconds, m.retries, m.outcomes, m.workerLag, m.settled, m.roundsFailed,
		m.commitsLeft, m.proofSeconds,
	} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// batchDone counts a batch that began at start.
func (m *metrics) batchDone(start time.Time, openings int, outcomes []ledger.Outcome) {
	m.batchSeconds.Observe(time.Since(start).Seconds())
	m.batchSize.Observe(float64(openings + len(outcomes)))
	counts := make(map[string]int, 4)
	for i := range outcomes {
		counts[labelOf(&outcomes[i])]++
	}
	for label, n := range counts {
		m.outcomes.WithLabelValues(label).Add(float64(n))
	}
}

// labelOf names the outcome as metrics do.
func labelOf(o *ledger.Outcome) string {
	switch {
	case o.Err != nil:
		return "ERROR"
	case o.Replayed:
		return "REPLAYED"
	case o.Transfer.Status == ledger.TransferFailed:
		return string(o.Transfer.Reason)
	default:
		return string(o.Transfer.Status)
	}
}
