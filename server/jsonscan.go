package server

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// jsonDepthMax is how deep objects and arrays may nest before the scanner gives up. The API's
// messages are four deep at most, so anything deeper is none of them, and protojson refuses it by
// the name of its first unknown field.
const jsonDepthMax = 100

// A jsonScanner walks over JSON text beside the plan of a message, without recursion. It checks
// only as much of the grammar as it needs to know where it is; what it gives up on, protojson
// refuses.
type jsonScanner struct {
	data  []byte
	pos   int
	stop  int // scanning ends at the first name or value that starts here or later
	stack []jsonFrame
	crowd bool // the innermost object or array has more items than it may, which ended the scan

	// What is written instead of data, when rewrite is set: data up to copied, with the numbers at
	// decimal fields quoted.
	rewrite bool
	out     []byte
	copied  int
}

// A jsonFrame is an object or array that the scanner is in.
type jsonFrame struct {
	array bool
	isMap bool
	plan  *jsonPlan  // of an object; nil: its fields are not known
	field *jsonField // the field read last in an object, or what an array holds; nil: not known
	name  []byte     // the name read last in an object, with its quotes; nil between its fields
	index int        // of the item or the name
	most  int        // how many there may be
}

// quoteDecimals returns data with every number at a decimal field made a string, digit by digit the
// same, and everything else unchanged. It stops at the first place where the JSON is malformed or
// nested too deeply. The numbers before are still quoted, so that protojson reports the fault and
// not a number ahead of it. It fails when a list or a map has too many items.
func quoteDecimals(data []byte, plan *jsonPlan) ([]byte, error) {
	s := jsonScanner{data: data, stop: math.MaxInt, rewrite: true}
	if s.scan(plan); s.crowd {
		return nil, s.tooMany()
	}
	if s.out == nil {
		return data, nil
	}
	return append(s.out, data[s.copied:]...), nil
}

// checkJSONBounds refuses JSON in which a list or a map has too many items.
func checkJSONBounds(data []byte, plan *jsonPlan) *decodeError {
	s := jsonScanner{data: data, stop: math.MaxInt}
	if s.scan(plan); s.crowd {
		return s.tooMany()
	}
	return nil
}

// tooMany returns the error that ended the scan.
func (s *jsonScanner) tooMany() *decodeError {
	most := s.stack[len(s.stack)-1].most
	s.stack = s.stack[:len(s.stack)-1]
	return tooMany(s.path(), most)
}

// jsonPathAt names the field at or around an offset, such as transfers[3].amount; empty: none. A
// negative offset is the place where the JSON stops being well-formed.
func jsonPathAt(data []byte, plan *jsonPlan, offset int) string {
	s := jsonScanner{data: data, stop: offset}
	if offset < 0 {
		s.stop = math.MaxInt
	}
	if s.scan(plan) {
		return ""
	}
	return s.path()
}

// scan reports whether the whole text was one value.
func (s *jsonScanner) scan(plan *jsonPlan) bool {
	field := &jsonField{message: plan, most: math.MaxInt}
	for {
		var opened, more, ok bool
		if opened, ok = s.value(field); !ok {
			return false
		}
		if opened {
			more, ok = s.enter()
		}
		for ok && !more {
			if len(s.stack) == 0 {
				s.skipSpace()
				return s.pos == len(s.data)
			}
			more, ok = s.leave()
		}
		if !ok {
			return false
		}
		if field, ok = s.next(); !ok {
			return false
		}
	}
}

// value passes over a scalar, or opens an object or array.
func (s *jsonScanner) value(field *jsonField) (opened, ok bool) {
	s.skipSpace()
	if s.pos >= len(s.data) || s.pos >= s.stop {
		return false, false
	}
	switch c := s.data[s.pos]; c {
	case '{', '[':
		if len(s.stack) == jsonDepthMax {
			return false, false
		}
		frame := jsonFrame{array: c == '[', most: math.MaxInt}
		if field != nil {
			frame.isMap = field.isMap
			if frame.isMap || frame.array {
				frame.most = field.most
			}
			if frame.array {
				frame.field = field.element
			} else {
				frame.plan = field.message
			}
		}
		s.stack = append(s.stack, frame)
		s.pos++
		return true, true
	case '"':
		return false, s.skipString()
	case 't':
		return false, s.skipWord("true")
	case 'f':
		return false, s.skipWord("false")
	case 'n':
		return false, s.skipWord("null")
	default:
		start := s.pos
		if !s.skipNumber() {
			return false, false
		}
		if s.rewrite && field != nil && field.decimal {
			s.quote(start)
		}
		return false, true
	}
}

func (s *jsonScanner) quote(start int) {
	if s.out == nil {
		s.out = make([]byte, 0, len(s.data)+len(s.data)/8+16)
	}
	s.out = append(s.out, s.data[s.copied:start]...)
	s.out = append(s.out, '"')
	s.out = append(s.out, s.data[start:s.pos]...)
	s.out = append(s.out, '"')
	s.copied = s.pos
}

// enter stands behind an opening bracket. It reports whether something is inside; if not, it passes
// the closing one.
func (s *jsonScanner) enter() (more, ok bool) {
	s.skipSpace()
	if s.pos >= len(s.data) {
		return false, false
	}
	if s.data[s.pos] == s.stack[len(s.stack)-1].closing() {
		s.close()
		return false, true
	}
	return true, true
}

// leave stands behind a value. It passes a comma, and then more follows, or a closing bracket.
func (s *jsonScanner) leave() (more, ok bool) {
	s.skipSpace()
	top := &s.stack[len(s.stack)-1]
	if s.pos >= len(s.data) {
		top.name = nil
		return false, false
	}
	switch s.data[s.pos] {
	case ',':
		s.pos++
		top.name = nil
		top.index++
		return true, true
	case top.closing():
		s.close()
		return false, true
	default:
		return false, false
	}
}

// next stands before an item of an array or a name of an object, passes the name, and returns what
// is known of the value that follows.
func (s *jsonScanner) next() (field *jsonField, ok bool) {
	top := &s.stack[len(s.stack)-1]
	if top.index >= top.most {
		s.crowd = true
		return nil, false
	}
	if top.array {
		return top.field, true
	}
	s.skipSpace()
	start := s.pos
	if start >= len(s.data) || s.data[start] != '"' || !s.skipString() {
		return nil, false
	}
	top.name = s.data[start:s.pos]
	top.field = nil
	if top.plan != nil {
		top.field = top.plan.lookup(top.name)
	}
	if start >= s.stop {
		return nil, false
	}
	s.skipSpace()
	if s.pos >= len(s.data) || s.data[s.pos] != ':' {
		return nil, false
	}
	s.pos++
	return top.field, true
}

// lookup finds a field by a name as it stands in the text, with its quotes and escapes.
func (p *jsonPlan) lookup(quoted []byte) *jsonField {
	if field, ok := p.fields[string(quoted[1:len(quoted)-1])]; ok {
		return field
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return nil
	}
	return p.fields[unquoteName(quoted)]
}

func unquoteName(quoted []byte) string {
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return string(quoted[1 : len(quoted)-1])
	}
	return name
}

func (s *jsonScanner) close() {
	s.stack = s.stack[:len(s.stack)-1]
	s.pos++
}

func (f *jsonFrame) closing() byte {
	if f.array {
		return ']'
	}
	return '}'
}

func (s *jsonScanner) skipSpace() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *jsonScanner) skipString() bool {
	for i := s.pos + 1; i < len(s.data); i++ {
		switch s.data[i] {
		case '\\':
			i++
		case '"':
			s.pos = i + 1
			return true
		}
	}
	return false
}

func (s *jsonScanner) skipWord(word string) bool {
	end := s.pos + len(word)
	if end > len(s.data) || string(s.data[s.pos:end]) != word {
		return false
	}
	s.pos = end
	return true
}

// skipNumber takes exactly what the JSON grammar calls a number, so that quoting never makes valid
// what was not.
func (s *jsonScanner) skipNumber() bool {
	i := s.pos
	digits := func() bool {
		from := i
		for i < len(s.data) && s.data[i] >= '0' && s.data[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(chars string) bool { return i < len(s.data) && strings.IndexByte(chars, s.data[i]) >= 0 }
	if at("-") {
		i++
	}
	if at("0") {
		i++
	} else if !digits() {
		return false
	}
	if at(".") {
		i++
		if !digits() {
			return false
		}
	}
	if at("eE") {
		i++
		if at("+-") {
			i++
		}
		if !digits() {
			return false
		}
	}
	s.pos = i
	return true
}

// path names the scanner's place, by the names of the proto file as far as they are known.
func (s *jsonScanner) path() string {
	var path strings.Builder
	for i := range s.stack {
		frame := &s.stack[i]
		switch {
		case frame.array:
			if path.Len() > 0 { // an index alone would mean nothing
				path.WriteString("[" + strconv.Itoa(frame.index) + "]")
			}
		case frame.name == nil:
		case frame.isMap:
			path.WriteString("[" + strconv.Quote(clip(unquoteName(frame.name), 64)) + "]")
		default:
			if path.Len() > 0 {
				path.WriteByte('.')
			}
			if frame.field != nil {
				path.WriteString(frame.field.name)
			} else {
				path.WriteString(strings.Trim(strconv.Quote(clip(unquoteName(frame.name), 64)), `"`))
			}
		}
	}
	return path.String()
}
