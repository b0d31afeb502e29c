// Package powercut holds the tests that cut the power of real file systems, kill
// and stop real processes and use up real resources while state is saved, and
// the benchmark beside the protocol written by hand. It has no code.
package powercut
