package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/cmd/durable/internal/survey"
)

const leaseTTL = 30 * time.Second

// Guard holds the leases of the target's systems while they are filled, so that
// no program starts from half a history. It is safe for concurrent use.
type Guard struct {
	s      *survey.Store
	holder string
	force  bool

	mu   sync.Mutex
	held map[string]*durable.Lease
	stop chan struct{}
	done chan struct{}
}

// NewGuard returns a guard that holds nothing yet. With force it lets living
// owners be: fences keep them off.
func NewGuard(s *survey.Store, force bool) *Guard {
	host, _ := os.Hostname()
	g := &Guard{s: s, force: force, holder: fmt.Sprintf("durable-%s-%d", host, os.Getpid()),
		held: map[string]*durable.Lease{}, stop: make(chan struct{}), done: make(chan struct{})}
	go g.renew()
	return g
}

// Take takes the lease that covers the component id. The error is ErrLeaseHeld
// while a program owns it.
func (g *Guard) Take(ctx context.Context, id string) error {
	name := survey.LeaseOf(id)
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.held[name]; ok {
		return nil
	}
	l, err := g.s.AcquireLease(ctx, name, g.holder, leaseTTL)
	if errors.Is(err, durable.ErrLeaseHeld) && g.force {
		g.held[name] = nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("the target's system %q is in use: %w", name, err)
	}
	g.held[name] = l
	return nil
}

func (g *Guard) renew() {
	defer close(g.done)
	t := time.NewTicker(leaseTTL / 3)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			g.each(g.s.RenewLease) // whoever took it over meanwhile is kept off by the fence
		case <-g.stop:
			return
		}
	}
}

func (g *Guard) each(do func(context.Context, *durable.Lease) error) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseTTL/3)
	defer cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, l := range g.held {
		if l != nil {
			_ = do(ctx, l)
		}
	}
}

// Release gives the leases back.
func (g *Guard) Release() {
	close(g.stop)
	<-g.done
	g.each(g.s.ReleaseLease)
}
