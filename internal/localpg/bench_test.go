package localpg

import "testing"

// BenchmarkFirstStart measures a newcomer's wait: initdb and the first start.
func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		mustStart(b, Config{DataDir: newDataDir(b)})
	}
}

// BenchmarkRestart measures a stop and a start.
func BenchmarkRestart(b *testing.B) {
	server := mustStart(b, Config{DataDir: newDataDir(b)})
	for b.Loop() {
		if err := server.Stop(withTimeout(b)); err != nil {
			b.Fatal(err)
		}
		server = mustStart(b, Config{DataDir: server.DataDir()})
	}
}

// BenchmarkRecovery measures a crash and the start after it.
func BenchmarkRecovery(b *testing.B) {
	server := mustStart(b, Config{DataDir: newDataDir(b)})
	for b.Loop() {
		if err := server.Kill(); err != nil {
			b.Fatal(err)
		}
		server = mustStart(b, Config{DataDir: server.DataDir()})
	}
}
