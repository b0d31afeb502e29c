package engine

import (
	"context"
	"time"
)

// budget is until when each part of a Close may last. It is made once, so that no
// part takes what another one needs.
//
//	begin                                                    end
//	|-- restore --|                      |<------ reserve ----->|
//	|----------- count ------|
//	|---------------- saves ------------>|
//	                                     |-- hung --|
//	                                     |----- spill ---->|
//	                                     |------ release ---->|
//	                                     |-------- idle ------->|
type budget struct {
	begin   time.Time
	restore time.Time // a Restore that Close interrupts comes to its end
	count   time.Time // the start is noted as one that ended well
	saves   time.Time // final saves
	hung    time.Time // saves that were given up return
	spill   time.Time // what could not be saved is spilled, renewals end
	release time.Time // the lease is released
	idle    time.Time // goroutines end
	end     time.Time // the adapters are closed
}

func newBudget(begin time.Time, total time.Duration, spills bool) budget {
	reserve := min(total/10, time.Second)
	if spills {
		reserve = min(total/3, 5*time.Second)
	}
	end := begin.Add(total)
	saves := end.Add(-reserve)
	return budget{
		begin: begin, restore: begin.Add(total / 4), count: begin.Add((total - reserve) / 2), saves: saves,
		hung: saves.Add(reserve / 4), spill: end.Add(-reserve / 4), release: end.Add(-reserve / 8), idle: end.Add(-reserve / 16), end: end,
	}
}

// until returns a context that ends at t.
func until(t time.Time) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), t)
}
