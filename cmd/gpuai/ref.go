package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// orderOf is the node's client and the order that a person names.
func (a *App) orderOf(ctx context.Context, word string) (c *api.Client, id string, err error) {
	if c, err = a.reached(ctx); err == nil {
		id, err = a.ref(ctx, c, word)
	}
	return c, id, err
}

// ref turns what a person calls an order into what the node knows: a name is the live order of that name, else the
// newest. Ids, their beginnings and "-" stay. Errors: bad-usage, if several live orders have the name.
func (a *App) ref(ctx context.Context, c *api.Client, word string) (string, error) {
	if word == "-" || strings.HasPrefix(word, "order_") || strings.HasPrefix(word, "lease_") {
		return word, nil
	}
	list, err := c.Orders(ctx, api.OrderQuery{All: true, Name: word, Newest: mostListed})
	if err != nil {
		return "", err
	}
	var live []string
	newest := api.Order{}
	for _, o := range list {
		if o.Name != word {
			continue
		}
		if !o.Ended() {
			live = append(live, o.ID)
		}
		if newest.ID == "" || newest.CreatedAt.Before(o.CreatedAt.Time) {
			newest = o
		}
	}
	switch {
	case len(live) > 1:
		slices.Sort(live)
		return "", usage(fmt.Sprintf("%q names %d live orders: %s", word, len(live), strings.Join(live, ", ")),
			"gpuai ps")
	case len(live) == 1:
		return live[0], nil
	case newest.ID != "":
		return newest.ID, nil
	}
	return word, nil // the node says what it thinks of it
}

// wholeIDs completes the nodes that flags name. Errors: nodeIDs'.
func (a *App) wholeIDs(ctx context.Context, f spec.Flags) (err error) {
	for _, name := range []string{"provider", "exclude"} {
		if f[name], err = a.nodeIDs(ctx, f[name]); err != nil {
			return err
		}
	}
	return nil
}

// nodeIDs completes ids of nodes that are given by their last characters, as tables show them. Errors: not-found;
// bad-usage if several fit.
func (a *App) nodeIDs(ctx context.Context, words []string) ([]string, error) {
	out := slices.Clone(words)
	var list []api.Offer
	for i, w := range words {
		if _, err := market.ParseNodeID(w); err == nil {
			continue
		}
		if len(w) < 4 {
			return nil, usage(w+" is no node: give its id, or at least the last 4 characters of it",
				"gpuai offers --all")
		}
		if list == nil {
			c, err := a.running(ctx)
			if err == nil {
				list, err = c.Offers(ctx, market.Sort{})
			}
			if err != nil {
				return nil, err
			}
		}
		hits := map[string]bool{}
		for _, o := range list {
			if strings.HasSuffix(o.Provider, w) {
				hits[o.Provider] = true
				out[i] = o.Provider
			}
		}
		switch {
		case len(hits) == 0:
			return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find node",
				Detail: "no node that offers something ends with " + w, Hint: "gpuai offers --all"}
		case len(hits) > 1:
			return nil, usage(fmt.Sprintf("%d nodes end with %s: give more of it", len(hits), w),
				"gpuai offers --all --json")
		}
	}
	return out, nil
}
