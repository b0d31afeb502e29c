package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

// completeIDs offers the components of the store to the shell. A store that does
// not answer soon offers none.
func (a *app) completeIDs(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 && cmd.Name() != "verify" {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a.conn.say = nil // the shell shows what is said
	ctx, o, err := a.conn.reading(ctx)
	if err != nil {
		return nil, none
	}
	defer o.Close()
	ids, _ := o.IDs(ctx)
	ids = append(ids, members(ctx, o.Sets(), ids)...)
	var found []string
	for _, id := range ids {
		short := strings.TrimPrefix(id, o.Namespace)
		if !survey.Internal(id) && strings.HasPrefix(short, prefix) && len(found) < 100 {
			found = append(found, short)
		}
	}
	return found, none
}
