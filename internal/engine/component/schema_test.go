package component_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/testkit"
)

type account struct {
	Cents int64
}

func (a *account) StateSchema() int { return 3 }

func (a *account) MigrateState(from int, data []byte) ([]byte, error) {
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	switch from {
	case 1:
		return json.Marshal(map[string]any{"Euros": v["E"]})
	case 2:
		return json.Marshal(map[string]any{"Cents": v["Euros"].(float64) * 100})
	}
	return nil, errors.New("no such schema")
}

func TestAStateIsMigratedStepByStep(t *testing.T) {
	for schema, data := range map[int]string{1: `{"E":7}`, 2: `{"Euros":7}`, 3: `{"Cents":700}`} {
		testkit.Bubble(t, func(t *testing.T) {
			ctx := t.Context()
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(ctx, "acc", &durable.Snapshot{Schema: schema, Codec: "json", Data: []byte(data)}))
			cp := durable.New(a, testkit.Quiet())
			var c durable.StatefulComponent[account]
			require.NoError(t, cp.Register("acc", &c))
			report, err := cp.Restore(ctx)
			require.NoError(t, err)
			require.Equal(t, schema, report.Results[0].Schema)
			c.View(func(a *account) { require.EqualValues(t, 700, a.Cents) })
			require.NoError(t, cp.Close())
			s, err := a.LoadState(ctx, "acc")
			require.NoError(t, err)
			require.Equal(t, 3, s.Schema)
		})
	}
}

func TestAFailedMigrationAndANewerSchemaLeaveTheOriginal(t *testing.T) {
	for schema, want := range map[int]durable.Outcome{0: durable.Rejected, 4: durable.TooNew} {
		testkit.Bubble(t, func(t *testing.T) {
			ctx := t.Context()
			a := durable.NewMemoryAdapter(nil)
			require.NoError(t, a.SaveState(ctx, "acc", &durable.Snapshot{Schema: schema, Codec: "json", Data: []byte(`{"X":1}`)}))
			cp := durable.New(a, testkit.Quiet())
			var c durable.StatefulComponent[account]
			require.NoError(t, cp.Register("acc", &c))
			report, err := cp.Restore(ctx)
			require.Error(t, err)
			require.Equal(t, want, report.Results[0].Outcome)
			require.Equal(t, want == durable.TooNew, errors.Is(err, durable.ErrTooNew))
			require.NoError(t, cp.Close())
			s, err := a.LoadState(ctx, "acc")
			require.NoError(t, err)
			require.Equal(t, `{"X":1}`, string(s.Data))
		})
	}
}
