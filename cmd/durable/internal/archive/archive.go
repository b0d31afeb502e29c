// Package archive is the format of export and import: one file with the
// generations of any number of components, readable as a stream.
//
//	DURABLE-ARCHIVE 1 {"created":...}           first line
//	DURABLE 01 ... <length> <checksums>         an envelope, as every adapter stores it,
//	<payload>                                   and a newline behind it
//	COMPONENT {"id":...,"epoch":...,...}        after the generations of a component, oldest first
//	END {"components":...,"sha256":...}         last line; the sum is that of all bytes before it
//
// Every generation carries its own checksums, and END those of the whole: an
// archive that was cut off has none.
package archive

import (
	"errors"
	"fmt"
	"time"
)

const (
	magic         = "DURABLE-ARCHIVE "
	format        = 1
	componentLine = "COMPONENT "
	endLine       = "END "
	maxLine       = 64 << 10
)

// What reading an archive may answer.
var (
	ErrNoArchive = errors.New("this is no archive of durable")
	ErrDamaged   = errors.New("the archive is damaged")
	ErrTruncated = fmt.Errorf("%w: it is cut off", ErrDamaged)
	ErrTooNew    = errors.New("a newer version of this program wrote the archive")
)

// Info is what the first line says.
type Info struct {
	Created time.Time `json:"created"`
	From    string    `json:"from"` // the adapter: "redis" or "file"
}

// A Component is what an archive says of one component beside its generations.
type Component struct {
	ID          string `json:"id"`
	Epoch       uint64 `json:"epoch"`   // of its fence
	Version     uint64 `json:"version"` // of its fence
	Generations int    `json:"generations"`
	Verdict     string `json:"verdict"` // at the time of the export
	Skipped     int    `json:"skipped"` // generations that did not verify and are not here
}

// Totals is what the last line says.
type Totals struct {
	Components  int    `json:"components"`
	Generations int    `json:"generations"`
	Bytes       int64  `json:"bytes"` // of state
	SHA256      string `json:"sha256"`
}
