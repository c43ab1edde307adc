package public

import (
	"log/slog"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/rest/resttest"
)

// TestDocument_GraphQL: the schema is checked in.
func TestDocument_GraphQL(t *testing.T) {
	d, err := db.Open(t.Context(), t.TempDir()+"/index.db")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := rest.New(rest.Options{Title: "t", Version: "1", Base: Base, State: d.Tag}, slog.New(slog.DiscardHandler))
	defer m.Close()
	p := pages{Config{Index: d}}
	m.Add("reads", p.market()...)
	m.Add("reads", p.rigs()...)
	m.Add("reads", deals{p}.routes()...)
	m.Add("reads", p.money()...)
	m.Add("reads", p.index()...)
	m.Add("reads", newDownloads(d).routes()...)
	resttest.Written(t, "../../../docs/reference/public.graphql", []byte(newGraphs(m).schema.SDL()))
}
