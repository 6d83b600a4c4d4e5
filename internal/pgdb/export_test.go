package pgdb

import "internaltransfers/gen/db"

// VerifyServer refuses a server with these facts, as Open does.
func VerifyServer(facts db.SessionFactsRow) error { return (&Database{facts: facts}).verifyServer() }
