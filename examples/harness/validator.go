package main

import (
	"fmt"

	"github.com/durablestate/durable"
)

// validations counts what the validator has decided.
type validations struct {
	Seen, Accepted int64
	Rejected       map[string]int64 // by reason
}

func (v *validations) InitState() {
	if v.Rejected == nil {
		v.Rejected = map[string]int64{}
	}
}

// validator stops broken transactions.
type validator struct {
	named
	durable.StatefulComponent[validations]
}

func (v *validator) Process(t *transaction) bool {
	reason := ""
	switch {
	case t.Amount < 0:
		reason = "negative amount"
	case t.Currency == "":
		reason = "no currency"
	}
	v.Update(func(s *validations) {
		s.Seen++
		if reason == "" {
			s.Accepted++
		} else {
			s.Rejected[reason]++
		}
	})
	return reason == ""
}

// Audit implements stateful.
func (v *validator) Audit() (total int64, err error) {
	v.View(func(s *validations) {
		sum := s.Accepted
		for _, n := range s.Rejected {
			sum += n
		}
		if total = s.Seen; sum != total {
			err = fmt.Errorf("%d accepted or rejected of %d seen", sum, total)
		}
	})
	return total, err
}
