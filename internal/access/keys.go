package access

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"internaltransfers/gen/db"
	"internaltransfers/ledger"
)

// A Key is an API key, without its secret.
type Key struct {
	ID uuid.UUID
	Params
	CreateTime          time.Time
	RevokeTime          *time.Time // nil: it was not revoked
	LastUseTime         *time.Time // nil: never
	LastUseAddress      string
	OldSecretExpireTime *time.Time // nil: there is no old secret
	Version             int64
}

// Params are what an administrator decides of a key.
type Params struct {
	Name       string  // 1 to 200 characters
	Role       string  // empty: none
	Grants     []Grant // beside the role
	Networks   []string
	ExpireTime *time.Time // nil: never
}

// A Grant is something that a key may do.
type Grant struct {
	Permissions []string `json:"permissions"`
}

// Status says whether the key can be used: active, expired or revoked.
func (k *Key) Status(now time.Time) string {
	switch {
	case k.RevokeTime != nil:
		return "revoked"
	case k.ExpireTime != nil && !k.ExpireTime.After(now):
		return "expired"
	default:
		return "active"
	}
}

const nameMax = 200 // characters

// permissions returns what a key may do by its role, and by its grants.
func (p *Params) permissions() (byRole, byGrants Permissions, err error) {
	if p.Role != "" {
		var known bool
		if byRole, known = roles[p.Role]; !known {
			return 0, 0, &ledger.InvalidError{
				Field: "role", Reason: fmt.Sprintf("there is no role %q; there are %s", p.Role, strings.Join(Roles(), ", ")),
			}
		}
	}
	for i, g := range p.Grants {
		set, err := ParsePermissions(g.Permissions)
		if err != nil {
			return 0, 0, &ledger.InvalidError{Field: fmt.Sprintf("grants[%d].permissions", i), Reason: err.Error()}
		}
		byGrants |= set
	}
	return byRole, byGrants, nil
}

// check returns an error for a key that cannot be, or that by, who is nil for the operator of the
// server, may not make.
func (p *Params) check(by *Caller, now time.Time) error {
	if n := utf8.RuneCountInString(p.Name); n == 0 || n > nameMax || strings.TrimSpace(p.Name) == "" {
		return &ledger.InvalidError{Field: "display_name", Reason: fmt.Sprintf("must have 1 to %d characters", nameMax)}
	}
	if err := ledger.CheckText("display_name", p.Name); err != nil {
		return err
	}
	byRole, byGrants, err := p.permissions()
	if err != nil {
		return err
	}
	if byRole|byGrants == 0 {
		return &ledger.InvalidError{Field: "role", Reason: "is empty, and so are grants: the key could do nothing"}
	}
	if by != nil {
		if err := by.Require(byGrants, "to grant it"); err != nil {
			return err
		}
	}
	if _, err := ParseNetworks("networks", p.Networks); err != nil {
		return err
	}
	if p.ExpireTime != nil && !p.ExpireTime.After(now) {
		return &ledger.InvalidError{Field: "expire_time", Reason: "must be in the future"}
	}
	return nil
}

// ParseNetworks reads networks such as 10.0.0.0/8, and single addresses. The error is an
// InvalidError that names the field.
func ParseNetworks(field string, texts []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(texts))
	for i, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var address netip.Addr
			address, err = netip.ParseAddr(text)
			if err == nil && address.Zone() == "" {
				network = netip.PrefixFrom(address, address.BitLen())
			}
		}
		if err != nil || !network.IsValid() || network != network.Masked() {
			return nil, &ledger.InvalidError{
				Field: fmt.Sprintf("%s[%d]", field, i), Reason: "must be a network such as 10.0.0.0/8 or an address such as 203.0.113.7",
			}
		}
		networks = append(networks, network)
	}
	return networks, nil
}

// keyOf returns the key of a row.
func keyOf(row *db.ApiKey) (Key, error) {
	k := Key{
		ID: row.ApiKeyID, Params: Params{
			Name: row.DisplayName, Role: row.Role, Networks: row.Networks, ExpireTime: row.ExpireTime,
		},
		CreateTime: row.CreateTime, RevokeTime: row.RevokeTime, LastUseTime: row.LastUseTime,
		LastUseAddress: row.LastUseAddress, OldSecretExpireTime: row.OldSecretExpireTime, Version: row.Version,
	}
	if err := json.Unmarshal(row.Grants, &k.Grants); err != nil {
		return Key{}, fmt.Errorf("key %s: its grants: %w", row.ApiKeyID, err)
	}
	return k, nil
}

// callerOf returns a key that was not revoked as the caller that it makes.
func callerOf(row *db.ApiKey) (*Caller, error) {
	k, err := keyOf(row)
	if err != nil {
		return nil, err
	}
	byRole, byGrants, err := k.permissions()
	if err != nil {
		// A newer version of the program may know more. What this one does not know, it denies.
		byRole, byGrants = roles[k.Role], k.knownGrants()
	}
	networks, err := ParseNetworks("networks", k.Networks)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.ID, err)
	}
	c := &Caller{
		KeyID: k.ID, Name: k.Name, Role: k.Role, Permissions: byRole | byGrants, ExpireTime: k.ExpireTime,
		networks: networks, hash: [32]byte(row.SecretHash), version: k.Version, ended: make(chan struct{}),
	}
	if row.OldSecretExpireTime != nil {
		c.old, c.oldExpires = row.OldSecretHash, *row.OldSecretExpireTime
	}
	return c, nil
}

// knownGrants returns the permissions of grants whose names there are.
func (p *Params) knownGrants() (set Permissions) {
	for _, g := range p.Grants {
		for _, name := range g.Permissions {
			if i := slices.Index(permissionNames[:], name); i >= 0 {
				set |= 1 << i
			}
		}
	}
	return set
}
