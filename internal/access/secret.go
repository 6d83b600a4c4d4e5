package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"math/big"

	"github.com/google/uuid"
)

// A secret is the text of a key: itk_, the key's id as 32 hexadecimal digits, _, 43 base62 digits
// of 256 random bits, and 6 base62 digits of the CRC-32 (IEEE) of all before it. The prefix and the
// checksum let scanners find a secret that has leaked, as GitHub's tokens do.
const (
	secretPrefix   = "itk_"
	randomDigits   = 43 // 62^43 is just above 2^256
	checksumDigits = 6
	idDigits       = 32
	secretLength   = len(secretPrefix) + idDigits + 1 + randomDigits + checksumDigits
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newSecret makes a secret for a key.
func newSecret(id uuid.UUID) string {
	var random [sha256.Size]byte
	_, _ = rand.Read(random[:]) // it never fails
	n, base, digit := new(big.Int).SetBytes(random[:]), big.NewInt(int64(len(base62))), new(big.Int)
	var digits [randomDigits]byte
	for i := randomDigits - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		digits[i] = base62[digit.Int64()]
	}
	body := secretPrefix + hex.EncodeToString(id[:]) + "_" + string(digits[:])
	sum := checksum([]byte(body))
	return body + string(sum[:])
}

// parseSecret returns the id of the key that a secret is of, and the hash that is stored of it. It
// reports false for a text that is no secret, or is a mistyped one.
func parseSecret(text string) (id uuid.UUID, hash [sha256.Size]byte, ok bool) {
	if len(text) != secretLength {
		return id, hash, false
	}
	var b [secretLength]byte // on the stack: every call passes here
	copy(b[:], text)
	digits, body := b[len(secretPrefix):len(secretPrefix)+idDigits], b[:secretLength-checksumDigits]
	if string(b[:len(secretPrefix)]) != secretPrefix || b[len(secretPrefix)+idDigits] != '_' {
		return id, hash, false
	}
	if _, err := hex.Decode(id[:], digits); err != nil {
		return id, hash, false
	}
	if sum := checksum(body); string(sum[:]) != text[len(body):] {
		return id, hash, false
	}
	return id, sha256.Sum256(b[:]), true
}

// checksum returns the last digits of a secret.
func checksum(body []byte) (sum [checksumDigits]byte) {
	n := crc32.ChecksumIEEE(body)
	for i := checksumDigits - 1; i >= 0; i-- {
		sum[i] = base62[n%uint32(len(base62))]
		n /= uint32(len(base62))
	}
	return sum
}
