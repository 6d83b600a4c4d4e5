package bench

// A Measurement is what was measured of one contender under one load.
type Measurement struct {
	Row       string    `json:"row,omitempty"` // of the suite: a workload, or the name of one of its other parts
	Contender string    `json:"contender"`     // service, baseline-a, baseline-b, baseline-c or sql-direct
	Workload  string    `json:"workload"`
	Protocol  string    `json:"protocol,omitempty"` // of the service
	Callers   int       `json:"callers"`
	Batch     int       `json:"batch"`                    // transfers a call
	Rate      float64   `json:"rate_per_second"`          // calls, open loop; 0: closed loop
	Seconds   float64   `json:"seconds"`                  // of the windows, together
	Calls     int64     `json:"calls"`                    // returned in the windows
	Items     int64     `json:"items"`                    // transfers, or reads, that succeeded in the windows
	Unmade    int64     `json:"calls_unmade"`             // open loop: due in the window, but no caller was free
	PerSecond float64   `json:"items_per_second"`         // Items by Seconds
	Latency   Latency   `json:"latency_ms"`               // of calls without error
	LegRates  []float64 `json:"items_per_second_by_leg"`  // how much it varied from turn to turn
	TickRates []float64 `json:"items_per_second_by_tick"` // and within a turn
	Tick      float64   `json:"tick_seconds"`

	Errors map[string]int64 `json:"errors"` // items by code, those of warm-ups too

	WALBytes   float64 `json:"wal_bytes_per_item"`
	PageImages float64 `json:"wal_page_images_per_item"`
	Commits    float64 `json:"commits_per_item"`
	Grouped    float64 `json:"items_per_commit"`

	Batches *Batches `json:"batches,omitempty"` // of the server, as it counts them; nil: not known

	CPU       CPU   `json:"cpu_seconds"`
	ServerRSS int64 `json:"server_peak_rss_bytes"` // 0: not known

	Percentiles []Percentile `json:"percentiles"`
}

// Latency is in milliseconds, from the intended start when a rate is given.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// CPU is the processor time that each process used in the windows, in seconds; 0 when it is not
// known.
type CPU struct {
	Generator float64 `json:"load_generator"`
	Server    float64 `json:"server"`
	Postgres  float64 `json:"postgres"`
	// Others is the CPU time of all else on the machine: the kernel's own threads, and other
	// processes that disturbed the measurement.
	Others float64 `json:"others"`
}

// A Percentile is one point of the latency curve.
type Percentile struct {
	Percent float64 `json:"percent"`
	Millis  float64 `json:"ms"`
}

// curvePercents are the points of the latency curve.
var curvePercents = []float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999, 100}

// measurement turns a sample into figures.
func (s *sample) measurement(name, workload, protocol string, callers, batch int, rate float64) Measurement {
	millis := func(micros int64) float64 { return float64(micros) / 1e3 }
	m := Measurement{
		Contender: name, Workload: workload, Protocol: protocol, Callers: callers, Batch: batch, Rate: rate,
		Seconds: s.elapsed.Seconds(), Calls: s.calls, Items: s.items, Unmade: s.unmade, PerSecond: s.rate(),
		LegRates: s.legRates, TickRates: s.rates, Tick: s.tick.Seconds(), Errors: s.errors,
		Latency: Latency{
			Mean: s.latencies.Mean() / 1e3, P50: millis(s.latencies.ValueAtQuantile(50)),
			P90: millis(s.latencies.ValueAtQuantile(90)), P99: millis(s.latencies.ValueAtQuantile(99)),
			P999: millis(s.latencies.ValueAtQuantile(99.9)), Max: millis(s.latencies.Max()),
		},
		CPU: CPU{
			Generator: s.usage.Self.Seconds(), Server: s.usage.Server.Seconds(), Postgres: s.usage.Postgres.Seconds(),
			Others: max(0, s.usage.Machine-s.usage.Self-s.usage.Server-s.usage.Postgres).Seconds(),
		},
	}
	if s.items > 0 {
		m.WALBytes = float64(s.usage.WALBytes) / float64(s.items)
		m.PageImages = float64(s.usage.PageImages) / float64(s.items)
		m.Commits = float64(s.usage.Commits) / float64(s.items)
	}
	if s.usage.Commits > 0 {
		m.Grouped = float64(s.items) / float64(s.usage.Commits)
	}
	m.Batches = s.usage.Batches.batches()
	for _, percent := range curvePercents {
		m.Percentiles = append(m.Percentiles, Percentile{percent, millis(s.latencies.ValueAtQuantile(percent))})
	}
	return m
}

// Unexpected returns the number of errors that mean that something is wrong.
func (m *Measurement) Unexpected() int64 {
	var n int64
	for code, count := range m.Errors {
		if !expected(code) {
			n += count
		}
	}
	return n
}
