package ledger

import (
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// benchBatchSize is how many commands the steps of a batch are measured with; each alone, without a
// database.
const benchBatchSize = 1000

// benchCommands are a batch's worth of transfers, between two accounts each, or all from one.
var benchCommands = map[string]func() []Command{
	"uniform": func() []Command { return newBenchCommands(func() uuid.UUID { return uuid.New() }) },
	"hot": func() []Command {
		hot := uuid.New()
		return newBenchCommands(func() uuid.UUID { return hot })
	},
}

func newBenchCommands(payer func() uuid.UUID) []Command {
	commands := make([]Command, benchBatchSize)
	for i := range commands {
		commands[i].TransferParams = TransferParams{
			ID: uuid.Must(uuid.NewV7()), From: payer(), To: uuid.New(), Amount: decimal.New(int64(1+i%100), -2),
		}
	}
	return commands
}

// benchStates are the commands' accounts, which never run dry.
func benchStates(commands []Command) map[uuid.UUID]*AccountState {
	states := make(map[uuid.UUID]*AccountState)
	for i := range commands {
		for _, id := range commands[i].Sides() {
			balance := decimal.New(1, 12)
			states[id] = &AccountState{
				Currency: Currency{Code: "USD", Scale: 2}, Status: AccountOpen, Balance: balance,
				Floor: decimal.NewNullDecimal(decimal.Zero),
			}
		}
	}
	return states
}

func reportPerCommand(b *testing.B, commands int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(commands), "ns/command")
}

// BenchmarkFold adds up what the commands do to each account.
func BenchmarkFold(b *testing.B) {
	for name, commands := range benchCommands {
		b.Run(name, func(b *testing.B) {
			batch := commands()
			for b.Loop() {
				NetOf(batch)
			}
			reportPerCommand(b, len(batch))
		})
	}
}

// BenchmarkDecide decides commands that all succeed, each for itself or as one group.
func BenchmarkDecide(b *testing.B) {
	for name, commands := range benchCommands {
		for group, kind := range []string{"single", "atomic"} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				batch := commands()
				for i := range batch {
					batch[i].Group = group
				}
				states := benchStates(batch)
				var d Decision
				for b.Loop() {
					d = Decide(batch, &Snapshot{Accounts: states})
				}
				if !d.AllMove() {
					b.Errorf("a command was refused: %+v", d.Outcomes[0])
				}
				reportPerCommand(b, len(batch))
			})
		}
	}
}
