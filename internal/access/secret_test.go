package access

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestSecretForm: a secret has the documented form and its key's id, no two are the same, and no
// text that differs in one character is taken for one.
func TestSecretForm(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^itk_[0-9a-f]{32}_[0-9A-Za-z]{49}$`)
	id := uuid.Must(uuid.NewV7())
	seen := map[string]bool{}
	for range 200 {
		secret := newSecret(id)
		if !form.MatchString(secret) || seen[secret] {
			t.Fatalf("the secret %s is malformed, or not new", secret)
		}
		seen[secret] = true
		if got, _, ok := parseSecret(secret); !ok || got != id {
			t.Fatalf("%s is of key %s, %v", secret, got, ok)
		}
	}
	secret := newSecret(id)
	for i := range secret {
		for _, c := range "0aZ_-é" {
			if other := secret[:i] + string(c) + secret[i+1:]; other != secret {
				if _, _, ok := parseSecret(other); ok {
					t.Errorf("%s is taken for a secret", other)
				}
			}
		}
	}
	for _, text := range []string{"", "itk_", strings.Repeat("x", secretLength), secret + "0", secret[1:], strings.ToUpper(secret)} {
		if _, _, ok := parseSecret(text); ok {
			t.Errorf("%q is taken for a secret", text)
		}
	}
}

// TestRoles: the roles may do what the documentation says.
func TestRoles(t *testing.T) {
	t.Parallel()
	viewer := []string{"accounts.read", "events.read", "schedules.read", "transfers.read"}
	operator := append([]string{"accounts.policy", "accounts.write", "transfers.reverse", "transfers.settle", "webhooks.read"}, viewer...)
	want := map[string][]string{
		"viewer":    viewer,
		"auditor":   append([]string{"audit.read", "ledger.check", "webhooks.read"}, viewer...),
		"sender":    {"accounts.read", "schedules.read", "schedules.write", "transfers.create", "transfers.read", "transfers.settle"},
		"operator":  operator,
		"treasurer": append([]string{"currencies.write", "ledger.check", "money.issue", "transfers.create", "transfers.force", "transfers.import"}, operator...),
		"developer": append([]string{"webhooks.read", "webhooks.write"}, viewer...),
		"admin":     {"audit.read", "keys.admin", "ops.read"},
	}
	if got := Roles(); len(got) != len(want) {
		t.Errorf("there are the roles %v", got)
	}
	for role, names := range want {
		slices.Sort(names)
		if got := roles[role].Names(); !slices.Equal(got, names) {
			t.Errorf("%s may do %v, not %v", role, got, names)
		}
		if set, err := ParsePermissions(names); err != nil || set != roles[role] {
			t.Errorf("%v are read as %v, %v", names, set.Names(), err)
		}
	}
	if _, err := ParsePermissions([]string{"accounts.read", "accounts.*"}); err == nil {
		t.Error("a permission that there is not was taken")
	}
}
