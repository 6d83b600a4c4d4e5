package databases

import (
	"testing"
	"time"

	"internaltransfers/internal/pgtest"
	"internaltransfers/ledger"
)

// TestHAProxyIdle: sessions that a proxy has cut because they were idle fail no call.
func TestHAProxyIdle(t *testing.T) {
	t.Parallel()
	database := pgtest.NewDatabase(t)
	config := configure(pgtest.NewHAProxy(t, database, time.Second), "")
	config.Workers, config.ProfileCache = 0, 0
	l := open(t, config)
	n := newLife(t, l, "idle")
	n.openAccounts()
	await(t, database, "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'")
	if _, err := l.GetAccount(t.Context(), n.ids[0]); err != nil {
		t.Errorf("the first call after a while: %v", err)
	}
	if _, _, err := l.Transfer(t.Context(), ledger.TransferParams{From: n.ids[0], To: n.ids[1], Amount: one}); err != nil {
		t.Errorf("the first transfer after a while: %v", err)
	}
}
