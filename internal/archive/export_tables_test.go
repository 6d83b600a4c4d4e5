package archive

import (
	"context"
	"slices"

	"internaltransfers/gen/db"
)

// TableNames returns the names of the tables that are copied, in order.
func TableNames() []string {
	names := namesOf(tables)
	slices.Sort(names)
	return names
}

// RequireEmpty fails unless a ledger is empty.
func RequireEmpty(ctx context.Context, conn db.DBTX) error { return requireEmpty(ctx, conn) }
