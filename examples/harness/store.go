package main

import (
	"fmt"
	"slices"

	"github.com/durablestate/durable"
)

const storedTransactions = 10_000

// ledger is a ring of the newest transactions.
type ledger struct {
	Next int64 // sequence number of the next one
	Head int   // where the oldest one is, once the ring is full
	Ring []record
}

type record struct {
	Seq    int64
	ID     string
	User   string
	Amount float64
	Score  float64
}

// Clone keeps the pause of a checkpoint short.
func (l *ledger) Clone() ledger {
	c := *l
	c.Ring = slices.Clone(l.Ring)
	return c
}

// transactionStore keeps the newest transactions.
type transactionStore struct {
	named
	durable.StatefulComponent[ledger]
}

// Cleanup empties the store, as that of most stores does: a checkpoint taken
// after it would save nothing over everything.
func (s *transactionStore) Cleanup() { s.Update(func(l *ledger) { *l = ledger{} }) }

func (s *transactionStore) Process(t *transaction) bool {
	s.Update(func(l *ledger) {
		r := record{l.Next, t.ID, t.User, t.Amount, t.Score}
		l.Next++
		if len(l.Ring) < storedTransactions {
			l.Ring = append(l.Ring, r)
			return
		}
		l.Ring[l.Head] = r
		l.Head = (l.Head + 1) % len(l.Ring)
	})
	return true
}

// Audit implements stateful.
func (s *transactionStore) Audit() (total int64, err error) {
	s.View(func(l *ledger) {
		total = l.Next
		if int64(len(l.Ring)) != min(l.Next, storedTransactions) {
			err = fmt.Errorf("%d transactions in the ring after %d", len(l.Ring), l.Next)
			return
		}
		ids := make(map[string]bool, len(l.Ring))
		for i := range l.Ring {
			if id := l.Ring[i].ID; ids[id] {
				err = fmt.Errorf("transaction %s is in the ring twice", id)
			}
			ids[l.Ring[i].ID] = true
			want := l.Next - int64(len(l.Ring)) + int64(i)
			if r := l.Ring[(l.Head+i)%len(l.Ring)]; r.Seq != want {
				err = fmt.Errorf("sequence number %d where %d belongs", r.Seq, want)
			}
		}
	})
	return total, err
}
