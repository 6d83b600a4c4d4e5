package pgtest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	// socketPort is in the name of the Unix socket on which a child listens, as in that of a
	// PostgreSQL server.
	socketPort = 6432

	// readyPoll is the interval of checks whether a child listens yet.
	readyPoll = 5 * time.Millisecond
)

// A child is a program between the tests and PostgreSQL. It listens on a Unix socket in a directory
// of its own, which needs no free port, and ends with the test.
type child struct {
	program   string
	arguments []string
	dir       string

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended

	mu   sync.Mutex
	logs bytes.Buffer // what it wrote; guarded by mu
}

// newChild makes the directory of a child, with the files given. A test without the program fails:
// what is skipped proves nothing.
func newChild(t testing.TB, name string, files map[string]string) *child {
	t.Helper()
	c := &child{}
	var err error
	if c.program, err = lookProgram(name); err != nil {
		t.Fatalf("pgtest: %v (on Debian: apt-get install %s)", err, name)
	}
	if c.dir, err = newDir(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		c.kill()
		if err := os.RemoveAll(c.dir); err != nil {
			t.Errorf("pgtest: %v", err)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, c.written())
		}
	})
	for file, text := range files {
		c.write(t, file, text)
	}
	c.own(t, c.dir)
	return c
}

// lookProgram finds a program that Debian keeps off the PATH of users other than root.
func lookProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// write puts a file into the child's directory.
func (c *child) write(t testing.TB, file, text string) {
	t.Helper()
	path := filepath.Join(c.dir, file)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	c.own(t, path)
}

// own gives a path to the user that the child runs as. As root that is the one that PostgreSQL runs
// as.
func (c *child) own(t testing.TB, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	entry, err := user.Lookup(unprivileged())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	uid, _ := strconv.Atoi(entry.Uid) // both are numbers on Unix
	gid, _ := strconv.Atoi(entry.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

// unprivileged names the user that stands in for root.
func unprivileged() string {
	if _, err := user.Lookup("postgres"); err == nil {
		return "postgres"
	}
	return "nobody"
}

// socket returns where the child listens.
func (c *child) socket() string {
	return filepath.Join(c.dir, ".s.PGSQL."+strconv.Itoa(socketPort))
}

// start runs the program and waits until it listens.
func (c *child) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementMax)
	defer cancel()
	_ = os.Remove(c.socket()) // a child that was killed has left it
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), c.program, c.arguments...)
	c.cmd.Stdout, c.cmd.Stderr = c, c
	dieWithUs(c.cmd)
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	c.exited = make(chan struct{})
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // its output has how it ended
	}()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.socket())
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ticker.C:
		case <-c.exited:
			t.Fatalf("pgtest: %s ended:\n%s", c.program, c.written())
		case <-ctx.Done():
			t.Fatalf("pgtest: %s does not listen:\n%s", c.program, c.written())
		}
	}
}

// kill ends the program as a crash does.
func (c *child) kill() {
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Kill() // it may be gone already
		<-c.exited
	}
}

// Write implements io.Writer for what the program writes.
func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs.Write(p)
}

func (c *child) written() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs.String()
}
