// Package crash kills a process that changes state as fast as it can, again and
// again, and compares what it restores with what it told before.
package crash
