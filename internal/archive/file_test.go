package archive_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"internaltransfers/internal/archive"
)

// TestCreateFile: a file appears when it is complete, for its owner only, and replaces nothing.
func TestCreateFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.tar.gz")
	listed := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	text := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			if _, err := os.Lstat(path); text == "first" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file is there before it is complete: %v", err)
			}
			_, failed := io.WriteString(w, text)
			return errors.Join(failed, err)
		}
	}
	broken := errors.New("broken")
	if err := archive.CreateFile(path, text("half", broken)); !errors.Is(err, broken) || len(listed()) > 0 {
		t.Errorf("an error is %v and leaves %v", err, listed())
	}
	if err := archive.CreateFile(path, text("first", nil)); err != nil || len(listed()) != 1 {
		t.Errorf("%v, and there are %v", err, listed())
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	never := func(io.Writer) error { return errors.New("it was begun") }
	if err := archive.CreateFile(path, never); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if err := archive.CreateFile(filepath.Join(dir, "nowhere", "x"), never); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into no directory: %v", err)
	}
	late := filepath.Join(dir, "late")
	err := archive.CreateFile(late, func(io.Writer) error { return os.WriteFile(late, []byte("other"), 0o600) })
	if got, _ := os.ReadFile(late); !errors.Is(err, fs.ErrExist) || string(got) != "other" || len(listed()) != 2 {
		t.Errorf("over a file that was made meanwhile: %v, it is %q, and there are %v", err, got, listed())
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := archive.CreateFile(link, never); !errors.Is(err, fs.ErrExist) {
		t.Errorf("through a link: %v", err)
	}
}
