package customer

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// The spool is a folder per order: inputs.tar until it is staged or the order is over, outputs.tar until it was fetched
// and spoolKeep has passed, and what other parts keep there, which they bound themselves. Above SpoolMax the oldest
// archives go: those that were fetched first, then those that have waited unfetchedDay for it, never without an event.

// Times of the spool: how often it is looked through, how long fetched outputs stay where nothing is set, and how long
// nobody's outputs do in any case.
const (
	tidyEvery    = time.Hour
	spoolKeep    = 7 * 24 * time.Hour
	unfetchedDay = 24 * time.Hour
)

const inputsName = "inputs.tar"

// Spool is where the files of orders lie. It keeps nothing in memory; all methods are safe for any goroutine.
type Spool struct {
	dir   string
	max   uint64        // bytes; 0: no bound
	life  time.Duration // of fetched outputs
	began time.Time     // of this node
	of    filed
	log   *slog.Logger
	kick  chan struct{} // wakes the loop that keeps the folder small
}

// filed is what the spool knows of orders.
type filed interface {
	// resolve is the order that a word names; ref as in Order. Error: not-found.
	resolve(ref string) (market.OrderID, error)
	// filed tells an order; false: it is of no order of this store.
	filed(id market.OrderID) (SpoolEntry, bool)
	// note changes what is stored of an order's files. Errors: not-found; the store's.
	note(ctx context.Context, id market.OrderID, f func(*Files)) error
}

// newSpool returns a spool that knows orders by of.
func newSpool(cfg *Config, of filed, log *slog.Logger) *Spool {
	s := &Spool{dir: cfg.Spool, max: cfg.SpoolMax, life: cfg.SpoolKeep, began: time.Now(), of: of, log: log,
		kick: make(chan struct{}, 1)}
	if s.life == 0 {
		s.life = spoolKeep
	}
	return s
}

func (s *Spool) look() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// SpoolEntry is what lies in one order's folder, in bytes. Known is false for a folder of no order of this store.
type SpoolEntry struct {
	Order                  market.OrderID
	Name, Standing         string
	Inputs, Outputs, Other uint64
	At                     time.Time // of the outputs
	Fetched                time.Time // zero: never
	Known, Over            bool
}

func (s *Spool) path(id market.OrderID, what string) string {
	return filepath.Join(s.dir, id.String(), what)
}

// Inputs is where the API spools an order's input tar before it is placed.
func (s *Spool) Inputs(id market.OrderID) string { return s.path(id, inputsName) }

// Outputs is where verified outputs wait, as a tar.
func (s *Spool) Outputs(id market.OrderID) string { return s.path(id, "outputs.tar") }

// logs is the folder of an order's own copy of its job's log.
func (s *Spool) logs(id market.OrderID) string { return s.path(id, "log") }

// Limits are the bound in bytes, 0: none, and how long fetched outputs stay.
func (s *Spool) Limits() (uint64, time.Duration) { return s.max, s.life }

// List lists the folders of orders, oldest outputs first.
func (s *Spool) List() ([]SpoolEntry, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []SpoolEntry
	for _, d := range dirs {
		id, err := market.ParseOrderID(d.Name())
		if err != nil || !d.IsDir() {
			continue
		}
		e, known := s.of.filed(id)
		e.Order, e.Known = id, known
		s.measure(&e)
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b SpoolEntry) int { return a.At.Compare(b.At) })
	return out, nil
}

func (s *Spool) measure(e *SpoolEntry) {
	_ = filepath.WalkDir(s.path(e.Order, ""), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // gone meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		size := uint64(info.Size())
		switch name := d.Name(); {
		case strings.HasPrefix(strings.TrimPrefix(name, "."), "inputs"):
			e.Inputs += size
		case strings.HasPrefix(name, "outputs"):
			e.Outputs += size
			e.At = info.ModTime()
		default:
			e.Other += size
		}
		return nil
	})
}

// free removes files of an order's folder, and the folder with the last one.
func (s *Spool) free(id market.OrderID, names ...string) {
	for _, n := range names {
		if err := os.Remove(s.path(id, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("Spool was not freed", "order", id, "error", err)
		}
	}
	_ = os.Remove(s.path(id, "")) // others may keep something there
}

func (s *Spool) freeInputs(id market.OrderID) { s.free(id, inputsName) }

// Fetched notes that an order's outputs were read to their end.
func (s *Spool) Fetched(ctx context.Context, id market.OrderID) error {
	return s.of.note(ctx, id, func(f *Files) { f.Fetched = time.Now() })
}

// tend keeps the spool small until ctx ends; before is called with each look.
func (s *Spool) tend(ctx context.Context, before func(context.Context)) {
	s.leftovers()
	for {
		before(ctx)
		s.tidy(ctx)
		t := time.NewTimer(tidyEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-s.kick:
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// leftovers removes what transfers of before this start have not finished; they begin anew.
func (s *Spool) leftovers() {
	for _, pattern := range []string{".inputs-*", "*" + partEnd} {
		files, err := filepath.Glob(filepath.Join(s.dir, "order_*", pattern))
		if err != nil {
			continue // a pattern of ours is well-formed
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.ModTime().Before(s.began) {
				_ = os.Remove(f) // it is looked for again at the next start
			}
		}
	}
}

// tidy removes what nobody needs, and above the bound what has waited longest.
func (s *Spool) tidy(ctx context.Context) {
	list, err := s.List()
	if err != nil {
		s.log.Warn("Spool was not looked through", "error", err)
		return
	}
	now, total := time.Now(), uint64(0)
	var fetched, waiting []SpoolEntry
	for _, e := range list {
		if e.Inputs > 0 && e.Over {
			s.freeInputs(e.Order)
			e.Inputs = 0
		}
		at := e.Fetched
		if !e.Known {
			at = e.At // of a store that is not this one any more
		}
		switch {
		case e.Outputs > 0 && !at.IsZero() && now.Sub(at) > s.life:
			s.drop(ctx, e)
			e.Outputs = 0
		case e.Outputs > 0 && e.Known && !e.Fetched.IsZero():
			fetched = append(fetched, e)
		case e.Outputs > 0 && now.Sub(e.At) > unfetchedDay:
			waiting = append(waiting, e)
		}
		total += e.Inputs + e.Outputs
	}
	for _, e := range append(fetched, waiting...) {
		if s.max == 0 || total <= s.max {
			return
		}
		s.drop(ctx, e)
		total -= e.Outputs
	}
	if s.max > 0 && total > s.max {
		s.log.Warn("Spool is above its bound", "bytes", total, "bound", s.max, "fix", "gpuai spool")
	}
}

// drop gives an order's outputs up; if nobody has fetched them, that is an event.
func (s *Spool) drop(ctx context.Context, e SpoolEntry) {
	if e.Known {
		if err := s.of.note(ctx, e.Order, func(f *Files) { f.Dropped = time.Now() }); err != nil {
			return
		}
		if e.Fetched.IsZero() {
			s.log.Warn("Outputs that nobody fetched were given up", "code", market.CodeOutputsDropped, "order", e.Order,
				"bytes", e.Outputs)
		}
	}
	s.free(e.Order, "outputs.tar", "outputs.tar"+partEnd)
}

// Prune frees the outputs of the named orders, or of all that are over, and returns how many bytes. Unfetched ones only
// if so told.
// Error: not-found.
func (s *Spool) Prune(ctx context.Context, refs []string, unfetched bool) (freed uint64, err error) {
	only := map[market.OrderID]bool{}
	for _, ref := range refs {
		id, err := s.of.resolve(ref)
		if err != nil {
			return 0, err
		}
		only[id] = true
	}
	list, err := s.List()
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		if e.Known && !e.Over || len(only) > 0 && !only[e.Order] {
			continue
		}
		if e.Inputs > 0 {
			s.freeInputs(e.Order)
			freed += e.Inputs
		}
		if e.Outputs > 0 && (unfetched || !e.Fetched.IsZero()) {
			s.drop(ctx, e)
			freed += e.Outputs
		}
	}
	return freed, nil
}
