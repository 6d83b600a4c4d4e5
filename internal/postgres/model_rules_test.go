package postgres_test

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"internaltransfers/ledger"
)

// The rules of transfers, as the model of TestModel has them.

// transferModel executes a call that stands alone.
func (m *modelRun) transferModel(c modelCall) string {
	if invalid := c.invalid(); invalid != "" {
		return invalid
	}
	if known := m.transfers[c.id]; known != nil {
		return known.repeat(c)
	}
	refusal, figures := m.refusal(c, false)
	switch {
	case strings.HasPrefix(refusal, "invalid"):
		return refusal
	case refusal != "":
		return m.record(c, refusal, figures)
	}
	return m.move(c)
}

// groupModel executes calls of which all happen or none.
func (m *modelRun) groupModel(calls []modelCall) []string {
	seen, known := map[int]bool{}, 0
	for i, c := range calls {
		if invalid := c.invalid(); invalid != "" {
			return []string{strings.Replace(invalid, " ", fmt.Sprintf(" transfers[%d].", i), 1)}
		}
		if seen[c.id] {
			return []string{fmt.Sprintf("invalid transfers[%d].transfer_id", i)}
		}
		seen[c.id] = true
		if m.transfers[c.id] != nil {
			known++
		}
	}
	if known > 0 {
		answers := make([]string, 0, len(calls))
		for _, c := range calls {
			t := m.transfers[c.id]
			if known < len(calls) || t.repeat(c) == "conflict" || t.group == 0 || t.group != m.transfers[calls[0].id].group ||
				m.sizes[t.group-1] != len(calls) {
				return []string{"conflict"}
			}
			answers = append(answers, m.transfers[c.id].repeat(c))
		}
		return answers
	}
	for i, c := range calls {
		if refusal, _ := m.refusal(c, true); strings.HasPrefix(refusal, "invalid") {
			return []string{strings.Replace(refusal, " ", fmt.Sprintf(" transfers[%d].", i), 1)}
		}
	}
	// First on a copy: it is thrown away when one is refused.
	trial := &modelRun{unit: m.unit, accounts: map[int]*modelAccount{}, transfers: map[int]*modelTransfer{}}
	for i, a := range m.accounts {
		trial.accounts[i] = new(*a)
	}
	failed, refusal, figures := -1, "", ""
	for i, c := range calls {
		if refusal, figures = trial.refusal(c, true); refusal != "" {
			failed = i
			break
		}
		trial.move(c)
	}
	m.sizes = append(m.sizes, len(calls))
	m.group = len(m.sizes)
	defer func() { m.group = 0 }()
	answers := make([]string, 0, len(calls))
	for i, c := range calls {
		switch {
		case failed < 0:
			answers = append(answers, m.move(c))
		case i == failed:
			answers = append(answers, m.record(c, refusal, figures))
		default:
			answers = append(answers, m.record(c, "GROUP_FAILED", ""))
		}
	}
	return answers
}

// invalid is what can be said of a call alone.
func (c modelCall) invalid() string {
	switch {
	case c.from == c.to:
		return "invalid to_account_id"
	case c.amount <= 0:
		return "invalid amount"
	}
	return ""
}

// repeat returns the result of a call whose id is used already.
func (t *modelTransfer) repeat(c modelCall) string {
	if c != t.call {
		return "conflict"
	}
	return "replay " + t.answer
}

// refusal says why a call cannot be executed, by the documented order, and with which figures where
// the record does not have them. In a group, the record has the balances from before it.
func (m *modelRun) refusal(c modelCall, inGroup bool) (reason, figures string) {
	from, to := m.accounts[c.from], m.accounts[c.to]
	if from == nil {
		return "FROM_ACCOUNT_NOT_FOUND", ""
	}
	if to == nil {
		return "TO_ACCOUNT_NOT_FOUND", ""
	}
	if from.currency != to.currency || c.currency != "" && c.currency != from.currency {
		return "CURRENCY_MISMATCH", ""
	}
	if c.amount%m.unit[from.currency] != 0 {
		return "invalid amount", ""
	}
	if from.status == ledger.AccountClosed || to.status == ledger.AccountClosed {
		return "ACCOUNT_CLOSED", ""
	}
	if from.status == ledger.AccountFrozen || to.status == ledger.AccountFrozen {
		return "ACCOUNT_FROZEN", ""
	}
	if !from.equity && from.balance-c.amount < from.floor {
		if from.floor == 0 && !inGroup {
			return "INSUFFICIENT_FUNDS", ""
		}
		scale := int32(2)
		if m.unit[from.currency] == 1000 {
			scale = 0
		}
		return "INSUFFICIENT_FUNDS", fmt.Sprintf(" %s/%s", decimal.New(from.balance, -3).StringFixed(scale),
			decimal.New(from.floor, -3).StringFixed(scale))
	}
	return "", ""
}

func (m *modelRun) move(c modelCall) string {
	m.accounts[c.from].add(-c.amount)
	m.accounts[c.to].add(c.amount)
	return m.record(c, "ok", "")
}

// record records the result, with the balances as they are.
func (m *modelRun) record(c modelCall, reason, figures string) string {
	answer := reason
	for _, i := range [...]int{c.from, c.to} {
		if a := m.accounts[i]; a != nil {
			answer += " " + thousandthsText(a.balance)
		} else {
			answer += " -"
		}
	}
	answer += figures
	m.transfers[c.id] = &modelTransfer{call: c, answer: answer, group: m.group}
	return answer
}
