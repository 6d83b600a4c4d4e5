package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// A release's version and revision, set by the linker: -ldflags '-X main.version=v1.2.3 -X
// main.revision=8c928e5'. Where they are not set, the Go toolchain has noted it, if it built in a
// checkout with git.
var version, revision string

const unknown = "unknown"

// A build is what this program was built from.
type build struct {
	version  string // of a tag, or what git describe makes of it, or a module version
	revision string // the commit
	time     string // of the commit
	changed  bool   // there were changes that were not committed
	goName   string // the version of Go, and what it was built for
}

func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return newBuild(info, version, revision)
}

// newBuild prefers the linker's values. The commit that Go noted is then of use only if it is the
// same one.
func newBuild(info *debug.BuildInfo, version, revision string) build {
	settings := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	noted := info.Main.Version
	if noted == "(devel)" {
		noted = ""
	}
	b := build{
		version:  cmp.Or(version, noted, unknown),
		revision: cmp.Or(revision, settings["vcs.revision"], unknown),
		time:     unknown,
		goName:   fmt.Sprintf("%s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH),
	}
	if b.revision == settings["vcs.revision"] {
		b.time, b.changed = cmp.Or(settings["vcs.time"], unknown), settings["vcs.modified"] == "true"
	}
	return b
}

// String returns what --version prints.
func (b build) String() string {
	changed := ""
	if b.changed {
		changed = ", with changes that are not committed"
	}
	return fmt.Sprintf("internaltransfers %s\ncommit %s%s\ncommitted %s\nbuilt with %s", b.version, b.revision, changed, b.time, b.goName)
}

// LogValue implements slog.LogValuer. Its attributes stand beside those of the line.
func (b build) LogValue() slog.Value {
	return slog.GroupValue(slog.String("version", b.version), slog.String("revision", b.revision), slog.Bool("changed", b.changed),
		slog.String("go", b.goName))
}

// register hands the build to a registry, as a metric that is always 1.
func (b build) register(registry prometheus.Registerer) error {
	return registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "internaltransfers_build_info",
		Help:        "What this server was built from, in labels. The value is always 1.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "go_version": runtime.Version()},
	}, func() float64 { return 1 }))
}
