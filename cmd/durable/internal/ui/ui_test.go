package ui_test

import (
	"bytes"
	"errors"
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
	for text, want := range map[string]string{
		"a\x1b[2Jb": `a\x1b[2Jb`, "a\u202eb": `a\u202eb`, "a\u009bb": `a\u009bb`, "a\tb\nc": "a\\tb\nc", "a\xffb": `a\xffb`, "日本 é 👍": "日本 é 👍", "a\u200bb": `a\u200bb`,
	} {
		require.Equal(t, want, ui.Plain(text))
	}
	require.Equal(t, `a\nb`, ui.Line("a\nb"))
	var b bytes.Buffer
	term := &ui.Terminal{Out: ui.NewWriter(&b)}
	require.NoError(t, term.Emit("a\u202e\u009b\U000E0001é"))
	require.Equal(t, `"a\u202e\u009b\udb40\udc01é"`+"\n", b.String())
	b.Reset()
	term.Printf("%s\n", "a\x1b]0;title\a")
	require.Equal(t, `a\x1b]0;title\a`+"\n", b.String())
}

func TestNamesThatDifferNeverLookTheSame(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"app/a", "a\u202eb", `a\u202eb`, `"a\u202eb"`, "a ", "a", " a", "a\u00a0", "\u0301a", "a\u0301", "\u00e1", "a\u200b", "a\x01"} {
		shown := ui.Name(name)
		require.Empty(t, seen[shown], "%q and %q", name, seen[shown])
		seen[shown] = name
		require.Equal(t, shown, ui.Line(shown))
	}
	require.Equal(t, "app/日本", ui.Name("app/日本"))
}

func TestColumnsStandWhereATerminalShowsThem(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "日本語": 6, "👍": 2, "e\u0301": 1, "한": 2, "ｶ": 1, "Ａ": 2, "é": 1} {
		require.Equal(t, want, ui.Width(text), text)
	}
	table := ui.NewTable("NAME", ">N", "WHAT")
	table.Add("日本", "1", "a\nb")
	table.Add("abcdef", "22", "x\x1b[1m")
	table.Add("e\u0301", "3", "")
	var b strings.Builder
	require.NoError(t, table.Write(&b, 0))
	require.Equal(t, "NAME     N  WHAT\n日本     1  a\\nb\nabcdef  22  x\\x1b[1m\ne\u0301        3\n", b.String())
}

func TestAWriterRemembersItsFirstErrorAndWritesNothingBehindIt(t *testing.T) {
	full := &limited{room: 3}
	term := &ui.Terminal{Out: ui.NewWriter(full), Err: ui.NewWriter(&bytes.Buffer{})}
	term.Printf("abc")
	require.NoError(t, term.Lost())
	term.Printf("d")
	full.room = 10
	term.Printf("e")
	require.ErrorIs(t, term.Lost(), errFull)
	require.Error(t, term.Emit(1))
	require.Equal(t, "abc", full.String())
}

func TestAQuestionThatCannotBeShownIsNotAgreedTo(t *testing.T) {
	full := &ui.Terminal{In: strings.NewReader("y\n"), Err: ui.NewWriter(&limited{})}
	require.ErrorIs(t, full.Confirm(t.Context(), "sure?", false), ui.ErrDeclined)
}

var errFull = errors.New("no space left")

// limited takes so many bytes.
type limited struct {
	strings.Builder
	room int
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.room {
		return 0, errFull
	}
	l.room -= len(b)
	return l.Builder.Write(b)
}

func TestProgressWritesALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := (&ui.Terminal{Err: ui.NewWriter(&b)}).Progress("verify", 4)
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
	term := &ui.Terminal{In: strings.NewReader("y\n"), Err: ui.NewWriter(&bytes.Buffer{})}
	require.ErrorIs(t, term.Confirm(t.Context(), "sure?", false), ui.ErrDeclined)
	require.NoError(t, term.Confirm(t.Context(), "sure?", true))
}
