package bench

import "math"

// A zipfian draws ranks 0 to n-1; rank k comes with a probability proportional to 1/(k+1)^s.
// math/rand's own generator needs s > 1 and cannot do s = 1. This one is Vose's alias method: a
// draw costs the same for every rank.
type zipfian struct {
	keep  []float64 // the chance that column k returns k itself, else alias[k]
	alias []int32
}

func newZipfian(n int, s float64) *zipfian {
	z := &zipfian{keep: make([]float64, n), alias: make([]int32, n)}
	sum := 0.0
	for k := range n {
		z.keep[k] = math.Pow(float64(k+1), -s)
		sum += z.keep[k]
	}
	var small, large []int32 // columns below and above the mean
	for k := range n {
		z.keep[k] *= float64(n) / sum
		z.alias[k] = int32(k)
		if z.keep[k] < 1 {
			small = append(small, int32(k))
		} else {
			large = append(large, int32(k))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		z.alias[s] = l
		z.keep[l] -= 1 - z.keep[s]
		if z.keep[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// What is left is full but for rounding.
	for _, k := range append(small, large...) {
		z.keep[k] = 1
	}
	return z
}

func (z *zipfian) draw(r *source) int {
	k := r.IntN(len(z.keep))
	if r.Float64() < z.keep[k] {
		return k
	}
	return int(z.alias[k])
}
