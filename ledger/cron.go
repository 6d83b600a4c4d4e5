package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A cron is a parsed cron expression: the minutes, hours, days and months that it names, as sets of
// bits.
//
// It knows only a calendar without zones; recurrence puts its times into one. The cron libraries
// for Go look for the next time within the zone, and lose or double occurrences where the clocks of
// some zone change. And what an expression means decides which transfers are made, so it must not
// change with a library's version.
type cron struct {
	minutes, hours, daysOfMonth, months, daysOfWeek uint64

	// Days that depend on the month, as sets of bits too.
	beforeLast uint64    // L, L-3: days before the last one
	nearest    uint64    // 15W: days of the month whose nearest Monday to Friday counts
	lastWork   bool      // LW: the last Monday to Friday
	nth        [7]uint64 // FRI#2: by day of the week, which of those in a month
	lastOf     uint64    // FRIL: days of the week whose last in a month counts

	// eitherDay: both day fields are restricted, so that a day counts that one of them names. As in
	// crontab, a field is restricted when it does not begin with a star.
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
	// 7 is Sunday, too.
	{"day of week", 0, 7, []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
}

// parseCron reads an expression; the error is an InvalidError of the field cron that says what is
// wrong.
func parseCron(text string) (*cron, error) {
	places := strings.Fields(text)
	if len(places) != len(cronFields) {
		return nil, &InvalidError{Field: "cron", Reason: fmt.Sprintf(
			"must have five fields (minute, hour, day of month, month, day of week), not %d", len(places))}
	}
	c := &cron{}
	sets := [len(cronFields)]*uint64{&c.minutes, &c.hours, &c.daysOfMonth, &c.months, &c.daysOfWeek}
	special := [len(cronFields)]func(string) (bool, string){2: c.dayOfMonth, 4: c.dayOfWeek}
	for i := range cronFields {
		var wrong string
		if *sets[i], wrong = cronFields[i].parse(places[i], special[i]); wrong != "" {
			return nil, &InvalidError{Field: "cron", Reason: cronFields[i].name + ": " + wrong}
		}
	}
	c.daysOfWeek |= c.daysOfWeek >> 7 & 1
	c.eitherDay = places[2][0] != '*' && places[4][0] != '*'
	return c, nil
}

// parse reads a list of values, ranges and steps, or says what is wrong with it. What special takes
// of it, if there is one, is not in the set.
func (f *cronField) parse(text string, special func(part string) (taken bool, wrong string)) (set uint64, wrong string) {
	for _, part := range strings.Split(text, ",") {
		if special != nil {
			if taken, wrong := special(strings.ToUpper(part)); wrong != "" {
				return 0, wrong
			} else if taken {
				continue
			}
		}
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

// dayOfMonth takes L, L-3, 15W and LW.
func (c *cron) dayOfMonth(part string) (taken bool, wrong string) {
	if before, ok := strings.CutPrefix(part, "L-"); ok {
		n, ok := digits(before)
		if !ok || n < 1 || n > 30 {
			return false, fmt.Sprintf("%q: L- is followed by 1 to 30", part)
		}
		c.beforeLast |= 1 << n
		return true, ""
	}
	if day, ok := strings.CutSuffix(part, "W"); ok && day != "L" {
		n, ok := digits(day)
		if !ok || n < 1 || n > 31 {
			return false, fmt.Sprintf("%q: W follows 1 to 31, or L", part)
		}
		c.nearest |= 1 << n
		return true, ""
	}
	switch {
	case part == "L":
		c.beforeLast |= 1
	case part == "LW":
		c.lastWork = true
	case strings.ContainsAny(part, "LW"):
		return false, fmt.Sprintf("%q: L and W stand in L, L-3, 15W and LW, without ranges and steps", part)
	default:
		return false, ""
	}
	return true, ""
}

// dayOfWeek takes FRIL and FRI#2.
func (c *cron) dayOfWeek(part string) (taken bool, wrong string) {
	f := &cronFields[4]
	day, nth, ok := strings.Cut(part, "#")
	if ok {
		weekday, ok := f.value(day)
		if n, which := digits(nth); ok && which && n >= 1 && n <= 5 {
			c.nth[weekday%7] |= 1 << n
			return true, ""
		}
		return false, fmt.Sprintf("%q: # stands between a day and 1 to 5, as in FRI#2", part)
	}
	if day, ok = strings.CutSuffix(part, "L"); ok {
		weekday, ok := f.value(day)
		if !ok {
			return false, fmt.Sprintf("%q: L follows a day, as in FRIL", part)
		}
		c.lastOf |= 1 << (weekday % 7)
	}
	return ok, ""
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

// cronYears is how far the next time is looked for: the calendar, with its days of the week,
// repeats itself after 400 years, so what does not happen in these never does.
const cronYears = 400

// after returns the first minute after wall that the expression names; zero: there is none in the
// years to 9999. Both are the figures of a clock on a wall, in no zone, which time.UTC stands for.
func (c *cron) after(wall time.Time) time.Time {
	t := wall.Truncate(time.Minute).Add(time.Minute)
	for last := min(t.Year()+cronYears, TimeMax.Year()); t.Year() <= last; {
		switch year, month, day := t.Date(); {
		case c.months>>month&1 == 0:
			t = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.names(t):
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

// names reports whether the expression names the day of a time.
func (c *cron) names(t time.Time) bool {
	year, month, day := t.Date()
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	weekday := t.Weekday()
	ofMonth := c.daysOfMonth>>day&1 != 0 || c.beforeLast>>(last-day)&1 != 0 || c.namesWorkday(day, last, weekday)
	ofWeek := c.daysOfWeek>>weekday&1 != 0 || c.nth[weekday]>>((day+6)/7)&1 != 0 || (day > last-7 && c.lastOf>>weekday&1 != 0)
	if c.eitherDay {
		return ofMonth || ofWeek
	}
	return ofMonth && ofWeek
}

// namesWorkday reports whether a day is the Monday to Friday that is nearest to a day with a W, or
// is LW. Nearest is never in another month.
func (c *cron) namesWorkday(day, last int, weekday time.Weekday) bool {
	names := func(n int) bool { return n >= 1 && n <= last && c.nearest>>n&1 != 0 }
	switch weekday {
	case time.Saturday, time.Sunday:
		return false
	case time.Monday: // of a Sunday, or of a Saturday that begins the month
		return names(day) || names(day-1) || day == 3 && names(1) || c.lastWork && day == last
	case time.Friday: // of a Saturday, or of a Sunday that ends the month
		return names(day) || names(day+1) || day+2 == last && names(last) || c.lastWork && day+2 >= last
	default:
		return names(day) || c.lastWork && day == last
	}
}
