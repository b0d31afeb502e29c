package ui_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/cmd/durable/internal/ui"
)

func TestSizesAndAgesAreShort(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 10: "10 KiB", 1536 << 20: "1.5 GiB", 1 << 50: "1024 TiB"} {
		require.Equal(t, want, ui.Size(n))
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 25*time.Hour + 1: "1d01h", -time.Minute: "in 1m00s"} {
		require.Equal(t, want, ui.Age(d))
	}
	require.Equal(t, "-", ui.Since(time.Time{}, time.Now()))
}

func TestTableAlignsByWhatIsSeen(t *testing.T) {
	table := ui.NewTable("NAME", ">N", "VERDICT")
	table.Add("é", "1", "ok")
	table.Add("long name", "100", "corrupt")
	table.Paint(func(_ int, column, cell string) string {
		if column == "VERDICT" {
			return ui.Colour(cell)
		}
		return cell
	})
	var b strings.Builder
	require.NoError(t, table.Write(&b, 0))
	require.Equal(t, "NAME         N  VERDICT\né            1  \x1b[32mok\x1b[0m\nlong name  100  \x1b[31mcorrupt\x1b[0m\n", b.String())
	b.Reset()
	require.NoError(t, table.Write(&b, 1))
	require.Equal(t, "NAME  N  VERDICT\né     1  \x1b[32mok\x1b[0m\n", b.String())
}

func TestTextFromAStoreCannotControlTheTerminal(t *testing.T) {
	require.Equal(t, "a\uFFFD[2Jb", ui.Plain("a\x1b[2Jb"))
}

func TestProgressWritesALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := (&ui.Terminal{Err: &b}).Progress("verify", 4)
		p.Step(1024)
		require.Empty(t, b.String())
		time.Sleep(2 * time.Second)
		p.Step(1024)
		require.Equal(t, "verify [############............] 2/4, 2.0 KiB, 2s, 2s left\n", b.String())
		p.Step(0)
		p.Step(0)
		p.End()
		require.Contains(t, b.String(), "4/4, 2.0 KiB, 2s\n")
	})
}

func TestNobodyAgreesWithoutATerminal(t *testing.T) {
	term := &ui.Terminal{In: strings.NewReader("y\n"), Err: &bytes.Buffer{}}
	require.ErrorIs(t, term.Confirm(t.Context(), "sure?", false), ui.ErrDeclined)
	require.NoError(t, term.Confirm(t.Context(), "sure?", true))
}
