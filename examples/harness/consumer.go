package main

import (
	"context"
	"fmt"
	"time"

	"github.com/durablestate/durable"
)

// offsets is how far each partition is processed.
type offsets struct {
	Next     [partitions]int64
	Consumed int64
}

// kafkaConsumer reads the simulated log from the offsets that were restored.
type kafkaConsumer struct {
	named
	durable.StatefulComponent[offsets]
	seed uint64
}

// Read hands transactions on, of the partition that is the furthest behind first,
// until ctx ends or as many were read as f says, and returns their number.
func (k *kafkaConsumer) Read(ctx context.Context, f flags, handOn func(*transaction)) (n int64) {
	var next [partitions]int64
	k.View(func(o *offsets) { next = o.Next })
	partition := 0
	for begin := time.Now(); ctx.Err() == nil && (f.max == 0 || n < f.max); n++ {
		partition = behind(&next, partition)
		if f.until > 0 && next[partition] >= f.until {
			break
		}
		handOn(generate(k.seed, partition, next[partition]))
		next[partition]++
		if f.rate > 0 {
			pause(ctx, time.Until(begin.Add(time.Duration(n+1)*time.Second/time.Duration(f.rate))))
		}
	}
	return n
}

// behind returns the partition that is the furthest behind, the first one after
// last if there are several.
func behind(next *[partitions]int64, last int) int {
	best := (last + 1) % partitions
	for i := range partitions {
		if p := (last + 1 + i) % partitions; next[p] < next[best] {
			best = p
		}
	}
	return best
}

// pause waits for d, or until ctx ends. What is too short to wait for adds up.
func pause(ctx context.Context, d time.Duration) {
	if d < time.Millisecond {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Done moves the offset behind a transaction that is processed.
func (k *kafkaConsumer) Done(t *transaction) {
	k.Update(func(o *offsets) {
		o.Next[t.Partition] = t.Offset + 1
		o.Consumed++
	})
}

// Audit implements stateful.
func (k *kafkaConsumer) Audit() (total int64, err error) {
	k.View(func(o *offsets) {
		var sum int64
		for _, n := range o.Next {
			sum += n
		}
		if total = o.Consumed; sum != total {
			err = fmt.Errorf("offsets add up to %d, but %d transactions were consumed", sum, total)
		}
	})
	return total, err
}
