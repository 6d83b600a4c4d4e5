package ledger

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

const (
	digitsMax   = 38 // before the point
	decimalsMax = 18 // the largest scale
)

// Times that stand for no bound; every row lies between them.
var (
	TimeMin = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	TimeMax = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// CheckText returns an InvalidError for a text that Postgres cannot store.
func CheckText(field, text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return &InvalidError{Field: field, Reason: "must be valid UTF-8 without NUL"}
	}
	return nil
}

// CheckMetadata does the same for the keys and values of metadata.
func CheckMetadata(m map[string]string) error {
	for k, v := range m {
		if err := CheckText("metadata", k); err != nil {
			return err
		}
		if err := CheckText("metadata", v); err != nil {
			return err
		}
	}
	return nil
}

// checkSize returns an InvalidError for a number with more digits than any amount has. It looks at
// the exponent before the digits: 1e1000000000 must not be written out.
func checkSize(field string, d decimal.Decimal) error {
	e := int(d.Exponent())
	if e > digitsMax || e < -decimalsMax || d.NumDigits()+e > digitsMax {
		return &InvalidError{Field: field, Reason: fmt.Sprintf(
			"must have at most %d digits before the point and %d after it", digitsMax, decimalsMax)}
	}
	return nil
}

// CheckPrecision returns an InvalidError of field when amount has more decimals than the currency.
// Nothing is rounded.
func (c *Currency) CheckPrecision(field string, amount decimal.Decimal) error {
	if -amount.Exponent() <= c.Scale || amount.Equal(amount.Truncate(c.Scale)) {
		return nil
	}
	return &InvalidError{
		Field:  field,
		Reason: fmt.Sprintf("%s has more decimals than the %d of %s", amount, c.Scale, c.Code),
	}
}

// CheckAmount returns an InvalidError of field for an amount that nothing in the currency can have.
func (c *Currency) CheckAmount(field string, amount decimal.Decimal) error {
	if err := checkSize(field, amount); err != nil {
		return err
	}
	return c.CheckPrecision(field, amount)
}

func CeilMicrosecond(t time.Time) time.Time {
	if floor := t.Truncate(time.Microsecond); !floor.Equal(t) {
		return floor.Add(time.Microsecond)
	}
	return t
}
