package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

const (
	limitsMax      = 8
	blockReasonMax = 200 // characters
	windowMin      = time.Second
	windowMax      = 366 * 24 * time.Hour
)

// A Policy is what an account may not do, beyond its floor and ceiling. The zero Policy forbids
// nothing. It is stored as JSON.
type Policy struct {
	MaxTransfer *decimal.Decimal `json:"max_transfer_amount,omitempty"` // of one transfer; nil: any
	DebitBlock  *Block           `json:"debit_block,omitempty"`
	CreditBlock *Block           `json:"credit_block,omitempty"`
	Limits      []Limit          `json:"limits,omitempty"` // at most 8
}

// A Block keeps money from leaving or entering an account.
type Block struct {
	Reason string     `json:"reason"`             // 1 to 200 characters
	End    *time.Time `json:"end_time,omitempty"` // exclusive; nil: until it is removed
}

// stands reports whether the block is there at that time.
func (b *Block) stands(now time.Time) bool { return b != nil && (b.End == nil || now.Before(*b.End)) }

// A Limit bounds what an account pays within a window that ends now.
type Limit struct {
	Window    time.Duration    `json:"window"`               // 1 s to 366 days, in ns
	MaxAmount *decimal.Decimal `json:"max_amount,omitempty"` // nil: any
	MaxCount  *int64           `json:"max_count,omitempty"`  // nil: any
}

// Empty reports whether the policy forbids nothing.
func (p *Policy) Empty() bool {
	return p.MaxTransfer == nil && p.DebitBlock == nil && p.CreditBlock == nil && len(p.Limits) == 0
}

// Encode returns the policy as it is stored; nil: there is none.
func (p *Policy) Encode() json.RawMessage {
	if p.Empty() {
		return nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts, numbers and times always encode
	}
	return b
}

// DecodePolicy reads a stored policy; nil when there is none.
func DecodePolicy(b json.RawMessage) (*Policy, error) {
	if len(b) == 0 {
		return nil, nil
	}
	p := new(Policy)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("decode a policy: %w", err)
	}
	return p, nil
}

// Check returns an InvalidError for a policy that no account of the currency can have. prefix comes
// before the names of its fields.
func (p *Policy) Check(prefix string, currency Currency) error {
	if p.MaxTransfer != nil {
		if err := currency.CheckAmount(prefix+"max_transfer_amount", *p.MaxTransfer); err != nil {
			return err
		}
		if !p.MaxTransfer.IsPositive() {
			return &InvalidError{Field: prefix + "max_transfer_amount", Reason: "must be greater than zero"}
		}
	}
	for _, b := range [...]struct {
		field    string
		endField string
		block    *Block
	}{
		{"debit_block.reason", "debit_block.end_time", p.DebitBlock},
		{"credit_block.reason", "credit_block.end_time", p.CreditBlock},
	} {
		if b.block == nil {
			continue
		}
		if err := CheckText(prefix+b.field, b.block.Reason); err != nil {
			return err
		}
		if end := b.block.End; end != nil && (end.UTC().Year() < 1 || end.UTC().Year() > 9999) {
			return &InvalidError{Field: prefix + b.endField, Reason: "must be in the years 1 to 9999"}
		}
		if n := len([]rune(b.block.Reason)); n == 0 || n > blockReasonMax {
			return &InvalidError{Field: prefix + b.field, Reason: fmt.Sprintf("must have 1 to %d characters", blockReasonMax)}
		}
	}
	if len(p.Limits) > limitsMax {
		return &InvalidError{Field: prefix + "limits", Reason: fmt.Sprintf("must be at most %d", limitsMax)}
	}
	for i := range p.Limits {
		if err := p.Limits[i].check(fmt.Sprintf("%slimits[%d].", prefix, i), currency); err != nil {
			return err
		}
	}
	return nil
}

func (l *Limit) check(prefix string, currency Currency) error {
	switch {
	case l.Window < windowMin || l.Window > windowMax:
		return &InvalidError{Field: prefix + "window", Reason: "must be 1 second to 366 days"}
	case l.MaxAmount == nil && l.MaxCount == nil:
		return &InvalidError{Field: prefix + "max_amount", Reason: "must be set when max_count is not"}
	case l.MaxCount != nil && *l.MaxCount < 0:
		return &InvalidError{Field: prefix + "max_count", Reason: "must not be negative"}
	case l.MaxAmount == nil:
		return nil
	case l.MaxAmount.IsNegative():
		return &InvalidError{Field: prefix + "max_amount", Reason: "must not be negative"}
	}
	return currency.CheckAmount(prefix+"max_amount", *l.MaxAmount)
}
