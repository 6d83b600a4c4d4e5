//go:build race

package ledger

// raceDetector says that the tests run with the race detector.
const raceDetector = true
