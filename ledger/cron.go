package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A cron is a parsed cron expression: the minutes, hours, days and months that it names, as sets of bits.
//
// It knows only a calendar without zones; recurrence puts its times into one. The cron libraries for Go look for the next
// time within the zone, and lose or double occurrences where the clocks of some zone change. And what an expression means
// decides which transfers are made, so it must not change with a library's version.
type cron struct {
	minutes, hours, daysOfMonth, months, daysOfWeek uint64

	// eitherDay: both day fields are restricted, so that a day counts that one of them names. As in crontab, a field is
	// restricted when it does not begin with a star.
	eitherDay bool
}

// A cronField is what may stand at one of the five places of an expression.
type cronField struct {
	name     string
	min, max int
	names    []string // of min, min+1, …; none: only numbers
}

var cronFields = [...]cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
	{"day of week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}, // 7 is Sunday, too
}

// parseCron reads an expression; the error is an InvalidError of the field cron that says what is wrong.
func parseCron(text string) (*cron, error) {
	places := strings.Fields(text)
	if len(places) != len(cronFields) {
		return nil, &InvalidError{Field: "cron", Reason: fmt.Sprintf(
			"must have five fields (minute, hour, day of month, month, day of week), not %d", len(places))}
	}
	var sets [len(cronFields)]uint64
	for i := range cronFields {
		var wrong string
		if sets[i], wrong = cronFields[i].parse(places[i]); wrong != "" {
			return nil, &InvalidError{Field: "cron", Reason: cronFields[i].name + ": " + wrong}
		}
	}
	c := &cron{minutes: sets[0], hours: sets[1], daysOfMonth: sets[2], months: sets[3], daysOfWeek: sets[4]}
	c.daysOfWeek |= c.daysOfWeek >> 7 & 1
	c.eitherDay = places[2][0] != '*' && places[4][0] != '*'
	return c, nil
}

// parse reads a list of values, ranges and steps, or says what is wrong with it.
func (f *cronField) parse(text string) (set uint64, wrong string) {
	for _, part := range strings.Split(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		low, high, wrong := f.span(span)
		if wrong != "" {
			return 0, wrong
		}
		step := 1
		if stepped {
			if span != "*" && !strings.Contains(span, "-") {
				return 0, fmt.Sprintf("%q: a step follows * or a range", part)
			}
			var ok bool
			if step, ok = digits(stepText); !ok || step < 1 || step > f.max {
				return 0, fmt.Sprintf("%q: the step must be 1 to %d", part, f.max)
			}
		}
		for v := low; v <= high; v += step {
			set |= 1 << v
		}
	}
	return set, ""
}

// span reads a star, a value or a range.
func (f *cronField) span(text string) (low, high int, wrong string) {
	if text == "*" {
		return f.min, f.max, ""
	}
	lowText, highText, ranged := strings.Cut(text, "-")
	low, ok := f.value(lowText)
	if !ok {
		return 0, 0, f.unknown(lowText)
	}
	if !ranged {
		return low, low, ""
	}
	high, ok = f.value(highText)
	switch {
	case !ok:
		return 0, 0, f.unknown(highText)
	case high < low:
		return 0, 0, fmt.Sprintf("the range %q runs backwards", text)
	}
	return low, high, ""
}

func (f *cronField) unknown(text string) string {
	or := ""
	if f.names != nil {
		or = " or a name such as " + f.names[1]
	}
	return fmt.Sprintf("%q is not %d to %d%s", text, f.min, f.max, or)
}

// value reads a number or a name.
func (f *cronField) value(text string) (int, bool) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.min + i, true
		}
	}
	n, ok := digits(text)
	return n, ok && n >= f.min && n <= f.max
}

// digits reads a number of one or two digits.
func digits(text string) (int, bool) {
	if len(text) > 2 || strings.ContainsAny(text, "+-") {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// cronYears is how far the next time is looked for: the calendar, with its days of the week, repeats itself after 400
// years, so what does not happen in these never does.
const cronYears = 400

// after answers the first minute after wall that the expression names; zero: there is none in the years to 9999. Both
// are the figures of a clock on a wall, in no zone, which time.UTC stands for.
func (c *cron) after(wall time.Time) time.Time {
	t := wall.Truncate(time.Minute).Add(time.Minute)
	for last := min(t.Year()+cronYears, timeMax.Year()); t.Year() <= last; {
		switch year, month, day := t.Date(); {
		case c.months>>month&1 == 0:
			t = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.names(day, t.Weekday()):
			t = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
		case c.hours>>t.Hour()&1 == 0:
			t = t.Truncate(time.Hour).Add(time.Hour)
		case c.minutes>>t.Minute()&1 == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// names reports whether the expression names a day.
func (c *cron) names(day int, weekday time.Weekday) bool {
	ofMonth, ofWeek := c.daysOfMonth>>day&1 != 0, c.daysOfWeek>>weekday&1 != 0
	if c.eitherDay {
		return ofMonth || ofWeek
	}
	return ofMonth && ofWeek
}
