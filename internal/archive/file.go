package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateFile makes the file path, which only its owner can read, and has write fill it. The file
// appears when it is complete and on the disk. One that is there already is refused, at once and,
// for one that was made meanwhile, at the end.
func CreateFile(path string, write func(io.Writer) error) (err error) {
	if err := requireFree(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+".partial-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.Remove(file.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	err = write(file)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := place(file.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// place gives a file its name, unless that is taken. A link, unlike a rename, replaces nothing; but
// not every file system has links.
func place(file, path string) error {
	err := os.Link(file, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := requireFree(path); err != nil {
		return err
	}
	return os.Rename(file, path)
}

// requireFree fails when path exists, as any kind of file.
func requireFree(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

// syncDir has the name of a new file on the disk, too.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
