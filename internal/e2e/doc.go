// Package e2e measures the library on real servers. The packages below it run
// real processes and end them.
package e2e
