// Package compat holds the tests that stores written by every earlier format
// stay readable and writable. The stores are in testdata/stores; they are
// written once and kept for ever. It has no code.
package compat
