package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"

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
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	text := secretPrefix + hex.EncodeToString(id[:]) + "_" + digits(new(big.Int).SetBytes(random[:]), randomDigits)
	return text + checksum(text)
}

// parseSecret returns the id of the key that a secret is of. It reports false for a text that is no
// secret, or is a mistyped one.
func parseSecret(text string) (id uuid.UUID, ok bool) {
	if len(text) != secretLength || !strings.HasPrefix(text, secretPrefix) || text[len(secretPrefix)+idDigits] != '_' {
		return uuid.Nil, false
	}
	body, sum := text[:len(text)-checksumDigits], text[len(text)-checksumDigits:]
	if _, err := hex.Decode(id[:], []byte(text[len(secretPrefix):len(secretPrefix)+idDigits])); err != nil {
		return uuid.Nil, false
	}
	return id, checksum(body) == sum
}

func hashSecret(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

func checksum(text string) string {
	return digits(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text)))), checksumDigits)
}

// digits writes a number with that many digits.
func digits(n *big.Int, width int) string {
	text := make([]byte, width)
	base, digit := big.NewInt(int64(len(base62))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = base62[digit.Int64()]
	}
	return string(text)
}
