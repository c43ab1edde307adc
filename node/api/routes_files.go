package api

import (
	"context"
	"net/http"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// files are the routes of Files.
type files struct{ b Files }

func (s *files) routes() []rest.Route {
	return []rest.Route{
		rest.Stream("PUT", "/orders/{id}/inputs/{n}", "putInputs", "tar of all inputs, n is 0; the order is placed "+
			"once it is whole. It waits for them for 24 h, also over restarts of the node", s.put).
			In(rest.ScopeJobs).Takes("application/x-tar", "all inputs, in one archive").
			Shows("Done", "it is here").Fails(market.CodeNotFound).
			Fails(market.CodeConflict, market.CodeInputTooBig),
		rest.Stream("GET", "/orders/{id}/outputs/{n}", "getOutputs",
			"verified outputs, n is 0; read to their end they count as fetched", s.get).
			In(rest.ScopeJobs).Gives(200, "application/x-tar", "the outputs, in one archive").
			Fails(market.CodeNotFound).Fails(market.CodeOutputsDropped),
		rest.Get("/spool", "spool", "what the node keeps of orders' files, in bytes, per order", s.spool),
		rest.Call("POST", "/spool/prune", "pruneSpool", "`{\"orders\": [\"order_…\"], \"unfetched\": true}`, both "+
			"optional: frees outputs that were fetched, of these orders or of all that are over; `unfetched`: the "+
			"others too", s.prune).In(rest.ScopeJobs).Fails(market.CodeNotFound).
			Asks(`{"orders": ["order_7hd2kq5mzc3v6w8t4b9n0j1xre"], "unfetched": true}`),
	}
}

type archiveIn struct {
	ByID
	N string `path:"n" doc:"always 0: an order has one archive" example:"0"`
}

// only: one archive holds all inputs, and one all outputs.
func only(n string) error {
	if n != "0" {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find archive",
			Detail: "an order has one archive, number 0", Hint: "see docs/reference/api.md"}
	}
	return nil
}

func (s *files) put(w http.ResponseWriter, r *http.Request, in *archiveIn) error {
	if err := only(in.N); err != nil {
		return err
	}
	if err := s.b.PutInputs(r.Context(), in.ID, r.Body); err != nil {
		return err
	}
	rest.Send(w, http.StatusOK, isDone)
	return nil
}

type outputsIn struct {
	ByID
	N   string `path:"n" doc:"always 0: an order has one archive" example:"0"`
	All bool   `query:"all" doc:"also outputs that \"when: success\" holds back"`
}

func (s *files) get(w http.ResponseWriter, r *http.Request, in *outputsIn) error {
	if err := only(in.N); err != nil {
		return err
	}
	return s.b.GetOutputs(r.Context(), in.ID, in.All, &typed{ResponseWriter: w, media: "application/x-tar"})
}

// typed names the type of an answer with its first byte: an error before it is a problem document.
type typed struct {
	http.ResponseWriter
	media string
	begun bool
}

// Write implements io.Writer.
func (t *typed) Write(b []byte) (int, error) {
	if !t.begun {
		t.begun = true
		t.Header().Set("Content-Type", t.media)
	}
	return t.ResponseWriter.Write(b)
}

func (s *files) spool(ctx context.Context, _ *none) (Spool, error) { return s.b.Spool(ctx) }

type pruneIn struct{ Body SpoolPrune }

func (s *files) prune(ctx context.Context, in *pruneIn) (Spool, error) {
	return s.b.PruneSpool(ctx, in.Body)
}
