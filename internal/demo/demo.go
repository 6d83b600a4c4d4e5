// Package demo fills a fresh ledger with a little economy and keeps it moving, for trying things
// out: people who are paid and shop, holds that are captured or run out, refunds, two currencies,
// schedules, and what goes wrong.
//
// It never touches a ledger that has data. What is made up follows from a seed that the ledger
// keeps, so that a demo whose filling was interrupted is filled to the end at the next start, and
// one that was filled only goes on.
package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"internaltransfers/internal/postgres"
	"internaltransfers/ledger"
)

const (
	historyDays  = 30
	historyCount = 600 // transfers of the past
	historyBatch = 200 // of them at a time

	// The pace of the economy, in moves a second: it swings between these two within swing.
	paceLeast, paceMost = 1.0, 6.0
	swing               = 4 * time.Minute
	// patience is how long the demo rests when the ledger takes nothing.
	patience = time.Second
)

// Config is what an Economy is opened with.
type Config struct {
	Ledger *postgres.Ledger
	Logger *slog.Logger // default: slog.Default()
	Seed   uint64       // of a fresh demo and its moves; 0: by chance
}

// An Economy is a demo's ledger and its state. Its methods are not for concurrent use.
type Economy struct {
	ledger *postgres.Ledger
	logger *slog.Logger
	random *rand.Rand
	space  uuid.UUID // of the ids that follow from names
	steps  int       // moves made since the start

	holds     []uuid.UUID // of checkouts that were not shipped yet, oldest first
	purchases []uuid.UUID // the last ones, which can be refunded
}

// Open makes the ledger a demo, or continues the demo in it. For a ledger that has other data the
// error wraps ledger.ErrNotEmpty, and nothing has changed.
func Open(ctx context.Context, config Config) (*Economy, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	wanted := config.Seed
	if wanted == 0 {
		wanted = rand.Uint64()
	}
	seed, err := config.Ledger.MarkDemo(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	e := &Economy{ledger: config.Ledger, logger: config.Logger, random: rand.New(rand.NewPCG(seed, 0))}
	binary.BigEndian.PutUint64(e.space[:], seed)
	if err := e.fill(ctx); err != nil {
		return nil, fmt.Errorf("demo: fill the ledger: %w", err)
	}
	if config.Seed == 0 {
		// The moves differ from those after the last start.
		e.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return e, nil
}

// Run keeps the economy moving until ctx ends or the ledger is closed.
func (e *Economy) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := e.pause(time.Since(start))
		if err := e.Step(ctx); err != nil {
			if ctx.Err() != nil || errors.Is(err, ledger.ErrClosed) {
				return
			}
			e.logger.DebugContext(ctx, "the demo could not move", slog.Any("error", err))
			wait = patience
		}
		timer.Reset(wait)
	}
}

// pause returns the time until the next move: by chance, with a mean that swings.
func (e *Economy) pause(running time.Duration) time.Duration {
	phase := math.Sin(2 * math.Pi * running.Seconds() / swing.Seconds())
	pace := paceLeast + (paceMost-paceLeast)*(1+phase)/2
	return time.Duration(min(e.random.ExpFloat64()/pace, 3) * float64(time.Second))
}

// fill makes all that a demo begins with, as far as it is not there. Each thing has an id that
// follows from the seed, so making it again is a replay. The last thing marks the demo as filled.
func (e *Economy) fill(ctx context.Context) error {
	if _, err := e.ledger.GetTransfer(ctx, e.id("transfer", "last")); err == nil {
		return nil
	}
	e.logger.InfoContext(ctx, "the demo is being filled")
	var founded time.Time
	for i, m := range members() {
		a, _, err := e.ledger.CreateAccount(ctx, ledger.AccountParams{
			ID: e.account(m.name + m.suffix), Currency: m.currency, InitialBalance: decimal.RequireFromString(m.balance),
			DisplayName: m.name, Metadata: map[string]string{"demo": m.kind}, Policy: m.policy,
		})
		if err != nil {
			return err
		}
		if i == 0 {
			founded = a.CreateTime
		}
	}
	if err := e.fillHistory(ctx, founded); err != nil {
		return err
	}
	if err := e.fillOrders(ctx); err != nil {
		return err
	}
	_, err := e.ledger.UpdateAccount(ctx, ledger.AccountChange{ID: e.account(suspect), Status: new(ledger.AccountFrozen)})
	if err != nil {
		return err
	}
	_, _, err = e.ledger.Transfer(ctx, ledger.TransferParams{
		ID: e.id("transfer", "last"), From: e.account(employer), To: e.account(landlord), Amount: decimal.New(185000, -2),
		Reference: "office rent",
	})
	return err
}

// fillHistory makes what people bought before the demo was founded, with the times at which it
// takes effect.
func (e *Economy) fillHistory(ctx context.Context, founded time.Time) error {
	batch := make([]ledger.TransferParams, 0, historyBatch)
	for i := range historyCount {
		p := e.purchase()
		ago := time.Duration(historyCount-i) * historyDays * 24 * time.Hour / historyCount
		p.ID = e.id("transfer", fmt.Sprint(i))
		p.Options = &ledger.TransferOptions{EffectiveTime: founded.Add(-ago)}
		if batch = append(batch, p); len(batch) < historyBatch {
			continue
		}
		outcomes, err := e.ledger.TransferBatch(ctx, batch, ledger.BatchOptions{})
		if err != nil {
			return err
		}
		for j := range outcomes {
			if outcomes[j].Err != nil {
				return outcomes[j].Err
			}
		}
		batch = batch[:0]
	}
	return nil
}

// fillOrders makes the schedules.
func (e *Economy) fillOrders(ctx context.Context) error {
	order := func(from, to, amount, reference, cron string, interval time.Duration) error {
		_, _, err := e.ledger.CreateSchedule(ctx, ledger.ScheduleParams{
			ID: e.id("schedule", from+" "+reference), From: e.account(from), To: e.account(to),
			Amount: decimal.RequireFromString(amount), Cron: cron, Interval: interval, Start: orderStart,
			CatchUp: ledger.CatchUpNone, Reference: reference,
		})
		return err
	}
	err := order(people[0], teenager, "15.00", "pocket money", "0 8 * * 6", 0)
	for i, name := range people {
		switch {
		case err != nil:
		case i%4 == 0:
			err = order(name, landlord, "640.00", "rent", "0 6 1 * *", 0)
		case i%4 == 1:
			err = order(name, streaming, "11.99", "streaming", fmt.Sprintf("30 7 %d * *", 1+i%28), 0)
		case i%4 == 2:
			err = order(name, gym, "1.50", "gym locker", "", time.Duration(5+i%7)*time.Minute)
		default:
			err = order(name, fund, "0.50", "save a little", "", time.Duration(90+15*i)*time.Second)
		}
	}
	return err
}

// orderStart is when all schedules begin: what they missed is not made up for.
var orderStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
