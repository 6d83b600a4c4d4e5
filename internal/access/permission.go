package access

import (
	"fmt"
	"slices"
	"strings"
)

// Permissions are a set of what a caller may do.
type Permissions uint32

// The permissions. Their names, such as accounts.read, are the contract with clients.
const (
	AccountsRead Permissions = 1 << iota
	AccountsWrite
	AccountsPolicy // floors, ceilings, limits, blocks and the status
	TransfersRead
	TransfersCreate
	TransfersSettle // post and void
	TransfersReverse
	TransfersForce // reverse below the payer's floor
	TransfersImport
	SchedulesRead
	SchedulesWrite
	MoneyIssue // whatever pays from an equity account
	CurrenciesWrite
	EventsRead
	WebhooksRead
	WebhooksWrite
	LedgerCheck
	KeysAdmin
	AuditRead
	OpsRead
)

// permissionNames has the name of each permission, in the order of their bits.
var permissionNames = [...]string{
	"accounts.read", "accounts.write", "accounts.policy", "transfers.read", "transfers.create", "transfers.settle",
	"transfers.reverse", "transfers.force", "transfers.import", "schedules.read", "schedules.write", "money.issue",
	"currencies.write", "events.read", "webhooks.read", "webhooks.write", "ledger.check", "keys.admin", "audit.read",
	"ops.read",
}

// A role's permissions are fixed, so that its name says the same of every ledger.
const (
	viewer    = AccountsRead | TransfersRead | SchedulesRead | EventsRead
	auditor   = viewer | WebhooksRead | LedgerCheck | AuditRead
	sender    = AccountsRead | TransfersRead | SchedulesRead | TransfersCreate | TransfersSettle | SchedulesWrite
	operator  = viewer | AccountsWrite | AccountsPolicy | TransfersSettle | TransfersReverse | WebhooksRead
	treasurer = operator | TransfersCreate | TransfersForce | TransfersImport | MoneyIssue | CurrenciesWrite | LedgerCheck
	developer = viewer | WebhooksRead | WebhooksWrite
	admin     = KeysAdmin | AuditRead | OpsRead // manages keys and moves no money
)

var roles = map[string]Permissions{
	"viewer": viewer, "auditor": auditor, "sender": sender, "operator": operator, "treasurer": treasurer,
	"developer": developer, "admin": admin,
}

// Roles returns the names of the roles, in alphabetical order.
func Roles() []string {
	names := make([]string, 0, len(roles))
	for name := range roles {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RoleAdmin is the role of the first key.
const RoleAdmin = "admin"

// ParsePermissions returns the set of these names, and fails for a name that there is not.
func ParsePermissions(names []string) (Permissions, error) {
	var set Permissions
	for _, name := range names {
		i := slices.Index(permissionNames[:], name)
		if i < 0 {
			return 0, fmt.Errorf("there is no permission %q; there are %s", name, strings.Join(permissionNames[:], ", "))
		}
		set |= 1 << i
	}
	return set, nil
}

// Has reports whether all of the others are in the set.
func (p Permissions) Has(others Permissions) bool { return p&others == others }

// Names returns the names of the permissions in the set, in alphabetical order.
func (p Permissions) Names() []string {
	names := make([]string, 0, len(permissionNames))
	for i, name := range permissionNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
