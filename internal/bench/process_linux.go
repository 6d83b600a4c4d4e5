package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHertz is the unit of times in /proc, the same on every Linux that Go runs on.
const userHertz = 100

// A procStat is the part of /proc/PID/stat that matters here.
type procStat struct {
	parent   int
	own      time.Duration // user and system time
	children time.Duration // of those that were waited for
}

func readStat(pid int) (procStat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	// The second field, the program's name, is in parentheses and may contain anything.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return procStat{}, fmt.Errorf("/proc/%d/stat has no name", pid)
	}
	fields := strings.Fields(string(text[end+1:]))
	const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14 // of the fields after the name
	if len(fields) <= cstime {
		return procStat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(fields[i]) // the kernel writes numbers
		return n
	}
	ticks := func(n int) time.Duration { return time.Duration(n) * time.Second / userHertz }
	return procStat{number(parent), ticks(number(utime) + number(stime)), ticks(number(cutime) + number(cstime))}, nil
}

// processCPU returns the processor time of one process; 0 when it is not there.
func processCPU(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	stat, err := readStat(pid)
	if err != nil {
		return 0
	}
	return stat.own
}

// treeCPU returns the processor time of a process and its children, including those that have
// ended.
func treeCPU(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	root, err := readStat(pid)
	if err != nil {
		return 0
	}
	total := root.own + root.children
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return total
	}
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if stat, err := readStat(child); err == nil && stat.parent == pid {
			total += stat.own + stat.children
		}
	}
	return total
}

// machineCPU returns the time that all processors were not idle, since the machine's start; 0 when
// it is not known.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const idle, ioWait, steal = 4, 5, 8 // after them come guests, whose time is in that of users already
	var ticks int
	for i, field := range strings.Fields(line) {
		if i >= 1 && i != idle && i != ioWait && i <= steal {
			n, _ := strconv.Atoi(field) // the kernel writes numbers
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / userHertz
}

// peakRSS returns the most memory, in bytes, that a process has had resident since resetPeakRSS; 0
// when it is not known.
func peakRSS(pid int) int64 {
	if pid == 0 {
		return 0
	}
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kibibytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kibibytes << 10
		}
	}
	return 0
}

// resetPeakRSS lets peakRSS begin anew. Where the kernel forbids it, the peak is that since the
// process's start.
func resetPeakRSS(pid int) {
	if pid != 0 {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// cpuModel returns the processor's name for itself.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystems are the names of statfs's numbers.
var fileSystems = map[int64]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlay", 0x01021994: "tmpfs",
	0x2fc12fc1: "zfs", 0x6969: "nfs", 0x01021997: "9p", 0xf2f52010: "f2fs",
}

// fileSystem names the file system of a directory.
func fileSystem(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return ""
	}
	if name := fileSystems[int64(s.Type)]; name != "" { //nolint:unconvert // it is an int32 on some machines
		return name
	}
	return fmt.Sprintf("%#x", s.Type)
}

// withParent makes a process end when the thread that starts it does, and keeps a terminal's ^C
// from it.
func withParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
