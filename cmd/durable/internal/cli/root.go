// Package cli is the commands of the program durable.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/ui"
	"github.com/durablestate/durable/internal/store"
)

// memoryTarget is where garbage is collected eagerly, so that a large store is
// read in little memory.
const memoryTarget = 128 << 20

// app is one run of the program.
type app struct {
	term *ui.Terminal
	conn connection
}

// Main runs the program with args and returns its exit code, which is not 0 when
// anything that it said could not be written.
func Main(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone must not kill a command that holds leases
	a := &app{term: &ui.Terminal{In: in, Out: ui.NewWriter(out), Err: ui.NewWriter(errOut)}}
	a.conn.say = a.term.Note
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(a.term.Out)
	root.SetErr(a.term.Err)
	return a.finish(root.ExecuteContext(store.Preserve(ctx))) // how much is kept is for programs to say
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "durable",
		Short: "Look at, check, move and repair the state of long-lived components",
		Long: `Durable looks at, checks, moves and repairs the state that programs keep with
package durable.

Where the state is comes from --config, the YAML file of the program itself, or
from --redis-url (REDIS_URL) or --directory. Ids are those of the store,
[system/][replica/]id; the system may be left out where the configuration names it.

Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 something is unsound or was found,
4 not found, 5 refused because of an owner, a fence or a missing confirmation.
Output that could not be written whole is a failure; a pipe whose reader has gone is
141, without a word.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	f := root.PersistentFlags()
	f.BoolVar(&a.term.JSON, "json", false, "write results as JSON, one value a line")
	f.BoolVarP(&a.term.Quiet, "quiet", "q", false, "show no progress")
	a.conn.flags(f)
	root.AddCommand(a.ls(), a.show(), a.history(), a.diff(), a.verify(), a.rollback(), a.deletion(), a.lease(),
		a.export(), a.importing(), a.copying(), a.doctor(), a.watch(), a.drill(), a.version())
	return root
}

// exactly refuses any other number of arguments as wrong usage.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage("%s takes %s; try %s --help", cmd.CommandPath(), cmd.Use, cmd.CommandPath())
		}
		return nil
	}
}
