package ledger

import (
	"regexp"
	"time"
)

// MissedAfter is how late an occurrence counts as missed, for catch-up policies.
const MissedAfter = time.Minute

// A Recurrence is when a schedule has its occurrences: by a cron expression in a zone, or at equal
// intervals. Its times are whole microseconds, at least a second apart.
type Recurrence struct {
	cron     *cron          // nil: by interval
	zone     *time.Location // of cron
	interval time.Duration  // 1 s to 100 years
	Start    time.Time      // no occurrence is before it; by interval the first is at it
	end      time.Time      // exclusive; timeMax: none
}

// Next returns the first occurrence after a time; false: there is none.
func (r *Recurrence) Next(after time.Time) (time.Time, bool) {
	if after.Before(r.Start) {
		after = r.Start.Add(-time.Microsecond)
	}
	var t time.Time
	if r.cron == nil {
		t = r.every(after)
	} else {
		t = r.named(after)
	}
	return t, !t.IsZero() && t.Before(r.end)
}

// every is the first occurrence after a time by interval. It counts in microseconds since 1970: a
// time.Duration spans no more than 292 years.
func (r *Recurrence) every(after time.Time) time.Time {
	if after.Before(r.Start) {
		return r.Start
	}
	start, step := r.Start.UnixMicro(), r.interval.Microseconds()
	n := (after.UnixMicro()-start)/step + 1
	return time.UnixMicro(start + n*step).UTC()
}

// named is the first occurrence after a time by the cron expression. A wall time that the zone's
// clocks skip is the moment at which they do. One that comes twice is the first of the two.
func (r *Recurrence) named(after time.Time) time.Time {
	local := after.In(r.zone)
	year, month, day := local.Date()
	hour, minute, second := local.Clock()
	wall := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	for {
		if wall = r.cron.after(wall); wall.IsZero() {
			return wall
		}
		if t := moment(wall, r.zone); t.After(after) {
			return t
		}
	}
}

// moment is when the clocks of a zone show the wall time, by the rules of named.
func moment(wall time.Time, zone *time.Location) time.Time {
	year, month, day := wall.Date()
	hour, minute, _ := wall.Clock()
	// Where the clocks change, this uses the offset before or the one after; which is not
	// documented.
	t := time.Date(year, month, day, hour, minute, 0, 0, zone)
	start, end := t.ZoneBounds()
	switch shown := unzoned(t); {
	case shown.After(wall): // skipped, computed with the offset before
		return start.UTC()
	case shown.Before(wall): // skipped, computed with the offset after
		return end.UTC()
	}
	if !start.IsZero() {
		_, offset := start.Add(-1).Zone()
		if first := wall.Add(-time.Duration(offset) * time.Second); first.Before(start) {
			return first
		}
	}
	return t.UTC()
}

// unzoned is what a wall's clock shows at t, to the second.
func unzoned(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// Latest returns the last occurrence at or before until. from is an occurrence.
func (r *Recurrence) Latest(from, until time.Time) time.Time {
	// None of those is after beyond.
	for beyond := until; beyond.Sub(from) >= time.Second; {
		middle := from.Add(beyond.Sub(from) / 2)
		if t, ok := r.Next(middle); ok && !t.After(until) {
			from = t
		} else {
			beyond = middle
		}
	}
	return from
}

// zoneName is what the names of zones look like. Other names that may load are a machine's own
// files, or its local time.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*$`)

// loadZone returns an InvalidError of the field time_zone for a name that is not one of the IANA
// database's.
func loadZone(name string) (*time.Location, error) {
	if zoneName.MatchString(name) && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, &InvalidError{Field: "time_zone", Reason: "is not a name of the IANA time zone database, such as Europe/Berlin"}
}
