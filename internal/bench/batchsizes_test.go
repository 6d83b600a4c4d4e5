package bench

import (
	"strings"
	"testing"
)

// TestBatchSizes: the difference of two scrapes is the distribution of the batches between them.
func TestBatchSizes(t *testing.T) {
	scrape := func(one, two, all, sum string) batchSizes {
		b, err := parseBatchSizes(strings.NewReader("# HELP ledger_batch_size Transfers.\n# TYPE ledger_batch_size histogram\n" +
			`ledger_batch_size_bucket{le="1"} ` + one + "\n" + `ledger_batch_size_bucket{le="2"} ` + two + "\n" +
			`ledger_batch_size_bucket{le="+Inf"} ` + all + "\nledger_batch_size_sum " + sum + "\nledger_batch_size_count " + all +
			"\nledger_queue_depth 7\n"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	used := batchSizes{}.times(1, scrape("10", "10", "14", "1.06e+02")).times(-1, scrape("9", "9", "10", "26"))
	if got := used.batches().String(); got != "4 batches, 20.0 in each; ≤1: 25 %, ≤+Inf: 75 %" {
		t.Error(got)
	}
	if got := (batchSizes{}).batches(); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	if _, err := parseBatchSizes(strings.NewReader("ledger_batch_size_sum x\n")); err == nil {
		t.Error("a text that is no number was read")
	}
}
