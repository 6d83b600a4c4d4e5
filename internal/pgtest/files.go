package pgtest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"internaltransfers/migrations"
)

// dirPrefix begins the names of the servers' directories; the id of the test process follows.
const dirPrefix = "transfers-test-"

// tempDir returns where servers of tests live. As root PostgreSQL runs as another user, which
// cannot enter /root.
func tempDir() string {
	dir := os.TempDir()
	if os.Geteuid() == 0 && (dir == "/root" || strings.HasPrefix(dir, "/root/")) {
		return "/tmp"
	}
	return dir
}

// newDir makes the directory of a server.
func newDir() (string, error) {
	return os.MkdirTemp(tempDir(), fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
}

// removeAbandoned deletes the directories of test processes that were killed, since they could not.
// It is tidiness only: what cannot be deleted stays.
func removeAbandoned() {
	matches, err := filepath.Glob(filepath.Join(tempDir(), dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range matches {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		if pid, err := strconv.Atoi(text); err == nil && hasEnded(pid) {
			_ = os.RemoveAll(dir)
		}
	}
}

// hasEnded reports whether a process is known to be no more.
func hasEnded(pid int) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return errors.Is(process.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// migrationsHash identifies the migrations, by their names and contents.
func migrationsHash() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations.FS, path)
		if err != nil {
			return err
		}
		// Lengths keep a name and a content from running into each other.
		fmt.Fprintf(hash, "%d %s %d %s", len(path), path, len(text), text)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// copyTree copies a data directory, but for what is not of the cluster, and these parts of that.
// Files may go while it runs.
func copyTree(from, to string, without ...string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case name == ".":
			return ownLike(target, from)
		case entry.IsDir():
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
			if err := ownLike(target, path); err != nil {
				return err
			}
			if left := strings.TrimPrefix(name, clusterDir+"/"); slices.Contains(without, left) {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular(), strings.HasPrefix(entry.Name(), "postmaster."),
			filepath.Dir(name) == "." && name != "password":
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close(), ownLike(to, filepath.Dir(from)))
}

// ownLike gives a file to the owner of another one.
func ownLike(path, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(stat.Uid), int(stat.Gid))
}
