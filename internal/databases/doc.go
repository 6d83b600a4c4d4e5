// Package databases tests the ledger on databases as others set them up: with their settings,
// schemas, roles and versions, behind their poolers and proxies, and side by side. What is
// supported is in docs/databases.md.
package databases
