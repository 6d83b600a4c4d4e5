package main

import (
	"context"
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// The share of a container's memory that the program takes before it collects garbage at every
// price. What is beyond it is for the stacks of the system's own, and for a private PostgreSQL
// where there is one.
const (
	memoryShare            = 0.9
	memoryShareWithPrivate = 0.5
)

// limitMemory keeps the program below the memory limit of its container, of which it learns from
// available. GOMEMLIMIT and AUTOMEMLIMIT, the share, win. Without a limit there is none here.
func limitMemory(ctx context.Context, logger *slog.Logger, available memlimit.Provider, private bool) {
	share := memoryShare
	if private {
		share = memoryShareWithPrivate
	}
	limit, err := memlimit.Set(memlimit.WithProvider(available), memlimit.WithRatio(share))
	switch {
	case err != nil:
		// There are no such limits outside Linux.
		logger.DebugContext(ctx, "the memory limit of the container is not known", slog.Any("error", err))
	case limit != math.MaxInt64:
		logger.InfoContext(ctx, "memory limit", slog.Int64("bytes", limit))
	}
}
