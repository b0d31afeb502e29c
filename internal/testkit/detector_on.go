//go:build race

package testkit

// RaceDetector says whether this build looks for races, which costs memory and time.
const RaceDetector = true
