package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"internaltransfers/internal/access"
	"internaltransfers/internal/pgdb"
)

// keysCommand has the commands about API keys. Who can reach the database with the rights of a
// server needs no key.
type keysCommand struct {
	Create createKeyCommand `cmd:"" help:"Make an API key and print its secret, alone, on standard output. It is shown this once."`
	List   listKeysCommand  `cmd:"" help:"Print the API keys, newest first."`
	Revoke revokeKeyCommand `cmd:"" help:"End an API key for good, on every server within 5 seconds."`
}

type createKeyCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	Name        string        `env:"KEYS_NAME" placeholder:"TEXT" default:"made on the command line" help:"What people call the key. Default: ${default}."`
	Role        string        `env:"KEYS_ROLE" placeholder:"NAME" help:"Its role: viewer, auditor, sender, operator, treasurer, developer or admin. Default: none."`
	Permissions []string      `env:"KEYS_PERMISSIONS" placeholder:"NAME,…" help:"What it may do beside the role, such as transfers.create. Default: none."`
	Networks    []string      `env:"KEYS_NETWORKS" placeholder:"NETWORK,…" help:"Where it may be used from, such as 10.0.0.0/8. Default: anywhere."`
	ExpiresIn   time.Duration `env:"KEYS_EXPIRES_IN" placeholder:"DURATION" help:"How long it can be used, such as 720h. Default: for ever."`
}

// Run makes a key.
func (c *createKeyCommand) Run(ctx context.Context) error {
	p := access.Params{Name: c.Name, Role: c.Role, Networks: c.Networks}
	if len(c.Permissions) > 0 {
		p.Grants = []access.Grant{{Permissions: c.Permissions}}
	}
	if c.ExpiresIn != 0 {
		expires := time.Now().Add(c.ExpiresIn)
		p.ExpireTime = &expires
	}
	return withKeys(ctx, &c.databaseConfig, &c.logConfig, func(keys *access.Keyring) error {
		key, secret, err := keys.Create(ctx, nil, p)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "made the key %s, %q\n", key.ID, key.Name)
		fmt.Println(secret)
		return nil
	})
}

type listKeysCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`
}

// Run prints the keys.
func (c *listKeysCommand) Run(ctx context.Context) error {
	return withKeys(ctx, &c.databaseConfig, &c.logConfig, func(keys *access.Keyring) error {
		table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tSTATUS\tROLE\tLAST USE\tNAME")
		for token, last := "", false; !last; last = token == "" {
			page, next, err := keys.List(ctx, 0, token)
			if err != nil {
				return err
			}
			for i := range page {
				k := &page[i]
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%q\n", k.ID, k.Status(time.Now()), k.Role, timeOrNever(k.LastUseTime), k.Name)
			}
			token = next
		}
		return table.Flush()
	})
}

func timeOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

type revokeKeyCommand struct {
	databaseConfig `embed:""`
	logConfig      `embed:""`

	ID string `arg:"" help:"The key's id, as list prints it."`
}

// Run revokes a key.
func (c *revokeKeyCommand) Run(ctx context.Context) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return &optionError{fmt.Sprintf("the key's id must be a UUID, as \"internaltransfers keys list\" prints it, not %q", c.ID)}
	}
	return withKeys(ctx, &c.databaseConfig, &c.logConfig, func(keys *access.Keyring) error {
		_, err := keys.Revoke(ctx, id)
		return err
	})
}

// withKeys calls f with the keys of the ledger.
func withKeys(ctx context.Context, database *databaseConfig, log *logConfig, f func(*access.Keyring) error) error {
	logger := log.logger()
	return database.withDatabase(ctx, logger, func(ctx context.Context, target pgdb.Target) error {
		opened, err := pgdb.Open(ctx, target, pgdb.Writing)
		if err != nil {
			return err
		}
		keys, err := access.Open(ctx, access.Config{Database: opened, Logger: logger})
		if err != nil {
			return err
		}
		defer keys.Close()
		return f(keys)
	})
}
