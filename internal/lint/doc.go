// Package lint holds tests about the source itself: which package may import
// which, what must be documented, and what a program links. It has no code.
package lint
