package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// transaction is one payment on its way through the pipeline.
type transaction struct {
	Partition int
	Offset    int64

	ID       string
	At       int64 // event time in seconds
	User     string
	Amount   float64
	Currency string

	Country string  // by enricher
	Blocked bool    // by rule_engine
	Score   float64 // by fraud_scorer, 0 to 1
	Alert   bool    // by alert_router
}

// Limits of the simulated world.
const (
	partitions  = 64
	users       = 2000
	eventStart  = 1_700_000_100 // a multiple of the window
	eventStride = 5             // seconds between two transactions of a partition
)

// generate returns the transaction at an offset of a partition, always the same.
func generate(seed uint64, partition int, offset int64) *transaction {
	r := rand.New(rand.NewPCG(seed, uint64(partition)<<48|uint64(offset)))
	skewed := r.Float64() * r.Float64() // few users pay often
	t := &transaction{
		Partition: partition, Offset: offset,
		ID:       fmt.Sprintf("%02d-%d", partition, offset),
		At:       eventStart + offset*eventStride + int64(r.IntN(eventStride)),
		User:     fmt.Sprintf("user-%04d", int(skewed*users)),
		Amount:   float64(int(r.ExpFloat64()*8000)) / 100,
		Currency: []string{"EUR", "usd", " Gbp"}[r.IntN(3)],
	}
	switch r.IntN(100) { // some are broken
	case 0:
		t.Amount = -t.Amount - 1
	case 1:
		t.Currency = ""
	}
	return t
}

// normalizer brings amounts and currencies into one form.
type normalizer struct{ named }

var euros = map[string]float64{"EUR": 1, "USD": 0.9, "GBP": 1.2}

func (n *normalizer) Process(t *transaction) bool {
	t.Amount *= euros[strings.ToUpper(strings.TrimSpace(t.Currency))]
	t.Currency = "EUR"
	return true
}

// enricher adds what is known about the user.
type enricher struct{ named }

func (e *enricher) Process(t *transaction) bool {
	countries := []string{"DE", "FR", "GB", "US"}
	t.Country = countries[int(t.User[len(t.User)-1])%len(countries)]
	return true
}
