package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCronRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                              "five fields",
		"* * * *":                       "not 4",
		"0 0 * * * *":                   "not 6",
		"@daily":                        "not 1",
		"CRON_TZ=UTC 0 0 * * *":         "not 6",
		"TZ=UTC 0 * * *":                `minute: "TZ=UTC"`,
		"60 * * * *":                    `minute: "60" is not 0 to 59`,
		"* 24 * * *":                    `hour: "24" is not 0 to 23`,
		"* * 0 * *":                     `day of month: "0" is not 1 to 31`,
		"* * 32 * *":                    `day of month: "32"`,
		"* * * 13 *":                    `month: "13" is not 1 to 12 or a name`,
		"* * * JANUARY *":               `month: "JANUARY"`,
		"* * * * 8":                     `day of week: "8" is not 0 to 7 or a name`,
		"* * * JAN JAN":                 `day of week: "JAN"`,
		"-1 * * * *":                    `minute: ""`,
		"+1 * * * *":                    `minute: "+1"`,
		"1.5 * * * *":                   `minute: "1.5"`,
		"1, * * * *":                    `minute: ""`,
		"1--2 * * * *":                  `minute: "-2"`,
		"50-10 * * * *":                 `"50-10" runs backwards`,
		"5/10 * * * *":                  `"5/10": a step follows * or a range`,
		"*/0 * * * *":                   `"*/0": the step must be 1 to 59`,
		"*/60 * * * *":                  `"*/60": the step must be 1 to 59`,
		"*/-1 * * * *":                  `"*/-1": the step`,
		"*/ * * * *":                    `"*/": the step`,
		"*/1/2 * * * *":                 `the step`,
		"? * * * *":                     `minute: "?"`,
		"9999999999999999999 * * * *":   "minute",
		"0-9999999999999999999 * * * *": "minute",
		"٣ * * * *":                     "minute",
		strings.Repeat("1,", 10_000) + "x * * * *": `minute: "x"`,
	} {
		requireNoCron(t, text, says)
	}
}

func requireNoCron(t *testing.T, text, says string) {
	t.Helper()
	_, err := parseCron(text)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || invalid.Field != "cron" || !strings.Contains(invalid.Reason, says) {
		t.Errorf("%.40q: %v, want one that says %s", text, err, says)
	}
}

// occurrences are the first n after a time.
func occurrences(r Recurrence, after time.Time, n int) []string {
	var times []string
	for len(times) < n {
		next, ok := r.Next(after)
		if !ok {
			return append(times, "end")
		}
		after = next
		times = append(times, after.In(r.zone).Format("2006-01-02T15:04Z07:00"))
	}
	return times
}

func newRecurrence(t testing.TB, text, zone string) Recurrence {
	t.Helper()
	p := ScheduleParams{Cron: text, TimeZone: zone, Start: TimeMin}
	r, err := p.Recurrence()
	if err != nil {
		t.Fatalf("%s in %s: %v", text, zone, err)
	}
	return r
}

func TestCronNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, after, want string }{
		{"* * * * *", "2026-01-31T23:59:00Z", "2026-02-01T00:00Z 2026-02-01T00:01Z"},
		{"*/20 * * * *", "2026-01-31T23:45:00Z", "2026-02-01T00:00Z 2026-02-01T00:20Z 2026-02-01T00:40Z 2026-02-01T01:00Z"},
		{"5-15/5,59 3 * * *", "2026-01-31T03:05:00Z", "2026-01-31T03:10Z 2026-01-31T03:15Z 2026-01-31T03:59Z 2026-02-01T03:05Z"},
		{"0 8 1 * *", "2026-01-01T08:00:00Z", "2026-02-01T08:00Z 2026-03-01T08:00Z"},
		{"0 8 31 * *", "2026-01-31T08:00:00Z", "2026-03-31T08:00Z 2026-05-31T08:00Z"},
		{"0 0 29 2 *", "2096-02-29T00:00:00Z", "2104-02-29T00:00Z 2108-02-29T00:00Z"},
		// Also a Sunday.
		{"0 0 29 FEB */7", "2026-01-01T00:00:00Z", "2032-02-29T00:00Z 2060-02-29T00:00Z"},
		{"0 9 * * MON-fri", "2026-01-02T09:00:00Z", "2026-01-05T09:00Z 2026-01-06T09:00Z"},
		{"0 9 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T09:00Z 2026-01-11T09:00Z"},
		{"0 9 * * 6-7", "2026-01-01T00:00:00Z", "2026-01-03T09:00Z 2026-01-04T09:00Z 2026-01-10T09:00Z"},
		{"0 0 13 * 5", "2026-02-01T00:00:00Z", "2026-02-06T00:00Z 2026-02-13T00:00Z 2026-02-20T00:00Z 2026-02-27T00:00Z 2026-03-06T00:00Z 2026-03-13T00:00Z"},
		{"0 0 1-7 * */7", "2026-01-01T00:00:00Z", "2026-01-04T00:00Z 2026-02-01T00:00Z 2026-03-01T00:00Z"},
		{"0 0 */40 * 1", "2026-01-01T00:00:00Z", ""},
		{"0 0 31 2,4,6 *", "2026-01-01T00:00:00Z", "end"},
		{"0 0 30 2 */1", "2026-01-01T00:00:00Z", "end"},
		{"59 23 31 12 *", "9998-12-31T23:59:00Z", "9999-12-31T23:59Z end"},
	} {
		if c.want == "" {
			if _, err := parseCron(c.cron); err == nil {
				t.Errorf("%s is taken", c.cron)
			}
			continue
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(c.want)
		if got := occurrences(newRecurrence(t, c.cron, "UTC"), after, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s after %s: %v, want %v", c.cron, c.after, got, want)
		}
	}
}

// Clocks that go forward skip times, which then are the moment at which they go; clocks that go
// back show times twice, of which the first counts.
func TestCronWhereClocksChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, zone, after, want string }{
		// 02:00 to 03:00 on 29 March, 03:00 to 02:00 on 25 October.
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-28T02:30+01:00 2026-03-29T03:00+02:00 2026-03-30T02:30+02:00"},
		{"*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", "2026-03-29T01:30+01:00 2026-03-29T03:00+02:00 2026-03-29T03:30+02:00"},
		{"0 2,3 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T03:00+02:00 2026-03-30T02:00+02:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T00:30:00Z", "2026-10-25T02:30+02:00 2026-10-26T02:30+01:00"},
		{"*/30 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:00+02:00 2026-10-25T02:30+02:00 2026-10-25T03:00+01:00"},
		{"0 3 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T03:00+01:00 2026-10-26T03:00+01:00"},
		// From within the hour that repeats itself, where 02:30 is over.
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-26T02:30+01:00"},
		{"30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", "2026-11-01T01:30-04:00 2026-11-02T01:30-05:00"},
		// Half an hour, from 02:00 to 02:30 and back.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-04T02:30+11:00 2026-10-05T02:15+11:00"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-05T01:45+11:00 2026-04-06T01:45+10:30"},
		// Midnight itself is skipped.
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T01:00-02:00 2018-11-05T00:00-02:00"},
		{"0 0 4 11 *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T01:00-02:00 2019-11-04T00:00-03:00"},
		// A whole day is: 30 December 2011 was not. Its noon is when it would have begun.
		{"0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-29T12:00-10:00 2011-12-31T00:00+14:00 2011-12-31T12:00+14:00"},
		{"0 2 29 3 *", "Africa/Casablanca", "2026-01-01T00:00:00Z", "2026-03-29T02:00+01:00 2027-03-29T02:00+01:00"},
	} {
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(c.want)
		if got := occurrences(newRecurrence(t, c.cron, c.zone), after, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s in %s after %s: %v, want %v", c.cron, c.zone, c.after, got, want)
		}
	}
}

// namedBySight goes through all minutes of a span and looks at the clock on the wall: the same by
// another way.
func namedBySight(c *cron, zone *time.Location, begin, end time.Time) []time.Time {
	names := func(wall time.Time) bool {
		return c.months>>wall.Month()&1 != 0 && c.names(wall) && c.hours>>wall.Hour()&1 != 0 &&
			c.minutes>>wall.Minute()&1 != 0
	}
	var times []time.Time
	shown := unzoned(begin.Add(-48 * time.Hour).In(zone)) // the latest that the clock has shown
	for t := begin.Add(-48 * time.Hour); t.Before(end); t = t.Add(time.Minute) {
		now := unzoned(t.In(zone))
		named := false
		for shown.Before(now) {
			shown = shown.Add(time.Minute)
			named = named || names(shown)
		}
		if named && t.After(begin) {
			times = append(times, t)
		}
	}
	return times
}

// A walk from one occurrence to the next meets just those that the clock shows, around changes of
// clocks too, and the latest occurrence before any time is the one that the walk met last.
func TestCronAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca",
		"Asia/Kolkata", "Pacific/Apia", "Asia/Gaza", "America/St_Johns", "Antarctica/Troll"}
	field := func(f cronField) string {
		value := func() int { return f.min + r.IntN(f.max-f.min+1) }
		switch r.IntN(5) {
		case 0, 1:
			return "*"
		case 2:
			return fmt.Sprintf("*/%d", 1+r.IntN(f.max))
		case 3:
			a, b := value(), value()
			return fmt.Sprintf("%d-%d/%d,%d", min(a, b), max(a, b), 1+r.IntN(f.max), value())
		default:
			return fmt.Sprint(value())
		}
	}
	met := 0
	for range 400 {
		var text []string
		for _, f := range cronFields {
			text = append(text, field(f))
		}
		rec := newRecurrence(t, strings.Join(text, " "), zones[r.IntN(len(zones))])
		begin := time.Date(2005+r.IntN(30), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		if _, change := begin.In(rec.zone).ZoneBounds(); r.IntN(3) > 0 && !change.IsZero() {
			begin = change.UTC().Truncate(time.Minute).Add(-time.Duration(r.IntN(2880)) * time.Minute)
		}
		end := begin.Add(96 * time.Hour)
		want := namedBySight(rec.cron, rec.zone, begin, end)
		met += len(want)
		var got []time.Time
		for next, ok := rec.Next(begin); ok && next.Before(end); next, ok = rec.Next(next) {
			got = append(got, next)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s after %s:\n got %v\nwant %v", strings.Join(text, " "), rec.zone, begin, got, want)
		}
		if len(got) > 0 {
			i := r.IntN(len(got))
			until := got[i].Add(time.Duration(r.IntN(60)) * time.Second)
			if latest := rec.Latest(got[r.IntN(i+1)], until); !latest.Equal(got[i]) {
				t.Fatalf("%s in %s: the latest until %s is %s, want %s", strings.Join(text, " "), rec.zone, until, latest, got[i])
			}
		}
	}
	if met < 1000 {
		t.Errorf("only %d occurrences: the test shows little", met)
	}
}

// By interval, occurrences are counted from the start, also where a time.Duration does not reach.
func TestInterval(t *testing.T) {
	t.Parallel()
	start := time.Date(2, 1, 1, 0, 0, 0, 250_000, time.UTC)
	r := Recurrence{interval: 3*time.Second + 500*time.Microsecond, Start: start, end: TimeMax}
	if first, ok := r.Next(TimeMin); !ok || !first.Equal(start) {
		t.Errorf("the first is %s, %v", first, ok)
	}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	next, ok := r.Next(now)
	if since := next.UnixMicro() - start.UnixMicro(); !ok || !next.After(now) || next.Sub(now) > r.interval || since%r.interval.Microseconds() != 0 {
		t.Errorf("after %s comes %s, %v", now, next, ok)
	}
	if after, _ := r.Next(next); after.Sub(next) != r.interval {
		t.Errorf("after %s comes %s", next, after)
	}
	if latest := r.Latest(start, next.Add(-1)); !latest.Equal(next.Add(-r.interval)) {
		t.Errorf("before %s comes %s", next, latest)
	}
	if latest := r.Latest(start, next); !latest.Equal(next) {
		t.Errorf("the latest until %s is %s", next, latest)
	}
	r.end = next
	if _, ok := r.Next(now); ok {
		t.Error("there is one at the end")
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT-14", "America/Port-au-Prince", "EST5EDT"} {
		if zone, err := loadZone(name); err != nil || zone.String() != name {
			t.Errorf("%s: %v, %v", name, zone, err)
		}
	}
	for _, name := range []string{
		"", "Local", "localtime", "Europe/Nowhere", "europe/berlin", "Berlin", "CEST", "+02:00", "../etc/passwd", "/etc/localtime",
		"Europe/../UTC", "posix/UTC", "right/UTC", "Europe/", "Europe/Berlin\x00", "Europe/Berlin ", "posixrules", "tzdata.zi",
	} {
		var invalid *InvalidError
		if _, err := loadZone(name); !errors.As(err, &invalid) || invalid.Field != "time_zone" {
			t.Errorf("%q: %v", name, err)
		}
	}
}
