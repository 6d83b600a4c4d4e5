package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A proxy is nginx or HAProxy in front of a server, with the settings that they have by default and
// the lines of docs/proxies.md.
type proxy struct {
	name  string
	web   string // host:port for HTTP/1.1: the server is at /, /stripped/ and, unstripped, /ledger/
	grpc  string // host:port that speaks HTTP/2
	mute  string // host:port that buffers streams, whatever their headers; empty: none
	paths []string
}

// nginxLines is the configuration of nginx. Its pid, its logs and its temporary files are the
// test's own.
const nginxLines = `
daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %[2]s;
		location / { proxy_pass http://%[1]s; }
		location /stripped/ { proxy_pass http://%[1]s/; }
		location /ledger/ { proxy_pass http://%[1]s; }
	}
	server {
		listen %[3]s http2;
		location / { grpc_pass grpc://%[1]s; }
	}
	server {
		listen %[4]s;
		location / {
			proxy_pass http://%[1]s;
			proxy_ignore_headers X-Accel-Buffering;
		}
	}
}
`

// haproxyLines is the configuration of HAProxy, which has no timeouts by default and warns about
// it.
const haproxyLines = `
defaults
	mode http
	timeout connect 5s
	timeout client 50s
	timeout server 50s
frontend web
	bind %[2]s
	http-request redirect location /stripped/ if { path /stripped }
	http-request replace-path /stripped/(.*) /\1
	default_backend ledger
backend ledger
	server ledger %[1]s
frontend grpc
	bind %[3]s proto h2
	default_backend grpc
backend grpc
	server ledger %[1]s proto h2
`

// startNginx starts nginx in front of a server. The test's end stops it.
func startNginx(t *testing.T, s *server) *proxy {
	t.Helper()
	p := &proxy{
		name: "nginx", web: freeAddress(t), grpc: freeAddress(t), mute: freeAddress(t), paths: []string{"", "/stripped", "/ledger"},
	}
	file := "nginx.conf"
	p.start(t, fmt.Sprintf(nginxLines, s.address, p.web, p.grpc, p.mute), file, "-e", "stderr", "-p", ".", "-c", file)
	return p
}

// startHAProxy starts HAProxy in front of a server. The test's end stops it.
func startHAProxy(t *testing.T, s *server) *proxy {
	t.Helper()
	p := &proxy{name: "haproxy", web: freeAddress(t), grpc: freeAddress(t), paths: []string{"", "/stripped", "/ledger"}}
	file := "haproxy.cfg"
	p.start(t, fmt.Sprintf(haproxyLines, s.address, p.web, p.grpc), file, "-db", "-f", file)
	return p
}

// start starts the program, which is named as the proxy is, in a directory of its own, and waits
// until it listens. It has no privileges, also when the tests are run by root.
func (p *proxy) start(t *testing.T, config, file string, args ...string) {
	t.Helper()
	path, err := findProxy(p.name)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "internaltransfers-proxy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the rest lies in the system's temporary directory
	if err := os.WriteFile(filepath.Join(dir, file), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	cmd.Dir = dir
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var logs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &logs, &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
		<-exited                                //nolint:errcheck // it only has to have ended
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, logs.String())
		}
	})
	for _, address := range []string{p.web, p.grpc} {
		if err := waitListening(address, exited); err != nil {
			exited <- err // for the end
			t.Fatalf("%s: %v", p.name, err)
		}
	}
}

// findProxy looks for a program, on PATH and where Debian keeps it off the PATH of users other than
// root.
func findProxy(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%[1]s was not found: install it (on Debian: apt-get install %[1]s)", name)
}

// waitListening waits until an address accepts connections, or the process that should listen has
// exited.
func waitListening(address string, exited <-chan error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(*waitMax)
	defer timeout.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return fmt.Errorf("it exited: %w", err)
		case <-timeout.C:
			return err
		}
	}
}

// url returns the address of a path below one of the paths at which the proxy shows the server.
func (p *proxy) url(under, path string) string {
	return "http://" + p.web + under + "/" + strings.TrimPrefix(path, "/")
}
