package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"internaltransfers/migrations"
)

const (
	manifestName  = "manifest.json"
	checksumsName = "checksums.json"
	// jsonBytesMax bounds these two, of which a ledger's have some 10 KB.
	jsonBytesMax = 1 << 20

	formatName    = "internaltransfers ledger"
	formatVersion = 1
)

// A Manifest describes a file. It comes first in it.
type Manifest struct {
	Format        string          `json:"format"`
	FormatVersion int             `json:"format_version"`
	SchemaVersion int64           `json:"schema_version"` // the last migration
	ServerVersion string          `json:"server_version"` // of PostgreSQL
	ExportTime    time.Time       `json:"export_time"`    // of the snapshot
	Tables        []manifestTable `json:"tables"`         // in the order of the file
}

type manifestTable struct {
	Name    string   `json:"name"`
	Columns []column `json:"columns"` // in the order of the file
}

type column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as PostgreSQL names it
}

func namesOfColumns(columns []column) []string {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.Name)
	}
	return names
}

// Checksums prove that a file is complete and unchanged. They come last in it.
type Checksums struct {
	Manifest string          `json:"manifest_sha256"`
	Tables   []TableChecksum `json:"tables"` // as in the manifest
}

// A TableChecksum is of all parts of a table put together.
type TableChecksum struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// encode encodes a member of the file.
func encode(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

// decode decodes one. A member with other fields is of another version of the format.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// check refuses the manifest of a file that this program cannot import.
func (m *Manifest) check() error {
	newest := migrations.Newest()
	switch {
	case m.Format != formatName:
		return fmt.Errorf("the file has the format %.100q, not %q: it is no export of a ledger", m.Format, formatName)
	case m.FormatVersion != formatVersion:
		return fmt.Errorf("the file has version %d of its format, and this program reads version %d", m.FormatVersion, formatVersion)
	case m.SchemaVersion > newest:
		return fmt.Errorf("the file has schema version %d, and this program knows none after %d: use a newer program",
			m.SchemaVersion, newest)
	case m.SchemaVersion < 1:
		return fmt.Errorf("the file has schema version %d, which there never was", m.SchemaVersion)
	}
	last := -1
	for _, t := range m.Tables {
		place := placeOf(t.Name)
		switch {
		case place < 0:
			return fmt.Errorf("the file has a table %.100q, which this program does not know", t.Name)
		case place <= last:
			return fmt.Errorf("the file has table %s twice, or not in its order", t.Name)
		}
		last = place
	}
	return nil
}

// matches reports how the tables of the manifest differ from those of the database, by name. Only
// those of webhooks may be missing.
func (m *Manifest) matches(there map[string][]column) error {
	given := make(map[string]bool, len(m.Tables))
	for _, t := range m.Tables {
		given[t.Name] = true
		want := make(map[string]string, len(there[t.Name]))
		for _, c := range there[t.Name] {
			want[c.Name] = c.Type
		}
		if len(want) == 0 {
			return fmt.Errorf("the file has a table %s, and schema version %d has none", t.Name, m.SchemaVersion)
		}
		for _, c := range t.Columns {
			kind, ok := want[c.Name]
			switch {
			case !ok:
				return fmt.Errorf("the file has a column %.100q of table %s twice, or one that the database does not have",
					c.Name, t.Name)
			case kind != c.Type:
				return fmt.Errorf("column %s of table %s is %.100q in the file and %q in the database", c.Name, t.Name, c.Type, kind)
			}
			delete(want, c.Name)
		}
		for name := range want {
			return fmt.Errorf("the file lacks column %s of table %s", name, t.Name)
		}
	}
	for i := range tables {
		if t := &tables[i]; len(there[t.name]) > 0 && !given[t.name] && !t.webhook {
			return fmt.Errorf("the file lacks table %s", t.name)
		}
	}
	return nil
}

// hasWebhooks reports whether the file has all tables of webhooks.
func (m *Manifest) hasWebhooks() bool {
	for _, t := range m.Tables {
		if tables[placeOf(t.Name)].webhook {
			return true
		}
	}
	return false
}
