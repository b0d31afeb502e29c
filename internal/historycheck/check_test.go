package historycheck_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/durablestate/durable/internal/historycheck"
)

const (
	save = historycheck.Save
	load = historycheck.Load
	ack  = historycheck.Acknowledged
	no   = historycheck.Refused
	lost = historycheck.Unknown
)

func op(process int, kind historycheck.Kind, outcome historycheck.Outcome, version uint64, id string, start, end int64) historycheck.Op {
	return historycheck.Op{Process: process, Kind: kind, Outcome: outcome, Attempt: at(version, id), Start: start, End: end}
}

func at(version uint64, id string) historycheck.Attempt {
	return historycheck.Attempt{Version: version, WriteID: id}
}

func TestASoundHistoryHasNothingWrong(t *testing.T) {
	require.Empty(t, historycheck.Check(historycheck.History{
		Ops: []historycheck.Op{
			op(1, save, ack, 1, "a", 1, 2), op(2, save, no, 1, "b", 1, 3), op(2, load, ack, 1, "a", 4, 5),
			op(1, save, lost, 2, "c", 4, 9), op(2, save, lost, 2, "d", 6, 7), op(2, load, ack, 2, "d", 8, 10),
			op(2, save, ack, 2, "d", 11, 12),
		},
		Chain: []historycheck.Attempt{at(1, "a"), at(2, "d")}, Last: 2,
	}))
}

func TestEveryKindOfViolationIsFound(t *testing.T) {
	for want, h := range map[string]historycheck.History{
		"two owners": {Ops: []historycheck.Op{op(1, save, ack, 1, "a", 1, 4), op(2, save, ack, 1, "b", 2, 3)},
			Chain: []historycheck.Attempt{at(1, "a")}, Last: 1},
		"two owners, a and b (stored)": {Chain: []historycheck.Attempt{at(1, "a"), at(1, "b")}, Last: 1},
		"owns the versions":            {Chain: []historycheck.Attempt{at(1, "a"), at(2, "a")}, Last: 2},
		"of the processes":             {Ops: []historycheck.Op{op(1, save, lost, 1, "a", 1, 2), op(2, save, lost, 2, "a", 3, 4)}},
		"acknowledged and is not":      {Ops: []historycheck.Op{op(1, save, ack, 1, "a", 1, 2)}},
		"refused and is in":            {Ops: []historycheck.Op{op(1, save, no, 1, "a", 1, 2)}, Chain: []historycheck.Attempt{at(1, "a")}, Last: 1},
		"loaded and is not":            {Ops: []historycheck.Op{op(1, load, ack, 1, "a", 1, 2)}},
		"the store ended at":           {Chain: []historycheck.Attempt{at(2, "a")}, Last: 1},
		"loaded version 1 after version 2": {Ops: []historycheck.Op{op(1, save, ack, 2, "b", 1, 2), op(2, load, ack, 1, "a", 3, 4)},
			Chain: []historycheck.Attempt{at(1, "a"), at(2, "b")}, Last: 2},
		"was acknowledged version 1 after": {Ops: []historycheck.Op{op(1, load, ack, 2, "b", 1, 2), op(2, save, ack, 1, "a", 3, 4)},
			Chain: []historycheck.Attempt{at(1, "a"), at(2, "b")}, Last: 2},
	} {
		require.Contains(t, strings.Join(historycheck.Check(h), "\n"), want)
	}
}
