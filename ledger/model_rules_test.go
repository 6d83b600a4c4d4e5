package ledger_test

import (
	"fmt"
	"strings"

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
	refusal := m.refusal(c)
	switch {
	case strings.HasPrefix(refusal, "invalid"):
		return refusal
	case refusal != "":
		return m.refuse(c, refusal)
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
			if known < len(calls) || m.transfers[c.id].repeat(c) == "conflict" {
				return []string{"conflict"}
			}
			answers = append(answers, m.transfers[c.id].repeat(c))
		}
		return answers
	}
	for i, c := range calls {
		if refusal := m.refusal(c); strings.HasPrefix(refusal, "invalid") {
			return []string{strings.Replace(refusal, " ", fmt.Sprintf(" transfers[%d].", i), 1)}
		}
	}
	// First on a copy: it is thrown away when one is refused.
	trial := &modelRun{unit: m.unit, accounts: map[int]*modelAccount{}, transfers: map[int]*modelTransfer{}}
	for i, a := range m.accounts {
		trial.accounts[i] = new(*a)
	}
	failed, refusal := -1, ""
	for i, c := range calls {
		if refusal = trial.refusal(c); refusal != "" {
			failed = i
			break
		}
		trial.move(c)
	}
	answers := make([]string, 0, len(calls))
	for i, c := range calls {
		switch {
		case failed < 0:
			answers = append(answers, m.move(c))
		case i == failed:
			answers = append(answers, m.refuse(c, refusal))
		default:
			answers = append(answers, m.refuse(c, "GROUP_FAILED"))
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

// repeat answers a call whose id is known.
func (t *modelTransfer) repeat(c modelCall) string {
	if c != t.call {
		return "conflict"
	}
	return "replay " + t.answer
}

// refusal says why a call cannot be executed, by the documented order.
func (m *modelRun) refusal(c modelCall) string {
	from, to := m.accounts[c.from], m.accounts[c.to]
	if from == nil {
		return "FROM_ACCOUNT_NOT_FOUND"
	}
	if to == nil {
		return "TO_ACCOUNT_NOT_FOUND"
	}
	if from.currency != to.currency || c.currency != "" && c.currency != from.currency {
		return "CURRENCY_MISMATCH"
	}
	if c.amount%m.unit[from.currency] != 0 {
		return "invalid amount"
	}
	if from.status == ledger.AccountClosed || to.status == ledger.AccountClosed {
		return "ACCOUNT_CLOSED"
	}
	if from.status == ledger.AccountFrozen || to.status == ledger.AccountFrozen {
		return "ACCOUNT_FROZEN"
	}
	if !from.equity && from.balance-c.amount < from.floor {
		return "INSUFFICIENT_FUNDS"
	}
	return ""
}

func (m *modelRun) move(c modelCall) string {
	m.accounts[c.from].add(-c.amount)
	m.accounts[c.to].add(c.amount)
	return m.refuse(c, "ok")
}

// refuse records the answer, with the balances as they are.
func (m *modelRun) refuse(c modelCall, reason string) string {
	answer := reason
	for _, i := range [...]int{c.from, c.to} {
		if a := m.accounts[i]; a != nil {
			answer += " " + thousandthsText(a.balance)
		} else {
			answer += " -"
		}
	}
	m.transfers[c.id] = &modelTransfer{call: c, answer: answer}
	return answer
}
