package webhook

import (
	"context"
	"syscall"

	"github.com/google/uuid"

	"internaltransfers/ledger"
)

// StartLooking is Start, and calls looked each time after a pump has read what is due.
func StartLooking(config Config, looked func(id uuid.UUID)) (*Deliverer, error) {
	d, err := newDeliverer(config)
	if err != nil {
		return nil, err
	}
	due := d.due
	d.due = func(ctx context.Context, id uuid.UUID, underWay []int64, limit int) ([]ledger.DueDelivery, error) {
		deliveries, err := due(ctx, id, underWay, limit)
		looked(id)
		return deliveries, err
	}
	d.start()
	return d, nil
}

// Kill ends everything as a crash does: nothing more is written, and nothing is released.
func (d *Deliverer) Kill() {
	d.stop()
	<-d.ended
	for _, p := range d.pumps {
		<-p.done
	}
}

// Dial answers what the dialer says before it connects to an address.
func Dial(network, address string) error {
	return newDialer(false).Control(network, address, syscall.RawConn(nil))
}

// FailureText is failureText.
var FailureText = failureText

// Backoff is backoff.
var Backoff = backoff[:]
