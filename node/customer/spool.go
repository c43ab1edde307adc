package customer

import (
	"context"
	"errors"
	"io/fs"
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

// spool wakes the loop that keeps the folder small.
type spool struct{ kick chan struct{} }

func (s spool) look() {
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
	Known                  bool
}

func (c *Customer) spoolDir(id market.OrderID, what string) string {
	return filepath.Join(c.cfg.Spool, id.String(), what)
}

// InputsPath is where the API spools an order's input tar before it is placed.
func (c *Customer) InputsPath(id market.OrderID) string { return c.spoolDir(id, "inputs.tar") }

// OutputsPath is where verified outputs wait, as a tar.
func (c *Customer) OutputsPath(id market.OrderID) string { return c.spoolDir(id, "outputs.tar") }

// SpoolLimits are the bound in bytes, 0: none, and how long fetched outputs stay.
func (c *Customer) SpoolLimits() (uint64, time.Duration) {
	if c.cfg.SpoolKeep == 0 {
		return c.cfg.SpoolMax, spoolKeep
	}
	return c.cfg.SpoolMax, c.cfg.SpoolKeep
}

// Spool lists the folders of orders, oldest outputs first.
func (c *Customer) Spool() ([]SpoolEntry, error) {
	dirs, err := os.ReadDir(c.cfg.Spool)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []SpoolEntry
	for _, d := range dirs {
		id, err := market.ParseOrderID(d.Name())
		if err != nil || !d.IsDir() {
			continue
		}
		e := SpoolEntry{Order: id}
		c.measure(&e)
		c.mu.Lock()
		r := c.runs[id]
		c.mu.Unlock()
		if r != nil {
			o := r.snapshot()
			e.Known, e.Name, e.Standing, e.Fetched = true, o.Request.File.Name, o.Standing(), o.Files.Fetched
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b SpoolEntry) int { return a.At.Compare(b.At) })
	return out, nil
}

// SpoolSeen is Spool, or nothing if the folder cannot be read.
func (c *Customer) SpoolSeen() []SpoolEntry {
	list, err := c.Spool()
	if err != nil {
		c.log.Warn("Spool was not looked through", "error", err)
	}
	return list
}

func (c *Customer) measure(e *SpoolEntry) {
	_ = filepath.WalkDir(c.spoolDir(e.Order, ""), func(_ string, d fs.DirEntry, err error) error {
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
func (c *Customer) free(id market.OrderID, names ...string) {
	for _, n := range names {
		if err := os.Remove(c.spoolDir(id, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("Spool was not freed", "order", id, "error", err)
		}
	}
	_ = os.Remove(c.spoolDir(id, "")) // others may keep something there
}

func (c *Customer) freeInputs(id market.OrderID) { c.free(id, "inputs.tar") }

// Fetched notes that an order's outputs were read to their end.
func (c *Customer) Fetched(ctx context.Context, id market.OrderID) error {
	r, err := c.find(id.String())
	if err != nil {
		return err
	}
	return r.update(ctx, func(o *orderRow) { o.Files.Fetched = c.now() })
}

// tend keeps the spool small until ctx ends.
func (c *Customer) tend(ctx context.Context) {
	c.leftovers()
	for {
		c.expireInputs(ctx)
		c.tidy(ctx)
		t := time.NewTimer(tidyEvery)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-c.spool.kick:
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// leftovers removes what transfers of before this start have not finished; they begin anew.
func (c *Customer) leftovers() {
	for _, pattern := range []string{".inputs-*", "*" + partEnd} {
		files, err := filepath.Glob(filepath.Join(c.cfg.Spool, "order_*", pattern))
		if err != nil {
			continue // a pattern of ours is well-formed
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.ModTime().Before(c.began) {
				_ = os.Remove(f) // it is looked for again at the next start
			}
		}
	}
}

// tidy removes what nobody needs, and above the bound what has waited longest.
func (c *Customer) tidy(ctx context.Context) {
	list, err := c.Spool()
	if err != nil {
		c.log.Warn("Spool was not looked through", "error", err)
		return
	}
	limit, keep := c.SpoolLimits()
	now, total := time.Now(), uint64(0)
	var fetched, waiting []SpoolEntry
	for _, e := range list {
		over := e.Standing == StandingEnded || e.Standing == StandingFailed
		if e.Inputs > 0 && over {
			c.freeInputs(e.Order)
			e.Inputs = 0
		}
		at := e.Fetched
		if !e.Known {
			at = e.At // of a store that is not this one any more
		}
		switch {
		case e.Outputs > 0 && !at.IsZero() && now.Sub(at) > keep:
			c.drop(ctx, e)
			e.Outputs = 0
		case e.Outputs > 0 && e.Known && !e.Fetched.IsZero():
			fetched = append(fetched, e)
		case e.Outputs > 0 && now.Sub(e.At) > unfetchedDay:
			waiting = append(waiting, e)
		}
		total += e.Inputs + e.Outputs
	}
	for _, e := range append(fetched, waiting...) {
		if limit == 0 || total <= limit {
			return
		}
		c.drop(ctx, e)
		total -= e.Outputs
	}
	if limit > 0 && total > limit {
		c.log.Warn("Spool is above its bound", "bytes", total, "bound", limit, "fix", "gpuai spool")
	}
}

// drop gives an order's outputs up; if nobody has fetched them, that is an event.
func (c *Customer) drop(ctx context.Context, e SpoolEntry) {
	c.mu.Lock()
	r := c.runs[e.Order]
	c.mu.Unlock()
	if r != nil {
		if err := r.update(ctx, func(o *orderRow) { o.Files.Dropped = c.now() }); err != nil {
			return
		}
		if e.Fetched.IsZero() {
			c.log.Warn("Outputs that nobody fetched were given up", "code", market.CodeOutputsDropped, "order", e.Order,
				"bytes", e.Outputs)
		}
	}
	c.free(e.Order, "outputs.tar", "outputs.tar"+partEnd)
}

// Prune frees the outputs of the named orders, or of all that are over, and returns how many bytes. Unfetched ones only
// if so told.
// Error: not-found.
func (c *Customer) Prune(ctx context.Context, refs []string, unfetched bool) (freed uint64, err error) {
	only := map[market.OrderID]bool{}
	for _, ref := range refs {
		r, err := c.find(ref)
		if err != nil {
			return 0, err
		}
		only[r.row.ID] = true
	}
	list, err := c.Spool()
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		over := e.Standing == StandingEnded || e.Standing == StandingFailed || !e.Known
		if !over || len(only) > 0 && !only[e.Order] {
			continue
		}
		if e.Inputs > 0 {
			c.freeInputs(e.Order)
			freed += e.Inputs
		}
		if e.Outputs > 0 && (unfetched || !e.Fetched.IsZero()) {
			c.drop(ctx, e)
			freed += e.Outputs
		}
	}
	return freed, nil
}
