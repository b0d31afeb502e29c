package durable

import (
	"bytes"

	"github.com/durablestate/durable/internal/envelope"
	"github.com/durablestate/durable/internal/store"
)

// EncodeSnapshot returns s in the format in which all adapters of this package
// store it: one ASCII header line, then s.Data as it is. It is for third-party
// adapters, which need not know the format. s must have a WriteID. The caller
// owns the result.
func EncodeSnapshot(componentID string, s *Snapshot) ([]byte, error) {
	if err := checkID(componentID); err != nil {
		return nil, &Error{Op: "encode", ComponentID: componentID, Err: err}
	}
	b, err := envelope.Append(nil, &envelope.Record{ID: componentID, Kind: envelope.Snapshot, Snapshot: store.Snapshot(*s)})
	if err != nil {
		return nil, &Error{Op: "encode", ComponentID: componentID, Err: err}
	}
	return b, nil
}

// DecodeSnapshot reads what EncodeSnapshot wrote. The error is ErrCorrupt when b
// is not exactly one intact envelope of componentID, and ErrTooNew when a newer
// version of this package wrote it. A JSON object without an envelope, as plain
// writers leave it, is returned with Version 0, unverified. It does not keep b.
func DecodeSnapshot(componentID string, b []byte) (*Snapshot, error) {
	s, err := envelope.Decode(componentID, b)
	if err != nil && !envelope.HasMagic(b) {
		if plain, ok := envelope.Plain(b); ok {
			s, err = plain, nil
		}
	}
	if err != nil {
		return nil, &Error{Op: "decode", ComponentID: componentID, Err: err}
	}
	s.Data = bytes.Clone(s.Data)
	return (*Snapshot)(s), nil
}
