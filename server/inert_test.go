package server

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// inertTexts are references, and how a CSV file has them.
var inertTexts = [][2]string{
	{"", ""},
	{"invoice 12", "invoice 12"},
	{"x=1", "x=1"},
	{"2026-03-01", "2026-03-01"},
	{"it's - fine", "it's - fine"},
	{"a, b; c | d", "a, b; c | d"},
	{"'", "'"},
	{"'quoted'", "'quoted'"},
	{"–dash", "–dash"},
	{"=1+1", "'=1+1"},
	{"+1", "'+1"},
	{"-5.00", "'-5.00"},
	{"@SUM(A1)", "'@SUM(A1)"},
	{"=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"},
	{"\tx", "'\tx"},
	{"\rx", "'\rx"},
	{"\nx", "'\nx"},
	{"\x01x", "'\x01x"},
	{"|x", "'|x"},
	{"%x", "'%x"},
	// Full-width, small, superscript, subscript, two in one, of typographers.
	{"＝1", "'＝1"},
	{"＋1", "'＋1"},
	{"－1", "'－1"},
	{"＠x", "'＠x"},
	{"﹦1", "'﹦1"},
	{"﹢1", "'﹢1"},
	{"﹣1", "'﹣1"},
	{"﹫x", "'﹫x"},
	{"⁼1", "'⁼1"},
	{"₊1", "'₊1"},
	{"⁻1", "'⁻1"},
	{"⩵1", "'⩵1"},
	{"≠1", "'≠1"},
	{"−1", "'−1"},
	// Behind what does not count: spaces and invisible characters.
	{" =1", "' =1"},
	{"\u00a0=1", "'\u00a0=1"},
	{"\u3000＝1", "'\u3000＝1"},
	{"\u2007 @x", "'\u2007 @x"},
	{"\u200b=1", "'\u200b=1"},
	{"\ufeff=1", "'\ufeff=1"},
	{"\u2028-1", "'\u2028-1"},
	{"\u202e\u2066+1", "'\u202e\u2066+1"},
	{"\u3164=1", "'\u3164=1"},
	{"\ufe0f=1", "'\ufe0f=1"},
	{"\u2800=1", "'\u2800=1"},
	{" \tx", "' \tx"},
	// Behind quotes, one of which may be an apostrophe of the text's own.
	{`"=1"`, `'"=1"`},
	{`" =1"`, `'" =1"`},
	{"“=1”", "'“=1”"},
	{"'=1", "''=1"},
	{"''=1", "'''=1"},
	// Behind separators.
	{"a;=1", "a;'=1"},
	{"a; =1;b;-2", "a;' =1;b;'-2"},
	{"a,=1", "a,'=1"},
	{"a|+1", "a|'+1"},
	{"a\t@x", "a\t'@x"},
	{"a\r\n=1", "a\r\n'=1"},
	{`a;"=1"`, `a;'"=1"`},
	{";=1", ";'=1"},
	{"；＝1", "；'＝1"},
	{"a;|b", "a;|b"},
	{"🄁=1", "🄁'=1"}, // its compatible form ends in a comma
	{"\t=1", "'\t'=1"},
	{"a;'=1", "a;''=1"},
}

func TestInertText(t *testing.T) {
	t.Parallel()
	for _, c := range inertTexts {
		if got := inertText(c[0]); got != c[1] {
			t.Errorf("%q became %q, want %q", c[0], got, c[1])
		}
		checkInert(t, c[0])
	}
}

// TestInertTextOfAnything draws texts from the characters that matter.
func TestInertTextOfAnything(t *testing.T) {
	t.Parallel()
	parts := rapid.SampledFrom(append(strings.Split("=+-@|%,;'\"\t\r\n \u00a0\u200b\ufeff\u3000＝－；，⩵⁺−a1é“\u0301\u0338", ""), "\r\n"))
	rapid.Check(t, func(rt *rapid.T) {
		checkInert(rt, strings.Join(rapid.SliceOfN(parts, 0, 12).Draw(rt, "parts"), ""))
		checkInert(rt, rapid.String().Draw(rt, "text"))
	})
}

func FuzzInertText(f *testing.F) {
	for _, c := range inertTexts {
		f.Add(c[0])
	}
	f.Fuzz(func(t *testing.T, text string) { checkInert(t, strings.ToValidUTF8(text, "?")) })
}

// ignored may stand before a cell's beginning, and does not make a text of a formula.
const ignored = "[\\s\\p{Z}\\p{C}\\p{M}\\x{115F}\\x{1160}\\x{2800}\\x{3164}\\x{FFA0}\"'`‘’“”]*"

var (
	formula = regexp.MustCompile("^" + ignored + "[-=+@−]")
	unfit   = regexp.MustCompile("^" + ignored + "[|%]|^" + ignored + "[\\x00-\\x1F\\x7F-\\x9F]")
)

// marked reports whether a cell begins with an apostrophe of inertText.
func marked(cell string, first bool, rest string) bool {
	inner, ok := strings.CutPrefix(cell, "'")
	return ok && isRisky(inner, first, strings.TrimPrefix(rest, "'"))
}

func isRisky(cell string, first bool, text string) bool {
	return formula.MatchString(norm.NFKD.String(cell)) || first && unfit.MatchString(norm.NFKC.String(text))
}

// checkInert splits a result at every separator: no cell is a formula. It removes the apostrophes
// again and requires the original text.
func checkInert(t interface {
	Helper()
	Errorf(string, ...any)
}, text string) {
	t.Helper()
	inert := inertText(text)
	var plain strings.Builder
	begin := 0
	for at, r := range inert + "," { // it ends the last cell
		if !strings.ContainsAny(norm.NFKD.String(string(r)), ",;|\t\r\n") {
			continue
		}
		cell := inert[begin:at]
		was := cell
		if marked(cell, begin == 0, inert[begin:]) {
			was = cell[1:]
		} else if isRisky(cell, begin == 0, inert[begin:]) {
			t.Errorf("%q became %q, of which %q is a formula", text, inert, cell)
		}
		begin = at + utf8.RuneLen(r)
		plain.WriteString(was + (inert + ",")[at:begin])
	}
	if plain.String() != text+"," {
		t.Errorf("%q became %q, which is read as %q", text, inert, plain.String())
	}
}
