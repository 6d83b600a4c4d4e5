package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// A source is one caller's randomness. It is not for concurrent use, and so takes no lock.
type source struct {
	*rand.Rand
	ids *rand.ChaCha8
}

// newSource is seeded by the runtime: no two sources, of this run or of another, make the same ids.
func newSource() *source {
	var seed [32]byte
	for i := 0; i < len(seed); i += 8 {
		binary.LittleEndian.PutUint64(seed[i:], rand.Uint64())
	}
	return &source{rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), rand.NewChaCha8(seed)}
}

// id makes a version 7 UUID, as the server does when it is given none. The client chooses the id,
// as a careful client does: only so can it repeat a call whose response was lost.
func (s *source) id() uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(time.Now().UnixMilli())<<16|s.ids.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(id[8:], s.ids.Uint64()&^(3<<62)|2<<62)
	return id
}
