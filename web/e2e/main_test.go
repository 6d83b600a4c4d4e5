package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"internaltransfers/internal/pgtest"
)

var screenshots = flag.String("screenshots", "", "the `directory` to write a picture of every page to, in both themes, for desktop and phone")

// waitMax bounds each wait. It is long because the machine may be busy: only a test that fails
// waits so long.
var waitMax = flag.Duration("wait", time.Minute, "how long to wait for what a page should show")

func TestMain(m *testing.M) {
	pgtest.Main(m, stopChromium, removeProgram)
}

// chromium is the browser of this test process, which starts at the first use. Each page has a
// profile of its own in it.
var chromium struct {
	start sync.Once
	ctx   context.Context
	err   error
}

// startChromium returns the browser's context. Without a browser the test fails.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	chromium.start.Do(func() {
		var path string
		if path, chromium.err = findChromium(); chromium.err != nil {
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path),
			// No page needs a graphics card, and not every machine has one.
			chromedp.DisableGPU,
		)
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox) // root has no sandbox
		}
		allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
		// Both live until stopChromium.
		chromium.ctx, _ = chromedp.NewContext(allocator)
		chromium.err = chromedp.Do(chromium.ctx)
	})
	if chromium.err != nil {
		t.Fatalf("browser: %v", chromium.err)
	}
	return chromium.ctx
}

// findChromium looks for the browser: the one that CHROMIUM names, or one on PATH.
func findChromium() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	if name := os.Getenv("CHROMIUM"); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %q was found: install Chromium (on Debian: apt-get install chromium), or name it in CHROMIUM", names)
}

// stopChromium ends the browser, if it was started, and deletes its profile.
func stopChromium() error {
	if chromium.ctx == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(chromium.ctx, *waitMax)
	defer cancel()
	if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stop the browser: %w", err)
	}
	return nil
}

// program is the binary, which is built at the first use.
var program struct {
	build sync.Once
	dir   string
	err   error
}

// buildProgram returns the path of the binary. It is built as `make build` does, so that most of it
// is built already.
func buildProgram(t *testing.T) string {
	t.Helper()
	program.build.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "internaltransfers-browser-"); program.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-o", program.dir, "../..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatalf("build the program: %v", program.err)
	}
	return filepath.Join(program.dir, "internaltransfers")
}

func removeProgram() error {
	if program.dir == "" {
		return nil
	}
	return os.RemoveAll(program.dir)
}
