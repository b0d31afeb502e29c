//lint:file-ignore U1000 these fields and methods are found by reflection only

package component_test

import (
	"crypto/tls"
	"net/http"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

type (
	unsignedSchema struct{ N int }
	pointerClone   struct{ N int }
	failingInit    struct{ N int }
	quietMarshal   struct{ N int }
	textUnmarshal  struct{ N int }
	stringMigrate  struct{ N int }
	valueClone     struct{ N int }
	variadicInit   struct{ N int }
)

func (*unsignedSchema) StateSchema() uint                        { return 1 }
func (*unsignedSchema) MigrateState(int, []byte) ([]byte, error) { return nil, nil }
func (p *pointerClone) Clone() *pointerClone                     { return p }
func (*failingInit) InitState() error                            { return nil }
func (*quietMarshal) MarshalState() []byte                       { return nil }
func (*quietMarshal) UnmarshalState([]byte) error                { return nil }
func (*textUnmarshal) MarshalState() ([]byte, error)             { return nil, nil }
func (*textUnmarshal) UnmarshalState(string) error               { return nil }
func (*stringMigrate) StateSchema() int                          { return 1 }
func (*stringMigrate) MigrateState(string, []byte) ([]byte, error) {
	return nil, nil
}
func (v valueClone) Clone() any           { return v }
func (*variadicInit) InitState(...string) {}

// Components with hooks of their own that would not be called.
type (
	plainInit struct{ testkit.Custom }
	outerInit struct {
		durable.StatefulComponent[testkit.Sum]
	}
	outerClone struct {
		durable.StatefulComponent[testkit.Counts]
	}
	initialising struct{}
	counting     struct{}
	twoInits     struct {
		durable.StatefulComponent[testkit.Sum]
		initialising
		counting
	}
	hiddenInit struct {
		testkit.Custom
		initialising
		InitState int
	}
	half struct {
		durable.StatefulComponent[testkit.Sum]
	}
	otherHalf struct {
		durable.StatefulComponent[testkit.Counts]
	}
	twoStates struct {
		half
		otherHalf
	}
	byValue struct{ n int }
	encodes struct{ N int }
	partly  struct {
		encodes
		More int
	}
	stateWithTwo struct {
		initialising
		counting
	}
	deeply struct {
		durable.StatefulComponent[testkit.Sum]
		*stateWithTwo
	}
	shared struct{ *encodes }
	copied struct{ N int }
	hollow struct{ durable.Component }
)

func (c copied) MarshalState() ([]byte, error) { return nil, nil }
func (c copied) UnmarshalState(_ []byte) error { return nil }

func (*plainInit) InitState(string)               {}
func (*outerInit) InitState() error               { return nil }
func (*outerClone) Clone() *outerClone            { return nil }
func (initialising) InitState()                   {}
func (counting) InitState()                       {}
func (*twoStates) SnapshotState() ([]byte, error) { return nil, nil }
func (*twoStates) RestoreState([]byte) error      { return nil }
func (byValue) SnapshotState() ([]byte, error)    { return nil, nil }
func (byValue) RestoreState([]byte) error         { return nil }
func (*byValue) InitState()                       {}
func (*encodes) MarshalState() ([]byte, error)    { return nil, nil }
func (*encodes) UnmarshalState([]byte) error      { return nil }

func TestAMethodWithTheNameOfAHookThatWouldNeverBeCalledIsRefused(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	for want, comp := range map[string]durable.Component{
		"StateSchema of *component_test.unsignedSchema is a func() uint and would never be called: the hook of that name is a func() int": durable.NewStatefulComponent(unsignedSchema{}),
		"the hook of that name is a func() component_test.pointerClone":                                                                   durable.NewStatefulComponent(pointerClone{}),
		"InitState of *component_test.failingInit is a func() error":                                                                      durable.NewStatefulComponent(failingInit{}),
		"MarshalState of *component_test.quietMarshal is a func() []uint8":                                                                durable.NewStatefulComponent(quietMarshal{}),
		"UnmarshalState of *component_test.textUnmarshal is a func(string) error":                                                         durable.NewStatefulComponent(textUnmarshal{}),
		"MigrateState of *component_test.stringMigrate is a func(string, []uint8)":                                                        durable.NewStatefulComponent(stringMigrate{}),
		"Clone of *component_test.valueClone is a func() interface {}":                                                                    durable.NewStatefulComponent(valueClone{}),
		"InitState of *component_test.variadicInit is a func(...string)":                                                                  durable.NewStatefulComponent(variadicInit{}),
		"InitState of *component_test.plainInit is a func(string)":                                                                        &plainInit{},
		"InitState of *component_test.outerInit is a func() error":                                                                        &outerInit{},
		"Clone of *component_test.outerClone is a func() *component_test.outerClone":                                                      &outerClone{},
		"InitState of the embedded component_test.initialising would not be called, because component_test.twoInits does not have it":     &twoInits{},
		"because component_test.hiddenInit does not have it":                                                                              &hiddenInit{},
		"embeds more than one StatefulComponent":                                                                                          &twoStates{},
		"InitState of *component_test.byValue would not be called, because the component is no pointer":                                   byValue{},
		"MarshalState of component_test.partly is that of the embedded component_test.encodes":                                            durable.NewStatefulComponent(partly{}),
		"because component_test.stateWithTwo does not have it":                                                                            durable.NewStatefulComponent(stateWithTwo{}),
		"because component_test.deeply does not have it":                                                                                  &deeply{},
		"UnmarshalState of component_test.copied would decode into a copy":                                                                durable.NewStatefulComponent(copied{}),
		"UnmarshalState of component_test.shared would decode into a copy":                                                                durable.NewStatefulComponent(shared{}),
	} {
		require.ErrorContains(t, cp.Register("c", comp), want)
	}
	require.NoError(t, cp.Close())
}

// Hooks as they should be, promoted ones included.
type (
	right struct {
		durable.StatefulComponent[rightState]
		initialising
	}
	rightState struct {
		N int
		initialisingState
	}
	initialisingState struct{ Ready bool }
	onlyEmbedded      struct{ encodes }
	copying           struct{ testkit.Custom }
	headers           struct {
		durable.StatefulComponent[testkit.Sum]
		http.Header
		*tls.Config
	}
	filled struct{ *testkit.Custom }
	own    struct{ durable.Component } // says what it says
)

func (f *filled) InitState()               { f.Custom = &testkit.Custom{} }
func (own) SnapshotState() ([]byte, error) { return nil, nil }
func (own) RestoreState([]byte) error      { return nil }

func (r *rightState) Clone() rightState { return *r }
func (i *initialisingState) InitState() { i.Ready = true }
func (c *copying) Clone() *copying      { return c } // no state of ours: nobody asks
func (*copying) MarshalState() string   { return "" }

func TestHooksThatAreCalledAreAccepted(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	for id, comp := range map[string]durable.Component{
		"right": &right{}, "embedded": durable.NewStatefulComponent(onlyEmbedded{}), "plain": &copying{},
		"clones of others": &headers{}, "filled": &filled{}, "own": own{}, "wrapped": hollow{durable.NewStatefulComponent(0)},
		"pointer": durable.NewStatefulComponent(&struct{ N int }{}),
	} {
		require.NoError(t, cp.Register(id, comp), id)
	}
	require.NoError(t, cp.Close())
}

type nobody struct{}

func (*nobody) SnapshotState() ([]byte, error) { return nil, nil }
func (*nobody) RestoreState([]byte) error      { return nil }

type table map[string]int

func (table) SnapshotState() ([]byte, error) { return nil, nil }
func (table) RestoreState([]byte) error      { return nil }

func TestANilComponentIsRefusedWhateverItsType(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	for _, comp := range []durable.Component{
		hollow{}, &hollow{}, &hollow{(*durable.StatefulComponent[int])(nil)}, struct{ *testkit.Custom }{},
		nil, (*testkit.Custom)(nil), (*testkit.WordCounter)(nil), (*durable.StatefulComponent[int])(nil), (*nobody)(nil), table(nil),
	} {
		require.ErrorContains(t, cp.Register("c", comp), "nil")
	}
	require.NoError(t, cp.Close())
}

func TestAComponentIsRegisteredOnce(t *testing.T) {
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	c, w := &testkit.Custom{}, &testkit.WordCounter{}
	require.NoError(t, cp.Register("a", c))
	require.NoError(t, cp.Register("w", w))
	require.ErrorContains(t, cp.Register("b", c), `registered already, as "a"`)
	require.ErrorContains(t, cp.Register("v", w), "registered already")
	require.NoError(t, cp.Register("n1", &nobody{}))
	require.NoError(t, cp.Register("n2", &nobody{}), "pointers to nothing are equal")
	other := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	require.ErrorContains(t, other.Register("w", w), "registered already")
	require.NoError(t, cp.Close())
	require.NoError(t, other.Close())
}

func TestACommitOnACopyOfARegisteredComponentIsAnError(t *testing.T) {
	ctx := t.Context()
	cp := durable.New(durable.NewMemoryAdapter(nil), testkit.Quiet())
	var c durable.StatefulComponent[testkit.Sum]
	require.NoError(t, cp.Register("c", &c))
	_, err := cp.Restore(ctx)
	require.NoError(t, err)
	dup := copyOf(&c)
	require.ErrorIs(t, dup.CheckpointState(ctx), durable.ErrNotRegistered)
	require.ErrorContains(t, dup.Commit(ctx, func(s *testkit.Sum) { s.N++ }), "copy of the registered one")
	require.NoError(t, c.Commit(ctx, func(s *testkit.Sum) { s.N++ }))
	require.NoError(t, cp.Close())
}

// copyOf copies what must not be copied, as a program that vet never saw.
func copyOf[T any](c *T) *T {
	var dup T
	reflect.ValueOf(&dup).Elem().Set(reflect.ValueOf(c).Elem())
	return &dup
}
