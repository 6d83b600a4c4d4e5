package server

import (
	"errors"
	"net/http"
	"net/http/pprof"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewAdmin returns the operators' server: GET /metrics in Prometheus' format, from the registry,
// and profiles under /debug/pprof/. It reveals internals and takes CPU time, so it belongs on a
// port that only operators reach.
func NewAdmin(registry prometheus.Gatherer) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
}

// callMetrics count the calls of the API.
type callMetrics struct {
	seconds *prometheus.HistogramVec
	streams *prometheus.GaugeVec
}

func newCallMetrics(registry prometheus.Registerer) (*callMetrics, error) {
	m := &callMetrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "rpc_server_duration_seconds",
		Help:    "How long calls took that reached a handler or its validation, by procedure and code.",
		Buckets: prometheus.ExponentialBuckets(0.000_5, 2, 15), // 0.5 ms to 8 s
	}, []string{"procedure", "code"}), streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "rpc_server_streams",
		Help: "Streams that are open, by procedure. A download over REST is one too.",
	}, []string{"procedure"})}
	if registry == nil {
		return m, nil
	}
	return m, errors.Join(registry.Register(m.seconds), registry.Register(m.streams))
}

func (m *callMetrics) done(procedure string, err error, took time.Duration) {
	code := "ok"
	if err != nil {
		code = connect.CodeOf(err).String()
	}
	m.seconds.WithLabelValues(procedure, code).Observe(took.Seconds())
}
