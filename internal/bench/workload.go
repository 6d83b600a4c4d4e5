package bench

// The workloads.
const (
	uniform   = "uniform"    // any account pays any other
	zipf      = "zipf"       // accounts are chosen by Zipf's law with exponent 1.0, as the tb-perf project does
	hotDebit  = "hot-debit"  // one account pays many
	hotCredit = "hot-credit" // many pay one account
	pingPong  = "ping-pong"  // two accounts, both directions
	read      = "read"       // GetAccount and GetTransfer, in equal parts
	mixed     = "mixed"      // half uniform transfers, half reads
)

const zipfExponent = 1.0

// defaultAccounts returns how many accounts a workload has by default.
func defaultAccounts(workload string) int {
	switch workload {
	case zipf:
		return 100_000
	case pingPong:
		return 2
	default:
		return 10_000
	}
}

// A picker chooses the accounts of one transfer, payer and payee, by index. It may be called
// concurrently.
type picker func(r *source) (from, to int)

// newPicker makes the picker of a workload over n accounts, at least two.
func newPicker(workload string, n int) picker {
	switch workload {
	case zipf:
		z := newZipfian(n, zipfExponent)
		return func(r *source) (int, int) {
			from, to := z.draw(r), z.draw(r)
			for from == to {
				from, to = z.draw(r), z.draw(r)
			}
			return from, to
		}
	case hotDebit:
		return func(r *source) (int, int) { return 0, 1 + r.IntN(n-1) }
	case hotCredit:
		return func(r *source) (int, int) { return 1 + r.IntN(n-1), 0 }
	case pingPong:
		return func(r *source) (int, int) {
			from := r.IntN(2)
			return from, 1 - from
		}
	default:
		return func(r *source) (int, int) {
			from, to := r.IntN(n), r.IntN(n-1)
			if to >= from {
				to++
			}
			return from, to
		}
	}
}
