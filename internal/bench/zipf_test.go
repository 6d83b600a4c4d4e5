package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// seeded returns a source whose choices are the same in every run of a test.
func seeded() *source {
	return &source{rand.New(rand.NewPCG(1, 2)), rand.NewChaCha8([32]byte{3})}
}

// harmonic returns the sum of 1/k^s for k from 1 to n.
func harmonic(n int, s float64) (sum float64) {
	for k := 1; k <= n; k++ {
		sum += math.Pow(float64(k), -s)
	}
	return sum
}

// TestZipfTable: the alias table holds Zipf's law exactly, for every rank.
func TestZipfTable(t *testing.T) {
	for _, c := range []struct {
		n int
		s float64
	}{{1, 1}, {2, 1}, {10, 1}, {1000, 1}, {100_000, 1}, {1000, 0.5}, {1000, 2}, {7, 0}} {
		z := newZipfian(c.n, c.s)
		chance := make([]float64, c.n)
		for k := range c.n {
			if z.keep[k] < 0 || z.keep[k] > 1 {
				t.Fatalf("n=%d s=%v: column %d keeps %v", c.n, c.s, k, z.keep[k])
			}
			chance[k] += z.keep[k] / float64(c.n)
			chance[z.alias[k]] += (1 - z.keep[k]) / float64(c.n)
		}
		sum := harmonic(c.n, c.s)
		for k := range c.n {
			want := math.Pow(float64(k+1), -c.s) / sum
			if math.Abs(chance[k]-want) > 1e-9*want+1e-13 {
				t.Fatalf("n=%d s=%v: rank %d has the chance %v, want %v", c.n, c.s, k, chance[k], want)
			}
		}
	}
}

// TestZipfDraws: the draws have these frequencies, within five standard deviations.
func TestZipfDraws(t *testing.T) {
	const n, draws = 100_000, 400_000
	z, r := newZipfian(n, zipfExponent), seeded()
	counts := make([]int, n)
	for range draws {
		counts[z.draw(r)]++
	}
	sum := harmonic(n, zipfExponent)
	from := 0
	for to := 1; from < n; to = min(2*to, n) { // ranks 1, 2, 3 to 4, 5 to 8, …
		got, chance := 0, 0.0
		for k := from; k < to; k++ {
			got += counts[k]
			chance += 1 / float64(k+1) / sum
		}
		want := chance * draws
		if deviation := math.Sqrt(want * (1 - chance)); math.Abs(float64(got)-want) > 5*deviation {
			t.Errorf("ranks %d to %d: drawn %d times, want %.0f ± %.0f", from+1, to, got, want, deviation)
		}
		from = to
	}
}

// TestPickers: no transfer is from an account to itself, and hot accounts are where the workload
// says.
func TestPickers(t *testing.T) {
	r := seeded()
	for _, workload := range Workloads {
		for _, n := range []int{2, 3, 50} {
			pick := newPicker(workload, n)
			paid, received := make([]int, n), make([]int, n)
			const times = 20_000
			for range times {
				from, to := pick(r)
				if from == to {
					t.Fatalf("%s of %d: account %d pays itself", workload, n, from)
				}
				paid[from]++
				received[to]++
			}
			switch workload {
			case hotDebit:
				if paid[0] != times {
					t.Errorf("%s of %d: the hot account paid %d of %d times", workload, n, paid[0], times)
				}
			case hotCredit:
				if received[0] != times {
					t.Errorf("%s of %d: the hot account received %d of %d times", workload, n, received[0], times)
				}
			case pingPong:
				if paid[0]+paid[1] != times || paid[0] < times/3 || paid[1] < times/3 {
					t.Errorf("%s of %d: the accounts paid %d and %d times", workload, n, paid[0], paid[1])
				}
			case zipf:
				if n == 50 && paid[0] < 5*paid[49] {
					t.Errorf("%s: the first paid %d times, the last %d", workload, paid[0], paid[49])
				}
			default:
				for i := range n {
					if paid[i] < times/n/2 || received[i] < times/n/2 {
						t.Errorf("%s of %d: account %d paid %d times and received %d times", workload, n, i, paid[i], received[i])
					}
				}
			}
		}
	}
}

// TestSourceIDs: ids are version 7, in the order of time, and no two sources make the same.
func TestSourceIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		source := newSource()
		var last int64
		for range 1000 {
			id := source.id()
			if id.Version() != 7 || id.Variant().String() != "RFC4122" {
				t.Fatalf("%s has version %d and variant %s", id, id.Version(), id.Variant())
			}
			seconds, nanos := id.Time().UnixTime()
			if at := seconds*1e9 + nanos; at < last {
				t.Fatalf("%s is older than the one before", id)
			} else {
				last = at
			}
			if seen[id.String()] {
				t.Fatalf("%s was made twice", id)
			}
			seen[id.String()] = true
		}
	}
}
