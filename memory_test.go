package main

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestMemoryLimit: the program keeps below the memory of its container, and leaves half of that to
// a private PostgreSQL.
func TestMemoryLimit(t *testing.T) { //nolint:paralleltest // the limit is the process's
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	for _, c := range []struct {
		available memlimit.Provider
		private   bool
		want      int64
	}{
		{memlimit.Limit(1 << 30), false, 966_367_641},
		{memlimit.Limit(1 << 30), true, 1 << 29},
		{none, false, math.MaxInt64},
	} {
		limitMemory(t.Context(), slog.New(slog.DiscardHandler), c.available, c.private)
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("the limit is %d, want %d", got, c.want)
		}
	}
}
