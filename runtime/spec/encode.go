package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
)

// MarshalJSON writes the job file that says the same: what differs from the defaults, in the order of the table.
func (f File) MarshalJSON() ([]byte, error) { return f.Document(), nil }

// Document is the job file as JSON.
func (f File) Document() []byte {
	doc := writeKeys(f.keys())
	if doc == nil {
		doc = object()
	}
	doc.subtract(defaults())
	doc.keys = append([]pair{{word("schema"), word(schemaID)}}, doc.keys...)
	return doc.json(nil)
}

// UnmarshalJSON reads what MarshalJSON wrote, by whatever version: keys that this one does not know are left out, and
// values that it would refuse are kept. It is for the own store and the own node's answers; a job from outside goes
// through ParseFile. Error: no JSON.
func (f *File) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	n, err := readJSON(dec, 0)
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	*f, _ = decodeFile(n)
	return nil
}

var defaults = sync.OnceValue(func() *node {
	f := blankFile()
	return writeKeys(f.keys())
})

// writeKeys is the mapping of all keys that have a value; nil: none has.
func writeKeys(keys []key) *node {
	m := object()
	for _, k := range keys {
		if v := k.value.write(); v != nil {
			m.set(k.name, v)
		}
	}
	if len(m.keys) == 0 {
		return nil
	}
	return m
}

// subtract removes what another mapping says, too.
func (n *node) subtract(other *node) {
	kept := n.keys[:0]
	for _, p := range n.keys {
		o := other.get(p.key.text)
		switch {
		case o != nil && o.kind == nodeMap && p.value.kind == nodeMap:
			if p.value.subtract(o); len(p.value.keys) == 0 {
				continue
			}
		case o != nil && bytes.Equal(o.json(nil), p.value.json(nil)):
			continue
		}
		kept = append(kept, p)
	}
	n.keys = kept
}

// json appends the tree as JSON.
func (n *node) json(b []byte) []byte {
	switch n.kind {
	case nodeNull:
		return append(b, "null"...)
	case nodeList:
		b = append(b, '[')
		for i, x := range n.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = x.json(b)
		}
		return append(b, ']')
	case nodeMap:
		b = append(b, '{')
		for i, p := range n.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(p.key.json(b), ':')
			b = p.value.json(b)
		}
		return append(b, '}')
	}
	if !n.quoted {
		return append(b, n.text...)
	}
	text, _ := json.Marshal(n.text) // text always marshals
	return append(b, text...)
}

// readJSON reads one value as the tree of a job file, without places.
func readJSON(dec *json.Decoder, depth int) (*node, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("more than %d levels", maxNesting)
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := t.(type) {
	case json.Delim:
		return readInside(dec, v == '{', depth)
	case nil:
		return &node{kind: nodeNull}, nil
	case string:
		return word(v), nil
	default:
		return number(fmt.Sprint(v)), nil
	}
}

func readInside(dec *json.Decoder, mapping bool, depth int) (*node, error) {
	n := &node{kind: nodeList}
	if mapping {
		n.kind = nodeMap
	}
	for dec.More() {
		var k *node
		if mapping {
			t, err := dec.Token()
			if err != nil {
				return nil, err
			}
			k = word(fmt.Sprint(t))
		}
		v, err := readJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if mapping {
			n.keys = append(n.keys, pair{k, v})
		} else {
			n.list = append(n.list, v)
		}
	}
	_, err := dec.Token()
	return n, err
}
