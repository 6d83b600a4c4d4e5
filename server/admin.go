package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminConfig is what an Admin is made with.
type AdminConfig struct {
	Metrics      prometheus.Gatherer
	AllowedHosts []string // as in Config
}

// An Admin is the operators' server: GET /metrics in Prometheus' format, profiles under
// /debug/pprof/, and the health of the server. It reveals internals and takes CPU time, so it
// belongs on a port that only operators reach. It does not show the command line, which may have a
// password.
type Admin struct {
	*http.Server

	ready atomic.Pointer[Server] // nil: it is not there yet
}

// NewAdmin makes an Admin. Its readiness is that of a server that is starting, until Ready.
func NewAdmin(config AdminConfig) (*Admin, error) {
	if err := CheckHosts(config.AllowedHosts); err != nil {
		return nil, fmt.Errorf("server: AdminConfig.AllowedHosts: %w", err)
	}
	a := new(Admin)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /healthcheck", alive)
	mux.HandleFunc("GET /readycheck", func(w http.ResponseWriter, r *http.Request) {
		if s := a.ready.Load(); s != nil {
			s.ready(w, r)
			return
		}
		writeStarting(w)
	})
	a.Server = &http.Server{
		Handler:           newHosts(config.AllowedHosts).only(new(origins).protect(isOperators, mux)),
		ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: headerBytesMax, IdleTimeout: idleTimeout,
	}
	return a, nil
}

// isOperators reports whether a request is for more than health.
func isOperators(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/debug/") || r.URL.Path == "/metrics"
}

// Ready shows the readiness of a server.
func (a *Admin) Ready(s *Server) { a.ready.Store(s) }

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
