// Package testkit is what the tests of several packages share: an adapter that
// fails on demand, components, programs of one and of two components, and doors
// to the memory behind a memory adapter. Only tests may import it.
package testkit
