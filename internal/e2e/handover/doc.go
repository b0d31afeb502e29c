// Package handover replaces a process that commits as fast as it can, again and
// again and in every way: ended, killed, asleep, superseded.
package handover
