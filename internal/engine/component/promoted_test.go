package component_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

// layered makes more of its snapshot, and is embedded in what is registered.
type layered struct {
	testkit.Summed
	more string
}

func (l *layered) SnapshotState() ([]byte, error) {
	b, err := l.Summed.SnapshotState()
	return append(b, l.more...), err
}

type outer struct{ layered }

type outerByPointer struct{ *layered }

// beside has the method of one field and the StatefulComponent of another.
type beside struct {
	deep
	snapshotter
}

type deep struct{ testkit.Summed }

type snapshotter struct{ data string }

func (s *snapshotter) SnapshotState() ([]byte, error) { return []byte(s.data), nil }

func TestAnEmbeddedComponentThatMakesMoreOfItsSnapshotIsCapturedWithIt(t *testing.T) {
	for name, comp := range map[string]durable.Component{
		"embedded": &outer{layered{more: "more"}}, "by pointer": &outerByPointer{&layered{more: "more"}},
		"by value": outerByPointer{&layered{more: "more"}}, "beside": &beside{snapshotter: snapshotter{`{"N":0}more`}},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				cp := durable.New(a, testkit.Consistent(testkit.Quiet()))
				require.NoError(t, cp.Register("outer", comp))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Checkpoint(t.Context()))
				require.Equal(t, `{"N":0}more`, testkit.StoredSet(t, a, "~set")["outer"])
				require.NoError(t, cp.Close())
			})
		})
	}
}

func TestWhatAComponentMakesOfItsSnapshotOnlyNowAndThenIsSaved(t *testing.T) {
	for name, o := range map[string]*durable.Options{"alone": testkit.Quiet(), "set": testkit.Consistent(testkit.Quiet())} {
		t.Run(name, func(t *testing.T) {
			testkit.Bubble(t, func(t *testing.T) {
				a := testkit.NewFlaky()
				cp := durable.New(a, o)
				l := &layered{}
				require.NoError(t, cp.Register("l", l))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Checkpoint(t.Context())) // nothing more yet
				l.more = "more"
				require.NoError(t, cp.Checkpoint(t.Context()))
				got := ""
				if o.Consistent {
					got = testkit.StoredSet(t, a, "~set")["l"]
				} else {
					s, err := a.LoadState(t.Context(), "l")
					require.NoError(t, err)
					got = string(s.Data)
				}
				require.Equal(t, `{"N":0}more`, got)
				require.NoError(t, cp.Close())
			})
		})
	}
}

// ownEncoding encodes what it has beside its StatefulComponent.
type ownEncoding struct {
	durable.StatefulComponent[testkit.Counts]
	own string
}

func (o *ownEncoding) MarshalState() ([]byte, error) { return []byte(o.own), nil }

func (o *ownEncoding) UnmarshalState(b []byte) error {
	o.own = string(b)
	return nil
}

func TestWhatAComponentEncodesItselfIsSavedWithoutAnUpdate(t *testing.T) {
	for _, o := range []*durable.Options{testkit.Quiet(), testkit.Consistent(testkit.Quiet())} {
		testkit.Bubble(t, func(t *testing.T) {
			a := testkit.NewFlaky()
			for _, own := range []string{"a", "b", "b"} {
				cp, c := durable.New(a, o), &ownEncoding{}
				require.NoError(t, cp.Register("c", c))
				_, err := cp.Restore(t.Context())
				require.NoError(t, err)
				require.NoError(t, cp.Checkpoint(t.Context()))
				c.own = own
				require.NoError(t, cp.Checkpoint(t.Context()))
				a.Calls("", "")
				require.NoError(t, cp.Checkpoint(t.Context()))
				require.Zero(t, a.Calls("save", "c"), "equal bytes are no change")
				require.NoError(t, cp.Close())
				cp, c = durable.New(a, o), &ownEncoding{}
				require.NoError(t, cp.Register("c", c))
				_, err = cp.Restore(t.Context())
				require.NoError(t, err)
				require.Equal(t, own, c.own)
				require.NoError(t, cp.Close())
			}
		})
	}
}
