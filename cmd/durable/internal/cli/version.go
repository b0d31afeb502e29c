package cli

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/internal/envelope"
)

type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Envelope int    `json:"envelope_format"` // read up to this, and written
}

func buildInfo() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Envelope: envelope.Format}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(info.Main.Version, b.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program and of the format it reads",
		Args:  exactly(0),
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
			if a.term.JSON {
				return a.term.Emit(b)
			}
			a.term.Printf("durable %s %s, envelope format %d\n", b.Version, b.Go, b.Envelope)
			return nil
		},
	}
}
