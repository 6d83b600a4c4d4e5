package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Days that depend on the month, as https://www.quartz-scheduler.org describes them.
func TestCronDaysOfMonths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, after, want string }{
		{"0 0 L * *", "2026-01-15", "01-31 02-28 03-31 04-30 05-31"},
		{"0 0 l 2 *", "2026-01-15", "02-28 02-28 02-29 02-28"},
		{"0 0 L-3 * *", "2026-01-15", "01-28 02-25 03-28 04-27"},
		{"0 0 L-28 * *", "2026-01-15", "03-03 04-02 05-03 06-02"}, // February has no such day
		{"0 0 L-30 * *", "2026-01-15", "03-01 05-01 07-01 08-01"},
		{"0 0 1,L * *", "2026-01-15", "01-31 02-01 02-28 03-01"},
		{"0 0 L,L-1,10-11 2 *", "2026-01-15", "02-10 02-11 02-27 02-28 02-10"},
		// Of Sundays, and a Saturday.
		{"0 0 15W * *", "2026-01-01", "01-15 02-16 03-16 04-15 05-15 06-15 07-15 08-14"},
		// 1 August is a Saturday.
		{"0 0 1w * *", "2026-01-02", "02-02 03-02 04-01 05-01 06-01 07-01 08-03"},
		// 31 May is a Sunday.
		{"0 0 31W * *", "2026-01-01", "01-30 03-31 05-29 07-31 08-31"},
		// A Saturday, and a Sunday that ends the month.
		{"0 0 28W 2 *", "2026-01-01", "02-27 02-26 02-28 02-28"},
		{"0 0 LW * *", "2026-01-01", "01-30 02-27 03-31 04-30 05-29"},
		{"0 0 15,lw * *", "2026-01-01", "01-15 01-30 02-15 02-27"},
		{"0 0 * * 5L", "2026-01-01", "01-30 02-27 03-27 04-24 05-29"},
		{"0 0 * * friL", "2026-01-01", "01-30 02-27"},
		{"0 0 * * 0L,7L", "2026-01-01", "01-25 02-22"},
		{"0 0 * * 5#2", "2026-01-01", "01-09 02-13 03-13"},
		{"0 0 * * FRI#5", "2026-01-01", "01-30 05-29 07-31"},
		{"0 0 * * MON#1,THU#3", "2026-01-01", "01-05 01-15 02-02 02-19"},
		{"0 0 * * SUN#1", "2026-01-01", "01-04 02-01 03-01"},
		{"0 0 L * MON#1", "2026-01-01", "01-05 01-31 02-02 02-28"}, // either counts
		{"0 0 */1 * FRIL", "2026-01-01", "01-30 02-27"},            // as the star does not restrict
		// Both: last days that are Sundays.
		{"0 0 L * */7", "2026-01-01", "05-31 01-31 02-28 10-31"},
		{"0 0 L-30 2 *", "2026-01-01", "end"},
		{"0 0 30W 2 *", "2026-01-01", "end"},
	} {
		after, err := time.Parse(time.DateOnly, c.after)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Fields(c.want)
		got := occurrences(newRecurrence(t, c.cron, "UTC"), after, len(want))
		for i := range got {
			if got[i] != "end" {
				got[i] = got[i][len("2026-"):len("2026-01-02")]
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s after %s: %v, want %v", c.cron, c.after, got, want)
		}
	}
}

func TestCronDaysOfMonthsRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"* L * * *":       `hour: "L"`,
		"* * * L *":       `month: "L"`,
		"* * L-0 * *":     `day of month: "L-0": L- is followed by 1 to 30`,
		"* * L-31 * *":    `day of month: "L-31"`,
		"* * L- * *":      `day of month: "L-"`,
		"* * L-3W * *":    `day of month: "L-3W"`,
		"* * L/2 * *":     `day of month: "L/2": L and W stand in`,
		"* * 1-L * *":     `day of month: "1-L"`,
		"* * 15L * *":     `day of month: "15L"`,
		"* * W * *":       `day of month: "W": W follows 1 to 31, or L`,
		"* * 32W * *":     `day of month: "32W"`,
		"* * 0W * *":      `day of month: "0W"`,
		"* * 1-5W * *":    `day of month: "1-5W"`,
		"* * *W * *":      `day of month: "*W"`,
		"* * WL * *":      `day of month: "WL"`,
		"* * LW/2 * *":    `day of month: "LW/2"`,
		"* * FRI#2 * *":   `day of month: "FRI#2"`,
		"* * * * L":       `day of week: "L": L follows a day, as in FRIL`,
		"* * * * 8L":      `day of week: "8L"`,
		"* * * * 1-5L":    `day of week: "1-5L"`,
		"* * * * *L":      `day of week: "*L"`,
		"* * * * 5W":      `day of week: "5W"`,
		"* * * * FRI#0":   `day of week: "FRI#0": # stands between a day and 1 to 5`,
		"* * * * FRI#6":   `day of week: "FRI#6"`,
		"* * * * FRI#":    `day of week: "FRI#"`,
		"* * * * #1":      `day of week: "#1"`,
		"* * * * 1-5#2":   `day of week: "1-5#2"`,
		"* * * * FRI#2#3": `day of week: "FRI#2#3"`,
		"* * * * FRIL#2":  `day of week: "FRIL#2"`,
		"* * L, * *":      `day of month: ""`,
	} {
		requireNoCron(t, text, says)
	}
}

// The last day of a month ends with its last midnight in the zone, where the clocks go too.
func TestCronLastDayWhereClocksChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, zone, after, want string }{
		{"30 23 L * *", "America/Los_Angeles", "2026-02-28T12:00:00Z", "2026-02-28T23:30-08:00 2026-03-31T23:30-07:00"},
		{"0 0 L * *", "Pacific/Auckland", "2026-09-01T00:00:00Z", "2026-09-30T00:00+13:00 2026-10-31T00:00+13:00"},
		{"30 2 * 3 SUNL", "Europe/Berlin", "2026-03-01T00:00:00Z", "2026-03-29T03:00+02:00 2027-03-28T03:00+02:00"},
		{"30 2 * 10 SUNL", "Europe/Berlin", "2026-03-01T00:00:00Z", "2026-10-25T02:30+02:00 2027-10-31T02:30+02:00"},
		{"30 2 * 3 SUN#2", "America/New_York", "2026-03-01T00:00:00Z", "2026-03-08T03:00-04:00 2027-03-14T03:00-04:00"},
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

// A dayRule is a part of a day field, and which days of a month it names.
type dayRule struct {
	text string
	days func(month []time.Time) []time.Time // of all days of a month
}

func where(month []time.Time, is func(day time.Time) bool) (days []time.Time) {
	for _, day := range month {
		if is(day) {
			days = append(days, day)
		}
	}
	return days
}

// nearestWorkday goes from a day of the month, by index, to the Monday to Friday with the fewest
// days between that the month has.
func nearestWorkday(month []time.Time, from int) []time.Time {
	for distance := 0; from < len(month); distance++ {
		for _, i := range []int{from - distance, from + distance} {
			if i >= 0 && i < len(month) && month[i].Weekday() != time.Saturday && month[i].Weekday() != time.Sunday {
				return month[i : i+1]
			}
		}
	}
	return nil
}

// randomRules are one or two parts of a field of days.
func randomRules(r *rand.Rand, ofWeek bool) (rules []dayRule) {
	for range 1 + r.IntN(2) {
		n, weekday := 1+r.IntN(31), time.Weekday(r.IntN(7))
		ofMonths := []dayRule{
			{fmt.Sprint(n), func(m []time.Time) []time.Time { return where(m, func(d time.Time) bool { return d.Day() == n }) }},
			{"L", func(m []time.Time) []time.Time { return m[len(m)-1:] }},
			{fmt.Sprint("L-", n%30+1), func(m []time.Time) []time.Time {
				i := max(len(m)-1-(n%30+1), -1)
				return m[max(i, 0):max(i+1, 0)]
			}},
			{fmt.Sprint(n, "W"), func(m []time.Time) []time.Time { return nearestWorkday(m, n-1) }},
			{"LW", func(m []time.Time) []time.Time { return nearestWorkday(m, len(m)-1) }},
		}
		ofWeeks := []dayRule{
			{fmt.Sprint(int(weekday)), func(m []time.Time) []time.Time {
				return where(m, func(d time.Time) bool { return d.Weekday() == weekday })
			}},
			{fmt.Sprint(int(weekday), "L"), func(m []time.Time) []time.Time {
				all := where(m, func(d time.Time) bool { return d.Weekday() == weekday })
				return all[len(all)-1:]
			}},
			{fmt.Sprint(int(weekday), "#", n%5+1), func(m []time.Time) []time.Time {
				all := where(m, func(d time.Time) bool { return d.Weekday() == weekday })
				return all[min(n%5, len(all)):min(n%5+1, len(all))]
			}},
		}
		if ofWeek {
			rules = append(rules, ofWeeks[r.IntN(len(ofWeeks))])
		} else {
			rules = append(rules, ofMonths[r.IntN(len(ofMonths))])
		}
	}
	return rules
}

// Expressions name the days that one finds by going through all days of a month.
func TestCronDaysAtRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 400 {
		rules := randomRules(r, false)
		fields := [2]string{"*", "*"}
		which := r.IntN(3)
		if which > 0 { // of the week, alone or beside those of the month
			week := randomRules(r, true)
			fields[1] = texts(week)
			if which == 1 {
				rules = nil
			} else {
				fields[0] = texts(rules)
			}
			rules = append(rules, week...)
		} else {
			fields[0] = texts(rules)
		}
		expression := fmt.Sprintf("0 0 %s * %s", fields[0], fields[1])
		rec := newRecurrence(t, expression, "UTC")
		first := time.Date(1896+r.IntN(210), time.Month(1+r.IntN(12)), 1, 0, 0, 0, 0, time.UTC)
		at := first.Add(-time.Minute)
		for range 14 {
			end := first.AddDate(0, 1, 0)
			var month []time.Time
			for day := first; day.Before(end); day = day.AddDate(0, 0, 1) {
				month = append(month, day)
			}
			want := where(month, func(day time.Time) bool {
				return slices.ContainsFunc(rules, func(rule dayRule) bool { return slices.Contains(rule.days(month), day) })
			})
			var got []time.Time
			for next, ok := rec.Next(at); ok && next.Before(end); next, ok = rec.Next(at) {
				got, at = append(got, next), next
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s in %s:\n got %v\nwant %v", expression, first.Format("2006-01"), got, want)
			}
			first = end
		}
	}
}

func texts(rules []dayRule) string {
	var parts []string
	for _, rule := range rules {
		parts = append(parts, rule.text)
	}
	return strings.Join(parts, ",")
}
