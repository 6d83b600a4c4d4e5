package bench

import (
	"context"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// selfCPU returns the processor time of this process.
func selfCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A Machine is where the figures were taken. Without it they mean nothing.
type Machine struct {
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"` // that processes may use at once
	OS         string            `json:"os"`
	Go         string            `json:"go"`
	Postgres   map[string]string `json:"postgres"`              // settings; nil: the database is not known
	FileSystem string            `json:"file_system,omitempty"` // of the private PostgreSQL's data
	// SyncMicros is how long it takes to write a page there and have it on disk: the median of a
	// few dozen, before any load.
	SyncMicros float64 `json:"sync_us,omitempty"`
	Layout     string  `json:"layout"` // what shares the machine
}

func (s *system) machine(ctx context.Context) (Machine, error) {
	settings, err := s.probe.settings(ctx)
	if err != nil {
		return Machine{}, err
	}
	m := Machine{
		CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Postgres: settings, Layout: "someone else's server at " + s.options.Target,
	}
	switch {
	case s.postgres != nil:
		m.Layout = "load generator, server and PostgreSQL are processes that share this machine"
		m.FileSystem = fileSystem(s.dataDir)
		m.SyncMicros = float64(s.syncTime.Nanoseconds()) / 1e3
	case s.server != nil:
		m.Layout = "load generator and server are processes that share this machine; the PostgreSQL is someone else's"
	}
	return m, nil
}

// measureSync writes a page and syncs it, a few dozen times, and returns the median. A result of a
// few microseconds means that the disk does not really sync, and every figure of writes is void.
func measureSync(dir string) (time.Duration, error) {
	const times, pageBytes = 50, 8192
	file, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := make([]byte, pageBytes)
	took := make([]time.Duration, times)
	for i := range took {
		began := time.Now()
		if _, err := file.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[times/2], nil
}
