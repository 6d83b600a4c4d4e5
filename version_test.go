package main

import (
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestVersion: an operator who has only a binary learns its version.
func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}} {
		// --version works despite a variable that is wrong.
		out, err := program(t, []string{"QUEUE_MAX=many"}, args...).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "internaltransfers ") || !strings.Contains(string(out), runtime.Version()) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestBuild: a release, a build in a checkout, one of a module, and one without git each print what
// they know, and no more.
func TestBuild(t *testing.T) {
	t.Parallel()
	checkout := &debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-20261122232823-8c928e5c220f+dirty"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "8c928e5c220f"}, {Key: "vcs.time", Value: "2026-11-22T23:28:23Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	bare := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}
	built := "\nbuilt with " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	for name, c := range map[string]struct {
		info              *debug.BuildInfo
		version, revision string
		want              string
	}{
		"checkout": {checkout, "", "", "internaltransfers v0.0.0-20261122232823-8c928e5c220f+dirty\n" +
			"commit 8c928e5c220f, with changes that are not committed\ncommitted 2026-11-22T23:28:23Z"},
		"make":             {checkout, "v1.2.3", "", "internaltransfers v1.2.3\ncommit 8c928e5c220f, with changes that are not committed\ncommitted 2026-11-22T23:28:23Z"},
		"release":          {bare, "v1.2.3", "8c928e5c220f", "internaltransfers v1.2.3\ncommit 8c928e5c220f\ncommitted unknown"},
		"another checkout": {checkout, "v1.2.3", "aaaaaaaaaaaa", "internaltransfers v1.2.3\ncommit aaaaaaaaaaaa\ncommitted unknown"},
		"module":           {&debug.BuildInfo{Main: debug.Module{Version: "v1.0.0"}}, "", "", "internaltransfers v1.0.0\ncommit unknown\ncommitted unknown"},
		"no git":           {bare, "", "", "internaltransfers unknown\ncommit unknown\ncommitted unknown"},
		"nothing":          {&debug.BuildInfo{}, "", "", "internaltransfers unknown\ncommit unknown\ncommitted unknown"},
	} {
		if got := newBuild(c.info, c.version, c.revision).String(); got != c.want+built {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want+built)
		}
	}
	registry := prometheus.NewRegistry()
	if err := newBuild(bare, "v1.2.3", "abc").register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "internaltransfers_build_info" {
		t.Fatalf("metrics: %v %v", families, err)
	}
	labels := make(map[string]string)
	for _, pair := range families[0].GetMetric()[0].GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	want := map[string]string{"version": "v1.2.3", "revision": "abc", "go_version": runtime.Version()}
	if value := families[0].GetMetric()[0].GetGauge().GetValue(); value != 1 || !maps.Equal(labels, want) {
		t.Errorf("metric: %v %v, want 1 %v", value, labels, want)
	}
}
