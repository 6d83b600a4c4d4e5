package postgres_test

import (
	"fmt"

	"github.com/google/uuid"

	"internaltransfers/ledger"
)

// The rules of a transfer's life, as the model of TestLifecycleModel has them.

// expire ends the holds whose time has come.
func (m *lifeRun) expire() {
	for _, t := range m.transfers {
		if t.kind == ledger.KindHold && t.status == ledger.TransferInit && t.due >= 0 && t.due <= m.now {
			m.release(t)
			m.accounts[t.from].version++
			m.accounts[t.to].version++
			t.status, t.reason = ledger.TransferFailed, ledger.HoldExpired
		}
	}
}

func (m *lifeRun) release(t *lifeTransfer) {
	m.accounts[t.from].held -= t.open
	m.accounts[t.to].incoming -= t.open
	t.open = 0
}

// usage is what an account paid within its window.
func (m *lifeRun) usage(i int) (amount, count int64) {
	for _, t := range m.transfers {
		if t.from != i || t.created <= m.now-m.accounts[i].window {
			continue
		}
		paid := int64(0)
		switch {
		case t.kind == ledger.KindHold:
			paid = t.open + t.posted
		case (t.kind == ledger.KindTransfer || t.kind == ledger.KindExecution) && t.status == ledger.TransferSuccess:
			paid = t.amount
		}
		if amount += paid; paid > 0 {
			count++
		}
	}
	return amount, count
}

// judge returns how much a transfer may move or reserve, or the refusal.
func (m *lifeRun) judge(c lifeCall, inGroup bool) (amount int64, reason ledger.ErrorReason, figures string) {
	from, to := m.accounts[c.from], m.accounts[c.to]
	if r := m.blocked(c.from, c.to); r != "" {
		return c.amount, r, ""
	}
	switch {
	case c.version >= 0 && c.version != from.version:
		return c.amount, ledger.VersionMismatch, fmt.Sprintf(" %d/%d", from.version, c.version)
	case c.atLeast >= 0 && from.balance < c.atLeast:
		return c.amount, ledger.BalanceConditionFailed, fmt.Sprintf(" %d/%d", from.balance, c.atLeast)
	case c.most >= 0 && from.balance > c.most:
		return c.amount, ledger.BalanceConditionFailed, fmt.Sprintf(" %d/%d", from.balance, c.most)
	}
	available, total := from.balance-from.held, to.balance+to.incoming
	poor, full := fmt.Sprintf(" %d/%d", available, from.floor), fmt.Sprintf(" %d/%d", total, to.ceiling)
	if amount = c.amount; c.upTo {
		floor := int64(0)
		if c.upToFloor != noFloor {
			floor = c.upToFloor
		}
		if !from.equity {
			floor = max(floor, from.floor)
		}
		amount = min(amount, available-floor)
		if to.ceiling >= 0 {
			amount = min(amount, to.ceiling-total)
		}
		if amount <= 0 && available <= floor {
			return c.amount, ledger.InsufficientFunds, fmt.Sprintf(" %d/%d", available, floor)
		}
		if amount <= 0 {
			return c.amount, ledger.MaxBalanceExceeded, full
		}
	}
	used, count := m.usage(c.from)
	switch {
	case from.cap >= 0 && amount > from.cap:
		return c.amount, ledger.TransferCapExceeded, fmt.Sprintf(" %d/%d", amount, from.cap)
	case !from.equity && available-amount < from.floor:
		if c.plain() && !inGroup && from.held == 0 && from.floor == 0 {
			poor = ""
		}
		return c.amount, ledger.InsufficientFunds, poor
	case to.ceiling >= 0 && total+amount > to.ceiling:
		return c.amount, ledger.MaxBalanceExceeded, full
	case from.limit >= 0 && used+amount > from.limit:
		return c.amount, ledger.AmountLimitExceeded, fmt.Sprintf(" %d/%d", used, from.limit)
	case from.count >= 0 && count >= from.count:
		return c.amount, ledger.CountLimitExceeded, fmt.Sprintf(" %d/%d", count, from.count)
	}
	return amount, "", ""
}

// plain reports whether the call is a transfer and nothing else.
func (c lifeCall) plain() bool {
	return c.kind == ledger.KindTransfer && !c.upTo && c.version < 0 && c.atLeast < 0 && c.most < 0
}

func (m *lifeRun) blocked(from, to int) ledger.ErrorReason {
	switch {
	case m.accounts[from].debitBlock > m.now:
		return ledger.DebitsBlocked
	case m.accounts[to].creditBlock > m.now:
		return ledger.CreditsBlocked
	}
	return ""
}

// move moves money, an entry of both accounts.
func (m *lifeRun) move(from, to int, amount int64) {
	m.accounts[from].balance -= amount
	m.accounts[to].balance += amount
	m.accounts[from].version++
	m.accounts[to].version++
}

// record keeps a transfer and returns it.
func (m *lifeRun) record(t lifeTransfer, figures string) string {
	m.transfers = append(m.transfers, &t)
	word := map[ledger.TransferStatus]string{ledger.TransferSuccess: "ok", ledger.TransferInit: "init", ledger.TransferFailed: string(t.reason)}[t.status]
	return fmt.Sprintf("%s %d %d%s", word, m.accounts[t.from].balance, m.accounts[t.to].balance, figures)
}

// execute decides a new transfer that stands alone.
func (m *lifeRun) execute(c lifeCall, id uuid.UUID) string {
	if c.kind == ledger.KindScheduled {
		return m.effect(c, id, c.amount)
	}
	amount, reason, figures := m.judge(c, false)
	if reason != "" {
		return m.refuse(c, id, reason, figures)
	}
	return m.effect(c, id, amount)
}

func (m *lifeRun) refuse(c lifeCall, id uuid.UUID, reason ledger.ErrorReason, figures string) string {
	return m.record(lifeTransfer{
		id: id, kind: c.kind, from: c.from, to: c.to, amount: c.amount, created: m.now, due: -1, status: ledger.TransferFailed,
		reason: reason,
	}, figures)
}

func (m *lifeRun) effect(c lifeCall, id uuid.UUID, amount int64) string {
	t := lifeTransfer{
		id: id, kind: c.kind, from: c.from, to: c.to, amount: amount, created: m.now, due: c.due, status: ledger.TransferInit,
		upTo: c.upTo, upToFloor: c.upToFloor,
	}
	switch c.kind {
	case ledger.KindTransfer:
		m.move(c.from, c.to, amount)
		t.status = ledger.TransferSuccess
	case ledger.KindHold:
		t.open = amount
		m.accounts[c.from].held += amount
		m.accounts[c.to].incoming += amount
		m.accounts[c.from].version++
		m.accounts[c.to].version++
	default:
	}
	return m.record(t, "")
}

// executeGroup decides transfers of which all happen or none. It tries on copies first.
func (m *lifeRun) executeGroup(calls []lifeCall, params []ledger.TransferParams) []string {
	accounts, transfers := m.accounts, m.transfers
	m.accounts = nil
	for _, a := range accounts {
		m.accounts = append(m.accounts, new(*a))
	}
	failed, reason, figures := -1, ledger.ErrorReason(""), ""
	answers := make([]string, 0, len(calls))
	for i, c := range calls {
		amount := c.amount
		if c.kind != ledger.KindScheduled {
			if amount, reason, figures = m.judge(c, true); reason != "" {
				failed = i
				break
			}
		}
		answers = append(answers, m.effect(c, params[i].ID, amount))
	}
	if failed < 0 {
		return answers
	}
	m.accounts, m.transfers, answers = accounts, transfers, nil
	for i, c := range calls {
		if i == failed {
			answers = append(answers, m.refuse(c, params[i].ID, reason, figures))
		} else {
			answers = append(answers, m.refuse(c, params[i].ID, ledger.GroupFailed, ""))
		}
	}
	return answers
}

// ended says why a transfer is not one of the kinds that are still INIT; empty: it is.
func (t *lifeTransfer) ended(kinds ...ledger.TransferKind) ledger.ErrorReason {
	is := false
	for _, k := range kinds {
		is = is || t.kind == k
	}
	switch {
	case !is:
		return ledger.NotPending
	case t.status == ledger.TransferInit:
		return ""
	case t.status == ledger.TransferSuccess:
		return ledger.AlreadyPosted
	case t.reason == ledger.Voided:
		return ledger.AlreadyVoided
	case t.reason == ledger.HoldExpired:
		return ledger.HoldExpired
	}
	return ledger.NotPending
}

// capture decides a capture of amount, 0 for all.
func (m *lifeRun) capture(t *lifeTransfer, id uuid.UUID, amount int64, final bool) string {
	all := amount == 0
	c := lifeTransfer{id: id, kind: ledger.KindCapture, from: t.from, to: t.to, amount: amount, created: m.now, status: ledger.TransferFailed}
	if c.reason = t.ended(ledger.KindHold); c.reason != "" {
		if all {
			c.amount = t.amount
		}
		return m.record(c, "")
	}
	if all {
		c.amount = t.open
	}
	if c.amount > t.open {
		c.reason = ledger.HoldAmountExceeded
		return m.record(c, fmt.Sprintf(" %d/%d", c.amount, t.open))
	}
	if c.reason = m.blocked(t.from, t.to); c.reason != "" {
		return m.record(c, "")
	}
	m.move(t.from, t.to, c.amount)
	m.accounts[t.from].held -= c.amount
	m.accounts[t.to].incoming -= c.amount
	t.open -= c.amount
	t.posted += c.amount
	if all || final || t.open == 0 {
		m.release(t)
		t.status = ledger.TransferSuccess
	}
	c.status = ledger.TransferSuccess
	return m.record(c, "")
}

// reversal decides a reversal of amount, 0 for all.
func (m *lifeRun) reversal(t *lifeTransfer, id uuid.UUID, amount int64, force bool) string {
	r := lifeTransfer{id: id, kind: ledger.KindReversal, from: t.to, to: t.from, amount: amount, created: m.now, status: ledger.TransferFailed}
	left := t.amount - t.reversed
	moved := t.status == ledger.TransferSuccess && t.kind != ledger.KindHold && t.kind != ledger.KindScheduled &&
		t.kind != ledger.KindReversal
	if amount == 0 {
		if r.amount = left; !moved || left == 0 {
			r.amount = t.amount
		}
	}
	switch {
	case !moved:
		r.reason = ledger.NotReversible
		return m.record(r, "")
	case left == 0:
		r.reason = ledger.AlreadyReversed
		return m.record(r, fmt.Sprintf(" %d/%d", t.reversed, t.amount))
	case r.amount > left:
		r.reason = ledger.AlreadyReversed
		return m.record(r, fmt.Sprintf(" %d/%d", r.amount, left))
	}
	if r.reason = m.blocked(r.from, r.to); r.reason != "" {
		return m.record(r, "")
	}
	from, to := m.accounts[r.from], m.accounts[r.to]
	switch available, total := from.balance-from.held, to.balance+to.incoming; {
	case !from.equity && !force && available-r.amount < from.floor:
		r.reason = ledger.InsufficientFunds
		return m.record(r, fmt.Sprintf(" %d/%d", available, from.floor))
	case to.ceiling >= 0 && total+r.amount > to.ceiling:
		r.reason = ledger.MaxBalanceExceeded
		return m.record(r, fmt.Sprintf(" %d/%d", total, to.ceiling))
	}
	m.move(r.from, r.to, r.amount)
	t.reversed += r.amount
	r.status = ledger.TransferSuccess
	return m.record(r, "")
}

// end voids a transfer.
func (m *lifeRun) end(t *lifeTransfer) string {
	reason := t.ended(ledger.KindHold, ledger.KindScheduled)
	switch reason {
	case "":
		if t.kind == ledger.KindHold {
			m.release(t)
			m.accounts[t.from].version++
			m.accounts[t.to].version++
		}
		t.status, t.reason = ledger.TransferFailed, ledger.Voided
		t.voided = fmt.Sprintf("VOIDED %d %d", m.accounts[t.from].balance, m.accounts[t.to].balance)
		return t.voided
	case ledger.AlreadyVoided:
		return "replay " + t.voided
	default:
		return "refused " + string(reason)
	}
}

// run executes a scheduled transfer that is due.
func (m *lifeRun) run(t *lifeTransfer, id uuid.UUID) string {
	c := lifeCall{
		kind: ledger.KindExecution, from: t.from, to: t.to, amount: t.amount, upTo: t.upTo, upToFloor: t.upToFloor, version: -1,
		atLeast: -1, most: -1,
	}
	amount, reason, figures := m.judge(c, false)
	if reason != "" {
		t.status, t.reason = ledger.TransferFailed, reason
		return fmt.Sprintf("%s %d %d%s", reason, m.accounts[t.from].balance, m.accounts[t.to].balance, figures)
	}
	t.status = ledger.TransferSuccess
	m.move(t.from, t.to, amount)
	return m.record(lifeTransfer{
		id: id, kind: ledger.KindExecution, from: t.from, to: t.to, amount: amount, created: m.now, status: ledger.TransferSuccess,
	}, "")
}
