package table

import (
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Writer takes rows. Nothing is complete before Close.
type Writer[T any] interface {
	Write(rows []T) error
	Close() error
}

// Column is one of a table, for those who read it.
type Column struct{ Name, Type string }

// Columns are those of a row type, in order.
func Columns[T any]() (out []Column) {
	for _, f := range fields(reflect.TypeFor[T]()) {
		out = append(out, Column{f.name, f.kind})
	}
	return out
}

// field is a column of a row type.
type field struct {
	at       []int
	name     string
	kind     string // text, int64, bool, timestamp
	optional bool
}

// kinds are the types that a row may have.
var kinds = map[reflect.Kind]string{reflect.String: "text", reflect.Int64: "int64", reflect.Bool: "bool"}

func fields(t reflect.Type) (out []field) {
	for _, own := range reflect.VisibleFields(t) {
		if own.Anonymous {
			continue // its fields are columns
		}
		name, rest, _ := strings.Cut(own.Tag.Get("parquet"), ",")
		f := field{own.Index, name, kinds[own.Type.Kind()], strings.Contains(rest, "optional")}
		if strings.Contains(rest, "timestamp(millisecond)") {
			f.kind = "timestamp"
		}
		if f.kind == "" || name == "" {
			// our own mistake
			panic(fmt.Sprintf("%s of %s has no column's name, or a type that no table has", own.Name, t))
		}
		out = append(out, f)
	}
	return out
}

// timeForm of cells: RFC 3339, UTC, milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

type csvWriter[T any] struct {
	w      *csv.Writer
	fields []field
}

// NewCSV writes a line of names, then a line per row. Error: w's.
func NewCSV[T any](w io.Writer) (Writer[T], error) {
	c := &csvWriter[T]{csv.NewWriter(w), fields(reflect.TypeFor[T]())}
	names := make([]string, len(c.fields))
	for i, f := range c.fields {
		names[i] = f.name
	}
	return c, c.w.Write(names)
}

// Write implements Writer.
func (c *csvWriter[T]) Write(rows []T) error {
	cells := make([]string, len(c.fields))
	for _, r := range rows {
		v := reflect.ValueOf(r)
		for i, f := range c.fields {
			cells[i] = f.cell(v.FieldByIndex(f.at))
		}
		if err := c.w.Write(cells); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

// Close implements Writer.
func (c *csvWriter[T]) Close() error {
	c.w.Flush()
	return c.w.Error()
}

func (f field) cell(v reflect.Value) string {
	switch {
	case f.optional && v.IsZero():
		return ""
	case f.kind == "text":
		return harmless(v.String())
	case f.kind == "bool":
		return strconv.FormatBool(v.Bool())
	case f.kind == "timestamp":
		return time.UnixMilli(v.Int()).UTC().Format(timeForm)
	}
	return strconv.FormatInt(v.Int(), 10)
}

// harmless is a text that no spreadsheet takes for a formula: peers name models and the like.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

// groupRows are in one row group of Parquet, which is what a Writer holds in memory.
const groupRows = 16_384

type parquetWriter[T any] struct {
	w    *parquet.GenericWriter[T]
	held int
}

// NewParquet writes groups of rows, and what is in them at the end.
func NewParquet[T any](w io.Writer) Writer[T] {
	return &parquetWriter[T]{w: parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Snappy),
		parquet.CreatedBy("gpuai", "1", "0"))}
}

// Write implements Writer.
func (p *parquetWriter[T]) Write(rows []T) error {
	if _, err := p.w.Write(rows); err != nil {
		return err
	}
	if p.held += len(rows); p.held < groupRows {
		return nil
	}
	p.held = 0
	return p.w.Flush()
}

// Close implements Writer.
func (p *parquetWriter[T]) Close() error { return p.w.Close() }
