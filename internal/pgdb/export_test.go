package pgdb

import "internaltransfers/gen/db"

// RightsOf returns what docs/roles.sql grants to a role: how a sentence names each right, and how
// GRANT and REVOKE name it.
func RightsOf(role, schema string) (rights, grants []string) {
	for _, r := range rightsOf(role) {
		rights = append(rights, r.String())
		grants = append(grants, r.in(schema))
	}
	return rights, grants
}

// VerifyServer refuses a server with these facts, as Open does.
func VerifyServer(facts db.SessionFactsRow) error { return (&Database{facts: facts}).verifyServer() }
