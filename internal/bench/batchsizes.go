package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// batchSizes is the server's own count of its batches by size: the Prometheus histogram
// ledger_batch_size.
type batchSizes struct {
	bounds []string  // upper bounds, the last one "+Inf"; nil: not known
	counts []float64 // batches up to each bound
	sum    float64   // of sizes
}

const batchSizeMetric = "ledger_batch_size"

// readBatchSizes reads the histogram from a server's /metrics.
func readBatchSizes(ctx context.Context, metricsURL string) (batchSizes, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metricsURL, nil)
	if err != nil {
		return batchSizes{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return batchSizes{}, fmt.Errorf("metrics: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return batchSizes{}, fmt.Errorf("metrics: %s answers %s", metricsURL, response.Status)
	}
	return parseBatchSizes(response.Body)
}

// parseBatchSizes reads Prometheus' text format.
func parseBatchSizes(text io.Reader) (b batchSizes, err error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), batchSizeMetric+"_")
		if !ok {
			continue
		}
		name, number, _ := strings.Cut(rest, " ")
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return b, fmt.Errorf("metrics: %q: %w", lines.Text(), err)
		}
		if name == "sum" {
			b.sum = value
		} else if bound, ok := strings.CutPrefix(name, `bucket{le="`); ok {
			b.bounds = append(b.bounds, strings.TrimSuffix(bound, `"}`))
			b.counts = append(b.counts, value)
		}
	}
	return b, lines.Err()
}

// times adds other, multiplied by factor.
func (b batchSizes) times(factor float64, other batchSizes) batchSizes {
	if other.bounds == nil {
		return b
	}
	total := batchSizes{bounds: other.bounds, counts: make([]float64, len(other.counts)), sum: b.sum + factor*other.sum}
	for i := range total.counts {
		if i < len(b.counts) {
			total.counts[i] = b.counts[i]
		}
		total.counts[i] += factor * other.counts[i]
	}
	return total
}

// Batches is how many commands the server committed together.
type Batches struct {
	Count float64 `json:"count"`
	Mean  float64 `json:"mean_size"`
	// Shares are the shares of batches by size; sizes that did not occur are left out.
	Shares []BatchShare `json:"shares"`
}

// A BatchShare is the share of the batches that are larger than the size before and at most of this
// size.
type BatchShare struct {
	UpTo  string  `json:"up_to"` // commands; "+Inf": any
	Share float64 `json:"share"` // 0 to 1
}

// batches returns nil when nothing is known.
func (b batchSizes) batches() *Batches {
	if len(b.counts) == 0 || b.counts[len(b.counts)-1] == 0 {
		return nil
	}
	all := b.counts[len(b.counts)-1]
	result := &Batches{Count: all, Mean: b.sum / all}
	before := 0.0
	for i, count := range b.counts {
		if count > before {
			result.Shares = append(result.Shares, BatchShare{b.bounds[i], (count - before) / all})
		}
		before = count
	}
	return result
}

func (b *Batches) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%.0f batches, %.1f in each; ", b.Count, b.Mean)
	for i, share := range b.Shares {
		if i > 0 {
			s.WriteString(", ")
		}
		fmt.Fprintf(&s, "≤%s: %.0f %%", share.UpTo, 100*share.Share)
	}
	return s.String()
}
