package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/archive"
)

func written(t *testing.T, components int) []byte {
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.Info{From: "file"})
	require.NoError(t, err)
	for c := range components {
		id := fmt.Sprintf("app/%d\u00e9 x", c)
		for v := uint64(1); v <= 2; v++ {
			require.NoError(t, w.Generation(id, &durable.Snapshot{Epoch: 3, Version: v, WriteID: "w", Data: []byte("END \nCOMPONENT \n")}))
		}
		require.NoError(t, w.Component(archive.Component{ID: id, Epoch: 4, Version: 2}))
	}
	_, err = w.Close()
	require.NoError(t, err)
	return b.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	r, err := archive.NewReader(bytes.NewReader(written(t, 2)), 0)
	require.NoError(t, err)
	require.Equal(t, "file", r.Info.From)
	var got []string
	for {
		rec, err := r.Next()
		require.NoError(t, err)
		switch {
		case rec.Snapshot != nil:
			got = append(got, fmt.Sprintf("%s@%d %q", rec.ID, rec.Snapshot.Version, rec.Snapshot.Data))
		case rec.Component != nil:
			got = append(got, fmt.Sprintf("%+v", *rec.Component))
		default:
			require.Equal(t, 4, rec.End.Generations)
			require.Equal(t, []string{
				`app/0é x@1 "END \nCOMPONENT \n"`, `app/0é x@2 "END \nCOMPONENT \n"`, "{ID:app/0é x Epoch:4 Version:2 Generations:2 Verdict: Skipped:0}",
				`app/1é x@1 "END \nCOMPONENT \n"`, `app/1é x@2 "END \nCOMPONENT \n"`, "{ID:app/1é x Epoch:4 Version:2 Generations:2 Verdict: Skipped:0}",
			}, got)
			return
		}
	}
}

func TestStatesAboveTheLimitAreRefusedBeforeMemoryIsTaken(t *testing.T) {
	_, err := archive.Verify(bytes.NewReader(written(t, 1)), 5, func(*archive.Component, []archive.Generation) {})
	require.ErrorIs(t, err, durable.ErrTooLarge)
}

func TestWholeComponentsThatAreMissingAreNoticed(t *testing.T) {
	b := string(written(t, 3))
	at := strings.Index(b, "DURABLE 01 ")
	next := strings.Index(b[at:], `COMPONENT {"id":"app/0`)
	end := at + next + strings.Index(b[at+next:], "\n") + 1
	_, err := archive.Verify(strings.NewReader(b[:at]+b[end:]), 0, func(*archive.Component, []archive.Generation) {})
	require.ErrorIs(t, err, archive.ErrDamaged)
}

func TestAFileAppearsWhenItIsComplete(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	broken := errors.New("broken")
	require.ErrorIs(t, archive.Create(t.Context(), path, false, func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		require.NoError(t, err)
		require.NoFileExists(t, path)
		return broken
	}), broken)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	whole := func(w io.Writer) error { _, err := w.Write([]byte("whole")); return err }
	require.NoError(t, archive.Create(t.Context(), path, false, whole))
	require.ErrorIs(t, archive.Create(t.Context(), path, false, whole), os.ErrExist)
	require.NoError(t, archive.Create(t.Context(), path, true, whole))
}
