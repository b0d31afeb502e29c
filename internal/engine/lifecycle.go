package engine

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// lifecycle is how far an Engine has come. It is safe for concurrent use.
//
//	state      left by                 Register  Restore  Start  Close
//	new        restoring: begun        yes       yes      no     yes
//	begun      started, shut           late      yes      yes ¹  yes
//	started    shut: closing           late      yes      again  yes
//	closing    end, after the budget   no        no       no     waits
//
// ¹ once everything is restored.
type lifecycle struct {
	life    context.Context // ends when Close has waited long enough
	end     context.CancelFunc
	closing context.Context // ends when Close begins
	shut    context.CancelFunc

	hurrying context.Context // ends when Close waits for no save that it has given up
	hurry    context.CancelFunc

	restoring chan struct{} // held by the Restore that is under way

	joining sync.Mutex  // held by a component that joins, and while a Restore begins
	begun   atomic.Bool // written under joining
	started atomic.Bool

	mu      sync.Mutex
	closers []io.Closer
}

func newLifecycle() *lifecycle {
	l := &lifecycle{restoring: make(chan struct{}, 1)}
	l.life, l.end = context.WithCancel(context.Background())
	l.closing, l.shut = context.WithCancel(l.life)
	l.hurrying, l.hurry = context.WithCancel(context.Background())
	return l
}

// isClosing reports that Close has begun.
func (l *lifecycle) isClosing() bool { return l.closing.Err() != nil }

// CloseWith makes Close close the closers after everything else, in order.
func (l *lifecycle) CloseWith(closers ...io.Closer) {
	l.mu.Lock()
	l.closers = append(l.closers, closers...)
	l.mu.Unlock()
}
