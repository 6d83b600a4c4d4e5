package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// A content is what is in a file.
type content struct{ members []member }

type member struct {
	name, text string
	kind       byte
}

// volatile are the lines of two exports of one ledger that differ.
var volatile = regexp.MustCompile(`(?m)^.*"(export_time|manifest_sha256)".*$`)

func unpack(t testing.TB, file []byte) *content {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	c := &content{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		c.members = append(c.members, member{h.Name, string(text), h.Typeflag})
	}
}

func unpacked(t testing.TB, file []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pack makes a file of the members.
func (c *content) pack(t testing.TB) []byte {
	t.Helper()
	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	w := tar.NewWriter(z)
	for _, m := range c.members {
		h := &tar.Header{Name: m.name, Size: int64(len(m.text)), Mode: 0o600, Typeflag: m.kind}
		if m.kind == tar.TypeSymlink {
			h.Linkname, h.Size = m.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, m.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// at returns a member; nil: there is none.
func (c *content) at(name string) *member {
	for i := range c.members {
		if c.members[i].name == name {
			return &c.members[i]
		}
	}
	return nil
}

// seal makes the checksums right again, as a forger would.
func (c *content) seal(t testing.TB) {
	t.Helper()
	type sums struct {
		Rows   int    `json:"rows"`
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
		Name   string `json:"name"`
	}
	var manifest struct{ Tables []struct{ Name string } }
	if err := json.Unmarshal([]byte(c.at("manifest.json").text), &manifest); err != nil {
		t.Fatal(err)
	}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	sealed := struct {
		Manifest string `json:"manifest_sha256"`
		Tables   []sums `json:"tables"`
	}{Manifest: hash(c.at("manifest.json").text)}
	for _, table := range manifest.Tables {
		var text strings.Builder
		for _, m := range c.members {
			if strings.HasPrefix(m.name, table.Name+"/") {
				text.WriteString(m.text)
			}
		}
		sealed.Tables = append(sealed.Tables, sums{
			Name: table.Name, Rows: strings.Count(text.String(), "\n"), Bytes: text.Len(), SHA256: hash(text.String()),
		})
	}
	text, err := json.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	c.at("checksums.json").text = string(text)
}
