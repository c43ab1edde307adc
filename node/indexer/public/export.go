package public

import (
	"bufio"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// Limits of long downloads, in all and of an address, and of one write to a reader.
const (
	exportsMost  = 8
	exportsEach  = 2
	exportWithin = 30 * time.Second
)

// Exports say what can be taken away as a file, at /export/TABLE.csv and /export/TABLE.parquet.
type Exports struct {
	Schema string        `json:"schema"`
	Tables []ExportTable `json:"tables"`
}

// ExportTable is one file. Where it has first and last, take it day by day: from=DAY&until=NEXT; a day that is over
// never changes, so what was taken need not be taken again. Without them it is of now.
type ExportTable struct {
	Table   string         `json:"table"`
	About   string         `json:"about"`
	First   rest.Time      `json:"first,omitzero"` // of the first row
	Last    rest.Time      `json:"last,omitzero"`  // of the last row
	BySlug  bool           `json:"by_slug"`        // slug narrows it to one model
	Columns []ExportColumn `json:"columns"`
}

// ExportColumn is one of a file. Amounts are int64 in the smallest unit of the row's mint.
type ExportColumn struct {
	Name string `json:"name"`
	Type string `json:"type" enum:"text,int64,bool,timestamp"`
}

// downloads are the routes of long files.
type downloads struct {
	index *db.DB
	slots *rest.Slots
}

func newDownloads(index *db.DB) downloads {
	return downloads{index, &rest.Slots{What: "downloads", Most: exportsMost, Each: exportsEach}}
}

func (e downloads) routes() []rest.Route {
	return []rest.Route{
		rest.GetCached("/export", "exports", "what can be taken away as a file", e.manifest, "sums", "chain", "signed"),
		rest.Stream("GET", "/export/{file}", "export", "a table as CSV or Parquet", e.serve).In(rest.ScopeNone).
			Says(exportAbout).Gives(200, "text/csv", "the rows, as they are read").
			Or("application/vnd.apache.parquet").Fails(market.CodeNotFound, market.CodeBusy),
	}
}

const exportAbout = "TABLE.csv or TABLE.parquet, of the tables of /export. A file comes as it is read, and a " +
	"connection that is cut leaves one without its end: in chunked transfer that is an error, and a Parquet file " +
	"without its footer is none. Texts of CSV that a spreadsheet would take for a formula begin with an apostrophe. " +
	"Two downloads of an address at a time."

func (e downloads) manifest(ctx context.Context, _ *none) (out Exports, err error) {
	out = Exports{Schema: "gpuai.public-exports/v1", Tables: []ExportTable{}}
	for _, name := range slices.Sorted(maps.Keys(exports)) {
		x := exports[name]
		t := ExportTable{Table: name, About: x.about, BySlug: x.slugs, Columns: []ExportColumn{}}
		if x.extent != nil {
			first, last, err := x.extent(ctx, e.index.Bulk())
			if err != nil {
				return out, err
			}
			t.First, t.Last = at(first), at(last)
		}
		for _, c := range x.columns {
			t.Columns = append(t.Columns, ExportColumn(c))
		}
		out.Tables = append(out.Tables, t)
	}
	return out, nil
}

type exportIn struct {
	File  string    `path:"file" maxLength:"40" doc:"TABLE.csv or TABLE.parquet" example:"prices.csv"`
	From  time.Time `query:"from" doc:"rows from this time on"`
	Until time.Time `query:"until" doc:"rows before this time"`
	Slug  string    `query:"slug" maxLength:"32" doc:"of one model"`
}

func (e downloads) serve(w http.ResponseWriter, r *http.Request, in *exportIn) error {
	name, form, _ := strings.Cut(in.File, ".")
	x, known := exports[name]
	media := map[string]string{"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}[form]
	switch {
	case !known || media == "":
		return missing("table to take away")
	case !x.timed && !(in.From.IsZero() && in.Until.IsZero()):
		return rest.Usage(http.StatusBadRequest, "this table is of now: it has no from and until")
	case in.Slug != "" && (!x.slugs || !market.ValidClass(in.Slug)):
		return rest.Usage(http.StatusBadRequest, "slug is no model, or this table is not of models")
	}
	h := w.Header()
	if r.Method == http.MethodHead { // nobody reads the rows
		h.Set("Content-Type", media)
		return nil
	}
	leave, err := e.slots.Enter(r)
	if err != nil {
		return err
	}
	defer leave()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", `attachment; filename="gpuai-`+name+"."+form+`"`)
	write := x.csv
	if form == "parquet" {
		write = x.parquet
	}
	rc := http.NewResponseController(w)
	defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // the connection may serve others
	to := deadlines{bufio.NewWriterSize(timed{w, rc}, 64<<10)}
	q := asked{Span: db.Span{From: in.From, Until: in.Until}, slug: in.Slug}
	if err := write(r.Context(), e.index.Bulk(), q, to); err != nil {
		return err
	}
	return to.Flush()
}

// deadlines is an answer whose every write has a deadline of its own: a reader that stands still is dropped.
type deadlines struct{ *bufio.Writer }

type timed struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Write implements io.Writer.
func (t timed) Write(b []byte) (int, error) {
	_ = t.rc.SetWriteDeadline(time.Now().Add(exportWithin)) // where it is not supported a write may take long
	return t.ResponseWriter.Write(b)
}
