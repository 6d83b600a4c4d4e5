package ledger

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

const (
	digitsMax   = 38 // before the point
	decimalsMax = 18 // the largest scale
)

// checkText answers an InvalidError for a text that Postgres cannot store.
func checkText(field, text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return &InvalidError{Field: field, Reason: "must be valid UTF-8 without NUL"}
	}
	return nil
}

// checkMetadata does the same for the keys and values of metadata.
func checkMetadata(m map[string]string) error {
	for k, v := range m {
		if err := checkText("metadata", k); err != nil {
			return err
		}
		if err := checkText("metadata", v); err != nil {
			return err
		}
	}
	return nil
}

// checkSize answers an InvalidError for a number with more digits than any amount has. It looks at the exponent before
// the digits: 1e1000000000 must not be written out.
func checkSize(field string, d decimal.Decimal) error {
	e := int(d.Exponent())
	if e > digitsMax || e < -decimalsMax || d.NumDigits()+e > digitsMax {
		return &InvalidError{Field: field, Reason: fmt.Sprintf(
			"must have at most %d digits before the point and %d after it", digitsMax, decimalsMax)}
	}
	return nil
}
