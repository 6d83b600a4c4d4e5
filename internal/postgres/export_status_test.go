package postgres

// Rested has the next GetStatus and GetActivity read anew.
func (l *Ledger) Rested() {
	for _, p := range []*pace{&l.status.pace, &l.activity.pace} {
		p.turn <- struct{}{}
		p.ready = p.ready.AddDate(-1, 0, 0)
		<-p.turn
	}
}

// CountAtMost has GetStatus count so many accounts of a currency, and no more.
func (l *Ledger) CountAtMost(n int64) { l.status.countedMax = n }
