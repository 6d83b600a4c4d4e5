package ledger

import (
	"cmp"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// ScheduleStatus is where a schedule is in its life. The names are those of
// transfers.v1.Schedule.Status.
type ScheduleStatus string

// The statuses of a schedule.
const (
	ScheduleActive  ScheduleStatus = "ACTIVE"
	SchedulePaused  ScheduleStatus = "PAUSED"
	ScheduleEnded   ScheduleStatus = "ENDED"   // nothing is to come
	ScheduleDeleted ScheduleStatus = "DELETED" // final
)

// CatchUp says what is done about occurrences that were missed. The names are those of
// transfers.v1.Schedule.CatchUp.
type CatchUp string

// The ways to catch up.
const (
	CatchUpAll    CatchUp = "ALL"    // make each, late
	CatchUpLatest CatchUp = "LATEST" // make the last of them, late, unless one is due in time
	CatchUpNone   CatchUp = "NONE"   // make none
)

const (
	intervalMin = time.Second
	intervalMax = 100 * 8766 * time.Hour // 100 years
)

// A Schedule is transfers that happen again and again.
type Schedule struct {
	ID              uuid.UUID
	From, To        uuid.UUID
	Amount          decimal.Decimal
	Currency        string
	Scale           int32         // of the currency, so that the amount can be printed
	Cron            string        // empty: by interval
	TimeZone        string        // of Cron; empty: by interval
	Interval        time.Duration // 0: by cron
	Start           time.Time     // no occurrence is before it; by interval the first is at it
	End             *time.Time    // exclusive; nil: none
	MaxCount        *int64        // occurrences, refused ones included; nil: any
	CatchUp         CatchUp
	Reference       string
	Metadata        map[string]string
	Status          ScheduleStatus
	Next            *time.Time // when the next occurrence is due; nil: none is to come
	OccurrenceCount int64      // occurrences that were made, refused ones included
	LastTransferID  uuid.UUID  // of the latest occurrence; uuid.Nil: none yet
	CreateTime      time.Time
	UpdateTime      time.Time
	Version         int64
}

// ScheduleParams are the parameters of CreateSchedule.
type ScheduleParams struct {
	ID        uuid.UUID // the idempotency key; uuid.Nil: a version 7 id is made
	From, To  uuid.UUID // must differ
	Amount    decimal.Decimal
	Cron      string        // five fields; or
	Interval  time.Duration // 1 s to 100 years, whole microseconds
	TimeZone  string        // of Cron, an IANA name; empty: UTC
	Start     time.Time     // zero: now
	End       time.Time     // exclusive; zero: none
	MaxCount  *int64        // nil: any
	CatchUp   CatchUp       // empty: ALL
	Reference string        // empty: the id
	Metadata  map[string]string
	DryRun    bool // report what would happen, change nothing
	NoIssue   bool // the caller must not pay from an equity account
}

// Check returns an InvalidError for what no schedule can be, and fills in the defaults. The
// recurrence has no start yet when none is given.
func (p *ScheduleParams) Check() (Recurrence, error) {
	var r Recurrence
	if err := checkAccounts(p.From, p.To); err != nil {
		return r, err
	}
	if err := checkNewAmount(p.Amount); err != nil {
		return r, err
	}
	if err := checkTexts(p.Reference, p.Metadata); err != nil {
		return r, err
	}
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	p.Reference = cmp.Or(p.Reference, p.ID.String())
	p.CatchUp = cmp.Or(p.CatchUp, CatchUpAll)
	switch p.CatchUp {
	case CatchUpAll, CatchUpLatest, CatchUpNone:
	default:
		return r, &InvalidError{Field: "catch_up", Reason: "must be ALL, LATEST or NONE"}
	}
	if p.MaxCount != nil && *p.MaxCount < 1 {
		return r, &InvalidError{Field: "max_count", Reason: "must be 1 or more"}
	}
	for _, t := range [...]struct {
		field string
		time  *time.Time
	}{{"start_time", &p.Start}, {"end_time", &p.End}} {
		if t.time.IsZero() {
			continue
		}
		*t.time = CeilMicrosecond(t.time.UTC()) // as they are stored
		if t.time.Before(TimeMin) || t.time.After(TimeMax) {
			return r, &InvalidError{Field: t.field, Reason: "must be in the years 1 to 9999"}
		}
	}
	if !p.End.IsZero() && !p.Start.IsZero() && !p.End.After(p.Start) {
		return r, &InvalidError{Field: "end_time", Reason: "must be after start_time"}
	}
	if p.Cron != "" && p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	return p.Recurrence()
}

// Recurrence reads when the occurrences are.
func (p *ScheduleParams) Recurrence() (Recurrence, error) {
	r := Recurrence{interval: p.Interval, Start: p.Start, end: cmp.Or(p.End, TimeMax)}
	var err error
	switch {
	case p.Cron != "" && p.Interval != 0:
		return r, &InvalidError{Field: "interval", Reason: "must not be set with cron"}
	case p.Cron != "":
		if r.cron, err = parseCron(p.Cron); err != nil {
			return r, err
		}
		r.zone, err = loadZone(p.TimeZone)
		return r, err
	case p.Interval < intervalMin || p.Interval > intervalMax:
		return r, &InvalidError{Field: "interval", Reason: "must be 1 second to 100 years"}
	case p.Interval%time.Microsecond != 0:
		return r, &InvalidError{Field: "interval", Reason: "must be whole microseconds"}
	case p.TimeZone != "":
		return r, &InvalidError{Field: "time_zone", Reason: "is for cron only"}
	}
	return r, nil
}

// Fingerprint hashes the parameters in one spelling, so that a replay differs from a conflict.
func (p *ScheduleParams) Fingerprint() []byte {
	metadata := p.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	return FingerprintOf([]any{
		p.From, p.To, CanonicalAmount(decimal.NewNullDecimal(p.Amount)), p.Cron, p.Interval, p.TimeZone, p.Start, p.End,
		p.MaxCount, p.CatchUp, p.Reference, metadata,
	})
}
