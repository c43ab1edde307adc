package market

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxTermText bounds the text of a query: 64 terms of 16 values fit.
const maxTermText = 8 << 10

// TermError is a fault in a query's text. Line and Column count from 1, in bytes. Code is "bad-usage".
type TermError struct {
	Line, Column int
	Detail       string
}

func (e *TermError) Error() string {
	return fmt.Sprintf("%s at %d:%d%s", e.head(), e.Line, e.Column, e.tail())
}

// head and tail put the position before the suggestion: `unknown field "vrma" at 1:1, did you mean "vram"?`.
func (e *TermError) head() string { h, _, _ := strings.Cut(e.Detail, ", did you"); return h }
func (e *TermError) tail() string { return strings.TrimPrefix(e.Detail, e.head()) }

type termToken struct {
	text string
	at   int
}

type termParser struct {
	src    string
	tokens []termToken
	pos    int
}

// ParseTerms reads a query: terms separated by commas, `vram >= 24GiB, class in (rtx-4090, a100), country not in (DE),
// disk_read >= 1GB/s ?`. A trailing `?` makes a term soft. Terms on one field are merged. Empty text is no terms.
// Errors: *TermError; ErrRange above MaxTerms.
func ParseTerms(text string) ([]Term, error) {
	if len(text) > maxTermText {
		return nil, fmt.Errorf("%w: query longer than %d bytes", ErrRange, maxTermText)
	}
	p := &termParser{src: text}
	if err := p.scan(); err != nil {
		return nil, err
	}
	var out []Term
	for p.pos < len(p.tokens) {
		if len(out) == MaxTerms {
			return nil, fmt.Errorf("%w: more than %d terms", ErrRange, MaxTerms)
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if p.pos < len(p.tokens) {
			if _, err := p.want(","); err != nil {
				return nil, err
			}
			if p.pos == len(p.tokens) {
				return nil, p.fail("a term must follow the comma")
			}
		}
	}
	return MergeTerms(out), nil
}

func (p *termParser) scan() error {
	for i := 0; i < len(p.src); {
		c := p.src[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case strings.IndexByte("(),?", c) >= 0:
			p.tokens = append(p.tokens, termToken{p.src[i : i+1], i})
			i++
		case strings.IndexByte("<>=!", c) >= 0:
			n := 1
			if i+1 < len(p.src) && p.src[i+1] == '=' {
				n = 2
			}
			p.tokens = append(p.tokens, termToken{p.src[i : i+n], i})
			i += n
		default:
			j := i
			for j < len(p.src) && strings.IndexByte(" \t\r\n(),?<>=!", p.src[j]) < 0 {
				if p.src[j] < 0x21 || p.src[j] > 0x7e {
					return p.failAt(j, "unexpected character")
				}
				j++
			}
			p.tokens = append(p.tokens, termToken{p.src[i:j], i})
			i = j
		}
	}
	return nil
}

func (p *termParser) next() (termToken, bool) {
	if p.pos >= len(p.tokens) {
		return termToken{at: len(p.src)}, false
	}
	p.pos++
	return p.tokens[p.pos-1], true
}

func (p *termParser) peek() string {
	if p.pos >= len(p.tokens) {
		return ""
	}
	return p.tokens[p.pos].text
}

func (p *termParser) want(text string) (termToken, error) {
	t, ok := p.next()
	if !ok || t.text != text {
		return t, p.failAt(t.at, fmt.Sprintf("want %q", text))
	}
	return t, nil
}

func (p *termParser) fail(detail string) error {
	at := len(p.src)
	if p.pos < len(p.tokens) {
		at = p.tokens[p.pos].at
	}
	return p.failAt(at, detail)
}

func (p *termParser) failAt(at int, detail string) error {
	before := p.src[:at]
	return &TermError{Line: strings.Count(before, "\n") + 1, Column: at - strings.LastIndexByte(before, '\n'),
		Detail: detail}
}

func (p *termParser) term() (t Term, err error) {
	name, _ := p.next()
	info, ok := FieldByName(name.text)
	if !ok {
		detail := fmt.Sprintf("unknown field %q", name.text)
		if near := nearest(name.text); near != "" {
			detail += fmt.Sprintf(", did you mean %q?", near)
		}
		return t, p.failAt(name.at, detail)
	}
	t.Field = info.ID
	op, ok := p.next()
	switch {
	case !ok:
		return t, p.failAt(op.at, "want >=, <=, =, != or in after "+info.Name)
	case op.text == "not":
		t.Not = true
		if _, err = p.want("in"); err == nil {
			err = p.set(&t)
		}
	case op.text == "in":
		err = p.set(&t)
	default:
		err = p.compare(&t, info, op)
	}
	if err == nil && p.peek() == "?" {
		p.pos++
		t.Soft = true
	}
	return t, err
}

func (p *termParser) set(t *Term) error {
	if _, err := p.want("("); err != nil {
		return err
	}
	for n := 0; ; n++ {
		v, ok := p.next()
		switch {
		case !ok:
			return p.failAt(v.at, "want a value")
		case n == MaxTermValues:
			return p.failAt(v.at, fmt.Sprintf("more than %d values", MaxTermValues))
		}
		if err := p.value(t, v); err != nil {
			return err
		}
		if p.peek() == ")" {
			p.pos++
			return nil
		}
		if _, err := p.want(","); err != nil {
			return err
		}
	}
}

func (p *termParser) value(t *Term, v termToken) error {
	if t.Field == FieldClass {
		if !ValidClass(v.text) {
			return p.failAt(v.at, fmt.Sprintf("%q is no class, write it as in rtx-4090", v.text))
		}
		t.Classes = append(t.Classes, v.text)
		return nil
	}
	x, err := ParseValue(t.Field, v.text)
	if err != nil {
		return p.failAt(v.at, valueFault(err))
	}
	t.In = append(t.In, x)
	return nil
}

// valueFault drops the sentinel's words: the position and the rest already say it.
func valueFault(err error) string {
	for _, e := range []error{ErrFormat, ErrUnit, ErrRange} {
		if errors.Is(err, e) {
			return strings.TrimPrefix(err.Error(), e.Error()+": ")
		}
	}
	return err.Error()
}

func (p *termParser) compare(t *Term, info FieldInfo, op termToken) error {
	v, ok := p.next()
	if !ok {
		return p.failAt(v.at, "want a value")
	}
	equal := op.text == "=" || op.text == "==" || op.text == "!="
	t.Not = op.text == "!="
	switch {
	case !equal && (info.ID == FieldClass || info.Unit == UnitWord || info.Unit == UnitCountry):
		return p.failAt(op.at, fmt.Sprintf("%s has no order, write = or in", info.Name))
	case equal && (info.ID == FieldClass || info.Bits):
		return p.value(t, v)
	}
	r := roundExact
	switch op.text {
	case ">=":
		r = roundUp
	case "<=":
		r = roundDown
	case "=", "==", "!=", ">", "<":
	default:
		return p.failAt(op.at, fmt.Sprintf("%q is no comparison, want >=, <=, =, != or in", op.text))
	}
	x, err := parseValue(info.ID, v.text, r)
	if err != nil {
		return p.failAt(v.at, valueFault(err))
	}
	switch {
	case equal:
		t.Lo, t.Hi, t.HasHi = x, x, true
	case op.text == ">=":
		t.Lo = x
	case op.text == "<=":
		t.Hi, t.HasHi = x, true
	case op.text == ">" && x < 1<<64-1:
		t.Lo = x + 1
	case op.text == "<" && x > 0:
		t.Hi, t.HasHi = x-1, true
	default:
		return p.failAt(v.at, "no value can fit")
	}
	return nil
}

// MergeTerms joins plain ranges of one field with equal softness into one term, at the place of the first. An empty
// intersection keeps both: the query then matches nothing, and the explanation shows it.
func MergeTerms(terms []Term) []Term {
	var out []Term
	for _, t := range terms {
		i := slices.IndexFunc(out, func(o Term) bool {
			return o.Field == t.Field && o.Soft == t.Soft && plainRange(o) && plainRange(t)
		})
		if i < 0 {
			out = append(out, t)
			continue
		}
		m := out[i]
		m.Lo = max(m.Lo, t.Lo)
		if t.HasHi && (!m.HasHi || t.Hi < m.Hi) {
			m.Hi, m.HasHi = t.Hi, true
		}
		if m.HasHi && m.Hi < m.Lo {
			out = append(out, t)
			continue
		}
		out[i] = m
	}
	return out
}

func plainRange(t Term) bool { return t.Field != FieldClass && len(t.In) == 0 && !t.Not }

// nearest names the field that a misspelt one probably means, or "".
func nearest(name string) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return Nearest(name, names, 2)
}
