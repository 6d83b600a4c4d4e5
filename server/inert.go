package server

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// inertText keeps a caller's text from being run as a formula where the file is opened in a
// spreadsheet: a text that begins like a formula gets an apostrophe before it, as OWASP recommends
// in https://owasp.org/www-community/attacks/CSV_Injection.
//
// A spreadsheet that separates cells otherwise than by commas makes several cells of one text. So
// what follows a separator gets its apostrophe, too. White space, quotes and invisible characters
// hide nothing behind them. An apostrophe counts as a quote: a text that begins with one gets
// another, so that removing the first one gives the original text.
func inertText(text string) string {
	var inert strings.Builder
	taken := 0     // how much of the text is written
	cell := 0      // where the present cell begins
	marked := -1   // the last cell that has its apostrophe
	begun := false // the cell has something that counts
	for i, r := range text {
		for _, c := range compatible(r) {
			if !begun && marked != cell && (startsFormula(c) || (cell == 0 && startsText(c))) {
				inert.WriteString(text[taken:cell])
				inert.WriteByte('\'')
				taken, marked = cell, cell
			}
			if separates(c) {
				cell, begun = i+utf8.RuneLen(r), false
			} else {
				begun = begun || !hides(c)
			}
		}
	}
	inert.WriteString(text[taken:])
	return inert.String()
}

// compatible returns a character in its plainest form: the full-width equals sign is an equals
// sign.
func compatible(r rune) string {
	if r < utf8.RuneSelf {
		return string(r)
	}
	return norm.NFKD.String(string(r))
}

// startsFormula reports whether a cell that begins with r may be a formula. The last character is
// the minus sign of typographers.
func startsFormula(r rune) bool { return strings.ContainsRune("=+-@\u2212", r) }

// startsText reports whether the beginning of a field is best not left to a spreadsheet, though it
// is no formula.
func startsText(r rune) bool { return unicode.IsControl(r) || r == '|' || r == '%' }

// separates reports whether spreadsheets may be set, or guess, to end a cell at r.
func separates(r rune) bool { return strings.ContainsRune(",;|\t\r\n", r) }

// hides reports whether a spreadsheet may look behind the character for a cell's beginning.
func hides(r rune) bool {
	return strings.ContainsRune("\"'`\u2018\u2019\u201C\u201D\u2800", r) || unicode.In(r, unicode.White_Space, unicode.C,
		unicode.M, unicode.Other_Default_Ignorable_Code_Point)
}
