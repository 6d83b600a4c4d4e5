//go:build !linux

package bench

import (
	"syscall"
	"time"
)

// Without /proc nothing is known about other processes; reports leave it out.

func processCPU(int) time.Duration { return 0 }

func treeCPU(int) time.Duration { return 0 }

func machineCPU() time.Duration { return 0 }

func peakRSS(int) int64 { return 0 }

func resetPeakRSS(int) {}

func cpuModel() string { return "" }

func fileSystem(string) string { return "" }

func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
